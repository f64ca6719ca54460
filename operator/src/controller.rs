//! Which changes lead to a reconcile.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller,
        controller::Config,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use zonetide_crds::DnsCluster;

use crate::{
    context::Context,
    names::{INSTANCE_LABEL, MANAGED_BY_LABEL, MANAGER},
    reconcile::{error_policy, reconcile},
};

type Guarded = DeserializeGuard<DnsCluster>;

/// Reconciles until `stop` resolves, and ends when the reconciles under way have.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = context.client.clone();
    let namespace = namespace.as_deref();
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}"));
    let controller = Controller::new(api::<Guarded>(&client, namespace), watcher::Config::default());
    let clusters = controller.store();
    controller
        .with_config(Config::default().concurrency(8))
        // That something changed is all we need to know: reconciles read for themselves.
        .owns(metadata_of::<StatefulSet>(&client, namespace), ours.clone())
        .owns(metadata_of::<Service>(&client, namespace), ours.clone())
        .owns(metadata_of::<ConfigMap>(&client, namespace), ours.clone())
        .owns(metadata_of::<ServiceAccount>(&client, namespace), ours.clone())
        .owns(
            metadata_of::<PodDisruptionBudget>(&client, namespace),
            ours.clone(),
        )
        // Owned by the StatefulSet, so found by label.
        .watches(metadata_of::<Pod>(&client, namespace), ours, |pod| {
            cluster_of(&pod)
        })
        // Ours, and those that specs name.
        .watches(
            metadata_of::<Secret>(&client, namespace),
            watcher::Config::default(),
            move |secret| users_of(&secret, &clusters),
        )
        .graceful_shutdown_on(stop)
        .run(reconcile, error_policy, context)
        .for_each(|result| async move {
            // Errors of reconciles are logged by the error policy, with more.
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = result {
                tracing::warn!(error = %error, "a watch failed, it is begun again");
            }
        })
        .await;
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn metadata_of<K>(client: &Client, namespace: Option<&str>) -> Api<PartialObjectMeta<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
{
    api(client, namespace)
}

fn cluster_of(pod: &PartialObjectMeta<Pod>) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get(INSTANCE_LABEL)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

/// The clusters that own or name a Secret.
fn users_of(secret: &PartialObjectMeta<Secret>, clusters: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
    let owners: Vec<&str> = secret
        .owner_references()
        .iter()
        .filter(|owner| owner.kind == DnsCluster::kind(&()))
        .map(|owner| owner.name.as_str())
        .collect();
    clusters
        .state()
        .iter()
        .filter_map(|guarded| guarded.0.as_ref().ok())
        .filter(|cluster| cluster.namespace().as_deref() == Some(namespace.as_str()))
        .filter(|cluster| owners.contains(&cluster.name_any().as_str()) || names_secret(cluster, &name))
        .map(|cluster| ObjectRef::new(&cluster.name_any()).within(&namespace))
        .collect()
}

fn names_secret(cluster: &DnsCluster, name: &str) -> bool {
    let api_key = cluster
        .spec
        .powerdns
        .api_key_secret_ref
        .as_ref()
        .map(|reference| &reference.name);
    let keys = cluster
        .spec
        .object_store
        .s3
        .as_ref()
        .map(|s3| &s3.credentials.secret_ref.name);
    api_key.is_some_and(|used| used == name) || keys.is_some_and(|used| used == name)
}
