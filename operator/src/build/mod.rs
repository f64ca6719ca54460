//! Step 3: the objects that a plan asks for. Pure.

mod config;
mod garage;
mod ingress;
mod minio;
mod node;
mod peer_certificates;
mod pod;
mod probes;
mod retired;
mod servers;
mod services;
mod store_ca;
mod store_nodes;
mod store_proxy;
mod volumes;
mod web_identity;

use std::marker::PhantomData;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Secret, Service, ServiceAccount},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

pub use self::{
    garage::SINGLE_NODE,
    ingress::ingresses,
    node::{store, store_of_three},
    peer_certificates::peer_certificates,
    retired::retired,
    servers::{object_store, servers},
    store_nodes::StoreStage,
};
use crate::{names::Part, reconcile::plan::Plan, secret::SecretText};

/// Marks objects that were built.
#[derive(Clone, Debug)]
pub struct Prepared;
/// Marks objects as the API server answered them.
#[derive(Clone, Debug)]
pub struct Applied;

/// What the managed store consists of.
#[derive(Clone, Debug)]
pub struct StoreResources<S> {
    pub secret: Secret,
    /// None where arguments and variables say all.
    pub config: Option<ConfigMap>,
    pub service: Service,
    /// Of more than one node.
    pub disruption_budget: Option<PodDisruptionBudget>,
    pub stateful_set: StatefulSet,
    pub state: PhantomData<S>,
}

/// What the DNS servers consist of.
#[derive(Clone, Debug)]
pub struct ServerResources<S> {
    pub service_account: ServiceAccount,
    pub api_key: Secret,
    pub peers_token: Secret,
    pub config: ConfigMap,
    pub peers_service: Service,
    pub dns_service: Service,
    pub api_service: Service,
    pub disruption_budget: PodDisruptionBudget,
    pub stateful_set: StatefulSet,
    pub state: PhantomData<S>,
}

fn metadata(plan: &Plan, part: Part, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(plan.names.namespace.clone()),
        labels: Some(plan.names.labels(part)),
        owner_references: Some(vec![plan.owner.clone()]),
        ..ObjectMeta::default()
    }
}

fn secret<K: Into<String>>(
    plan: &Plan,
    part: Part,
    name: String,
    data: impl IntoIterator<Item = (K, SecretText)>,
) -> Secret {
    Secret {
        metadata: metadata(plan, part, name),
        type_: Some("Opaque".to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.into(), ByteString(value.expose().as_bytes().to_vec())))
                .collect(),
        ),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests;
