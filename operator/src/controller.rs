//! Which changes lead to a reconcile.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
        discovery::v1::EndpointSlice,
        networking::v1::Ingress,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller, Predicate, PredicateConfig, WatchStreamExt,
        controller::{Action, Config},
        predicates,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use zonetide_crds::{DnsCluster, DnsRestore};

use crate::{
    context::Context,
    error::Error,
    names::{INSTANCE_LABEL, MANAGED_BY_LABEL, MANAGER},
    reconcile::{admin, api_service, error_policy, reconcile},
    restores,
};

type Guarded = DeserializeGuard<DnsCluster>;

/// Watches tell of pods; this is for when they do not.
const API_LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Reconciles until `stop` resolves, and ends when the reconciles under way have.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let stop = stop.shared();
    let namespace = namespace.as_deref();
    // Apart, so that API requests never wait for what else is to be done, nor restores for anything, nor anything for restores.
    tokio::join!(
        clusters(context.clone(), namespace, stop.clone()),
        api_services(context.clone(), namespace, stop.clone()),
        restores(context, namespace, stop),
    );
}

/// Brings each `DnsCluster` to what its spec says.
async fn clusters(
    context: Arc<Context>,
    namespace: Option<&str>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = context.client.clone();
    let (trigger, clusters) = asked_for(&client, namespace);
    let controller = Controller::for_stream(trigger, clusters.clone());
    controller
        .with_config(Config::default().concurrency(8))
        // That something changed is all we need to know: reconciles read for themselves.
        .owns(metadata_of::<StatefulSet>(&client, namespace), ours())
        .owns(metadata_of::<Service>(&client, namespace), ours())
        .owns(metadata_of::<ConfigMap>(&client, namespace), ours())
        .owns(metadata_of::<Ingress>(&client, namespace), ours())
        .owns(metadata_of::<ServiceAccount>(&client, namespace), ours())
        .owns(metadata_of::<PodDisruptionBudget>(&client, namespace), ours())
        // Owned by the StatefulSet, so found by label.
        .watches(metadata_of::<Pod>(&client, namespace), ours(), |pod| {
            cluster_of(&pod)
        })
        // Owned by a Service, whose labels they have.
        .watches(
            metadata_of::<EndpointSlice>(&client, namespace),
            ours(),
            |slice| cluster_of(&slice),
        )
        // Ours, and those that specs name.
        .watches(
            metadata_of::<Secret>(&client, namespace),
            watcher::Config::default(),
            move |secret| users_of(&secret, &clusters),
        )
        .graceful_shutdown_on(stop)
        .run(reconcile, error_policy, context)
        .for_each(watched)
        .await;
}

/// Keeps the Service of each `DnsCluster`'s API on a server that is ready.
async fn api_services(
    context: Arc<Context>,
    namespace: Option<&str>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = context.client.clone();
    let (trigger, clusters) = asked_for(&client, namespace);
    Controller::for_stream(trigger, clusters)
        .with_config(Config::default().concurrency(8))
        .watches(metadata_of::<Pod>(&client, namespace), ours(), |pod| {
            cluster_of(&pod)
        })
        .graceful_shutdown_on(stop)
        .run(keep_api_service, api_error_policy, context)
        .for_each(watched)
        .await;
}

/// Has agents restore what each `DnsRestore` asks for.
async fn restores(
    context: Arc<Context>,
    namespace: Option<&str>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let (all, writer) = reflector::store();
    let events = watcher(
        api::<DeserializeGuard<DnsRestore>>(&context.client, namespace),
        watcher::Config::default(),
    );
    let trigger = events
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, PredicateConfig::default());
    Controller::for_stream(trigger, all)
        .with_config(Config::default().concurrency(8))
        .graceful_shutdown_on(stop)
        .run(restores::reconcile, restores::error_policy, context)
        .for_each(watched)
        .await;
}

async fn keep_api_service(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    api_service::keep(&context, &namespace, &name).await?;
    context.choosing.worked(&namespace, &name);
    Ok(Action::requeue(API_LOOK_AGAIN))
}

#[allow(clippy::needless_pass_by_value)] // the controller's signature
fn api_error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let wait = context.choosing.failed(&namespace, &name);
    tracing::warn!(%namespace, %name, error = error.describe(), retry_in = ?wait, "cannot choose a server for API requests");
    Action::requeue(wait)
}

/// Errors of reconciles are logged by the error policies, with more.
async fn watched<T, E: std::error::Error + 'static>(
    result: Result<T, kube::runtime::controller::Error<E, watcher::Error>>,
) {
    if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = result {
        tracing::warn!(error = %error, "a watch failed, it is begun again");
    }
}

/// The `DnsCluster`s, and a stream of those whose spec, annotations, labels or finalizers have changed: a status that we have
/// written ourselves is no reason to look again.
fn asked_for(
    client: &Client,
    namespace: Option<&str>,
) -> (
    impl Stream<Item = Result<Guarded, watcher::Error>> + Send + use<>,
    Store<Guarded>,
) {
    let (clusters, writer) = reflector::store();
    let events = watcher(api::<Guarded>(client, namespace), watcher::Config::default());
    let asked = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::labels)
        .combine(predicates::finalizers);
    let stream = events
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .predicate_filter(asked, PredicateConfig::default());
    (stream, clusters)
}

fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}"))
}

/// Those of one namespace, or of all.
pub(crate) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
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

fn cluster_of<K>(object: &PartialObjectMeta<K>) -> Option<ObjectRef<Guarded>>
where
    K: Resource<DynamicType = ()>,
{
    let name = object.labels().get(INSTANCE_LABEL)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
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
        .filter(|cluster| {
            let own = cluster.namespace().as_deref() == Some(namespace.as_str());
            own && owners.contains(&cluster.name_any().as_str()) || names_secret(cluster, &namespace, &name)
        })
        .map(|cluster| ObjectRef::new(&cluster.name_any()).within(&cluster.namespace().unwrap_or_default()))
        .collect()
}

/// Admins' Secrets may be in another namespace, all others are in the cluster's own.
fn names_secret(cluster: &DnsCluster, namespace: &str, name: &str) -> bool {
    let spec = &cluster.spec;
    let own = cluster.namespace().unwrap_or_default();
    let api_key = spec.powerdns.api_key_secret_ref.as_ref();
    let keys = spec
        .object_store
        .s3
        .as_ref()
        .and_then(|s3| s3.credentials.secret_ref.as_ref());
    let s3 = spec.object_store.s3.as_ref();
    let ca = s3.and_then(|s3| s3.ca_secret_ref.as_ref());
    let admin = admin::named(spec);
    let places = [
        ca.map(|reference| (own.as_str(), reference.name.as_str())),
        api_key.map(|reference| (own.as_str(), reference.name.as_str())),
        keys.map(|reference| (own.as_str(), reference.name.as_str())),
        admin.map(|secret| (secret.namespace.unwrap_or(&own), secret.name)),
    ];
    places
        .into_iter()
        .flatten()
        .any(|place| place == (namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{S3, cluster};

    fn with(credentials: &str) -> DnsCluster {
        cluster(&S3.replace("{secretRef: {name: moon-keys}}", credentials))
    }

    #[test]
    fn a_change_of_a_secret_reaches_those_who_name_it_and_no_others() {
        let given = with("{secretRef: {name: moon-keys}}");
        assert!(names_secret(&given, "shore", "moon-keys"));
        assert!(!names_secret(&given, "beach", "moon-keys"));
        assert!(!names_secret(&given, "shore", "sun-keys"));
        let api_key =
            cluster("{objectStore: {managed: {}}, powerdns: {apiKeySecretRef: {name: gate, key: k}}}");
        assert!(names_secret(&api_key, "shore", "gate"));
        let ca = cluster(&S3.replace("region: moon", "region: moon, caSecretRef: {name: moon-ca}"));
        assert!(names_secret(&ca, "shore", "moon-ca"));
        assert!(!names_secret(&ca, "beach", "moon-ca"));
    }

    #[test]
    fn a_change_of_an_admins_secret_reaches_its_users_in_other_namespaces() {
        for source in [
            "{assumeRole: {secretRef: {name: admin NAMESPACE}}}",
            "{garage: {adminEndpoint: 'http://g', tokenSecretRef: {name: admin NAMESPACE}}}",
            "{r2: {accountId: 0123456789abcdef0123456789abcdef, tokenSecretRef: {name: admin NAMESPACE}}}",
        ] {
            let own = with(&source.replace(" NAMESPACE", ""));
            assert!(names_secret(&own, "shore", "admin"), "{source}");
            assert!(!names_secret(&own, "stores", "admin"), "{source}");
            let foreign = with(&source.replace(" NAMESPACE", ", namespace: stores"));
            assert!(names_secret(&foreign, "stores", "admin"), "{source}");
            assert!(!names_secret(&foreign, "shore", "admin"), "{source}");
        }
    }
}
