//! What a `DnsCluster` has outside of Kubernetes goes with it, as far as its deletion policy says: first its servers end, then
//! their objects go, then the bucket, then the keys. A finalizer holds the `DnsCluster` meanwhile.

mod steps;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::controller::Action,
};
use serde_json::json;
use zonetide_crds::{DeletionPolicy, DnsCluster, DnsClusterSpec};

use self::steps::{Step, Trouble, take};
use super::{LOOK_SOON, apply::ApplyError, fetch::Fetched, notices::Notice, outcome::Outcome, status};
use crate::{
    context::Context,
    error::{Error, is_namespace_ending},
    names::MANAGER,
};

/// Set while there is something outside of Kubernetes that must be undone.
pub const FINALIZER: &str = "zonetide.dev/object-store";

/// With the policy Retain only keys are left to be ended, which they do by themselves: this is how long it is tried.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);
/// How long the deletion of a whole namespace waits for a store that does not answer.
const NAMESPACE_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Whether something is left when all objects of the API server are gone.
pub fn needed(spec: &DnsClusterSpec) -> bool {
    let store = &spec.object_store;
    let has_keys_that_can_be_ended = store
        .s3
        .as_ref()
        .is_some_and(|s3| s3.credentials.garage.is_some());
    store.deletion_policy != DeletionPolicy::Retain || has_keys_that_can_be_ended
}

/// Sets the finalizer of a living cluster when it is needed, before there is anything to be undone, and else takes it away.
pub async fn keep_finalizer(context: &Context, cluster: &DnsCluster) -> Result<(), ApplyError> {
    if needed(&cluster.spec) == is_held(cluster) {
        return Ok(());
    }
    set_finalizer(context, cluster, needed(&cluster.spec)).await
}

fn is_held(cluster: &DnsCluster) -> bool {
    cluster.finalizers().iter().any(|name| name == FINALIZER)
}

/// Reconciles a cluster that is being deleted.
pub async fn run(context: &Context, fetched: &Fetched) -> Result<Action, Error> {
    let cluster = &fetched.cluster;
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    if !is_held(cluster) {
        // Owner references let the children go.
        context.backoff.worked(&namespace, &name);
        return Ok(Action::await_change());
    }
    let (outcome, action) = match take(context, fetched).await {
        Ok(Step::Wait(message)) => (Outcome::Deleting(message), Action::requeue(LOOK_SOON)),
        Ok(Step::Progress(message)) => (
            Outcome::Deleting(message),
            Action::requeue(Duration::from_millis(100)),
        ),
        Ok(Step::Done(notices)) => return let_go(context, cluster, notices).await,
        Err(Trouble::Api(error)) => return Err(error.into()),
        // Refused from the beginning, like one that was never granted its keys.
        Err(Trouble::Store(_)) if !has_made(fetched) => return let_go(context, cluster, vec![]).await,
        Err(Trouble::Store(error)) => {
            let age = age(cluster, Timestamp::now());
            let policy = cluster.spec.object_store.deletion_policy;
            if policy == DeletionPolicy::Retain && age > PATIENCE {
                let note = format!("keys were not ended, they end by themselves: {error}");
                return let_go(context, cluster, vec![warning("KeysLeft", note)]).await;
            }
            let hopeless = error.is_secret_missing() || age > NAMESPACE_PATIENCE;
            if hopeless && is_ending(context, &namespace).await {
                let note = format!("objects and keys are left, the namespace is being deleted too: {error}");
                return let_go(context, cluster, vec![warning("ObjectsLeft", note)]).await;
            }
            let message = format!(
                "{error}; it is tried again. To let go and keep what is there, set spec.objectStore.deletionPolicy to Retain, or remove the finalizer {FINALIZER}"
            );
            let wait = context.backoff.failed(&namespace, &name);
            (Outcome::DeletionBlocked(message), Action::requeue(wait))
        }
    };
    status::report(context, fetched, &[], &outcome).await?;
    Ok(action)
}

/// There were keys once, or a bucket was made.
fn has_made(fetched: &Fetched) -> bool {
    let status = fetched.cluster.status.as_ref();
    let store = status.and_then(|status| status.object_store.as_ref());
    let bucket = store.and_then(|store| store.bucket_created) == Some(true);
    bucket || fetched.secrets.object_store.is_some()
}

fn age(cluster: &DnsCluster, now: Timestamp) -> SignedDuration {
    let since = cluster.metadata.deletion_timestamp.as_ref();
    since.map_or(SignedDuration::ZERO, |since| now.duration_since(since.0))
}

fn warning(reason: &str, note: String) -> Notice {
    Notice {
        warning: true,
        ..told(reason, note)
    }
}

fn told(reason: &str, note: String) -> Notice {
    Notice {
        warning: false,
        reason: reason.to_owned(),
        note,
        action: "Delete",
    }
}

async fn let_go(context: &Context, cluster: &DnsCluster, notices: Vec<Notice>) -> Result<Action, Error> {
    let reference = cluster.object_ref(&());
    for notice in notices {
        if notice.warning {
            tracing::warn!(reason = notice.reason, "{}", notice.note);
        } else {
            tracing::info!(reason = notice.reason, "{}", notice.note);
        }
        if let Err(error) = context.events.publish(&notice.event(), &reference).await
            && !is_namespace_ending(&error)
        {
            tracing::warn!(%error, reason = notice.reason, "failed to write an Event");
        }
    }
    set_finalizer(context, cluster, false).await?;
    let namespace = cluster.namespace().unwrap_or_default();
    context.backoff.worked(&namespace, &cluster.name_any());
    Ok(Action::await_change())
}

async fn set_finalizer(context: &Context, cluster: &DnsCluster, wanted: bool) -> Result<(), ApplyError> {
    let name = cluster.name_any();
    let others = cluster.finalizers().iter().filter(|name| *name != FINALIZER);
    let mut finalizers: Vec<&str> = others.map(String::as_str).collect();
    if wanted {
        finalizers.push(FINALIZER);
    }
    // The list is sent as a whole: not over one that others have changed since.
    let patch = json!({"metadata": {
        "resourceVersion": cluster.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let api: Api<DnsCluster> =
        Api::namespaced(context.client.clone(), &cluster.namespace().unwrap_or_default());
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch_metadata(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(ApplyError::Finalizer { name, source }),
    }
}

/// Whether the namespace is being deleted: nothing new is let into it then. Namespaces themselves we may not read.
async fn is_ending(context: &Context, namespace: &str) -> bool {
    let probe = ConfigMap {
        metadata: ObjectMeta {
            generate_name: Some("zonetide-probe-".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    match api.create(&params, &probe).await {
        Err(error) => is_namespace_ending(&error),
        Ok(_) => false,
    }
}
