//! Step 4: sends what was built to the API server, by server-side apply: fields that others set stay theirs, and
//! sending the same again changes nothing.

use std::{fmt::Debug, marker::PhantomData};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use thiserror::Error;

use super::api_pod::LabelChange;
use crate::{
    build::{Applied, Prepared, ServerResources, StoreResources},
    context::Context,
    names::{API_ACTIVE, API_LABEL, MANAGER},
};

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error("failed to apply {kind} {name}")]
    Apply {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("failed to label pod {pod}")]
    Label { pod: String, source: kube::Error },
}

/// The managed store. Its `StatefulSet` is last: a pod must find what it mounts.
pub async fn store(
    context: &Context,
    prepared: StoreResources<Prepared>,
) -> Result<StoreResources<Applied>, ApplyError> {
    // No `..`: a new kind of object must be thought of here.
    let StoreResources {
        secret,
        config,
        service,
        stateful_set,
        state: PhantomData,
    } = prepared;
    Ok(StoreResources {
        secret: apply(context, secret).await?,
        config: apply(context, config).await?,
        service: apply(context, service).await?,
        stateful_set: apply(context, stateful_set).await?,
        state: PhantomData,
    })
}

/// The DNS servers. First what pods mount or run as, then what leads to them; the `StatefulSet`, which makes pods, is
/// last, so that a pod never starts with half of a change.
pub async fn servers(
    context: &Context,
    prepared: ServerResources<Prepared>,
) -> Result<ServerResources<Applied>, ApplyError> {
    let ServerResources {
        service_account,
        api_key,
        object_store,
        config,
        peers_service,
        dns_service,
        api_service,
        disruption_budget,
        stateful_set,
        state: PhantomData,
    } = prepared;
    Ok(ServerResources {
        service_account: apply(context, service_account).await?,
        api_key: apply(context, api_key).await?,
        object_store: apply(context, object_store).await?,
        config: apply(context, config).await?,
        peers_service: apply(context, peers_service).await?,
        dns_service: apply(context, dns_service).await?,
        api_service: apply(context, api_service).await?,
        disruption_budget: apply(context, disruption_budget).await?,
        stateful_set: apply(context, stateful_set).await?,
        state: PhantomData,
    })
}

/// Moves the label of the API pod, in the order given.
pub async fn api_labels(
    context: &Context,
    namespace: &str,
    changes: &[LabelChange],
) -> Result<(), ApplyError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    for change in changes {
        let (pod, value) = match change {
            LabelChange::Remove(pod) => (pod, json!(null)),
            LabelChange::Add(pod) => (pod, json!(API_ACTIVE)),
        };
        let patch = json!({"metadata": {"labels": {API_LABEL: value}}});
        match pods
            .patch_metadata(pod, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => {}
            // It went while we looked; the next reconcile comes for that.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => {
                return Err(ApplyError::Label {
                    pod: pod.clone(),
                    source,
                });
            }
        }
    }
    Ok(())
}

async fn apply<K>(context: &Context, object: K) -> Result<K, ApplyError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let name = object.name_any();
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    api.patch(
        &name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .map_err(|source| ApplyError::Apply {
        kind: K::kind(&()).into_owned(),
        name,
        source,
    })
}
