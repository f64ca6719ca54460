//! Brings one `DnsCluster` to what its spec says, in five steps: fetch, validate, build, apply, status. Only the first
//! and the last two talk to the API server; the bucket's source is asked between the two halves of build and apply.

pub mod api_pod;
pub mod apply;
pub mod conditions;
pub mod fetch;
pub mod notices;
pub mod status;
mod trouble;
pub mod validate;
pub mod verdict;

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use rand::RngExt;
use zonetide_crds::{DnsCluster, PAUSED_ANNOTATION};

use self::{
    api_pod::is_ready,
    fetch::Fetched,
    verdict::{Outcome, is_observed, is_updated},
};
use crate::{build, context::Context, error::Error, objectstore::StoreError};

/// Watches tell us of changes; this is for what happens outside of Kubernetes, like a bucket that vanishes.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// For what watches should tell us, in case they do not.
const LOOK_SOON: Duration = Duration::from_secs(15);

/// The controller's entry: counts, logs, and leaves the work to `run`.
pub async fn reconcile(
    object: Arc<DeserializeGuard<DnsCluster>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let _timer = context.metrics.reconcile();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if let Err(invalid) = &object.0 {
        return Err(Error::Unreadable(invalid.error.clone()));
    }
    Box::pin(run(&context, &namespace, &name)).await
}

/// What the controller does after an error.
#[allow(clippy::needless_pass_by_value)] // the controller's signature
pub fn error_policy(
    object: Arc<DeserializeGuard<DnsCluster>>,
    error: &Error,
    context: Arc<Context>,
) -> Action {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    context.metrics.failed(error.category());
    if let Error::Unreadable(_) = error {
        tracing::error!(%namespace, %name, error = error.describe(), "cannot read the DnsCluster");
        return Action::await_change();
    }
    let wait = context.backoff.failed(&namespace, &name);
    tracing::warn!(%namespace, %name, error = error.describe(), retry_in = ?wait, "reconcile failed");
    Action::requeue(wait)
}

async fn run(context: &Context, namespace: &str, name: &str) -> Result<Action, Error> {
    let Some(fetched) = fetch::fetch(context, namespace, name).await? else {
        context.backoff.worked(namespace, name);
        return Ok(Action::await_change());
    };
    // Owner references let the children go; volumes and bucket stay.
    if fetched.cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if is_paused(&fetched.cluster) {
        let api_pod = fetched
            .cluster
            .status
            .as_ref()
            .and_then(|status| status.api_pod.as_deref());
        status::report(context, &fetched, api_pod, &Outcome::Paused).await?;
        return Ok(Action::await_change());
    }

    // First and whatever else happens: running servers need someone to take API requests.
    let (api_pod, label_changes) = api_pod::choose(&fetched.pods);
    apply::api_labels(context, namespace, &label_changes).await?;

    let outcome = match Box::pin(converge(context, &fetched)).await {
        Ok(outcome) => outcome,
        // The garbage collector will come for the DnsCluster too.
        Err(error) if error.is_namespace_ending() => return Ok(Action::await_change()),
        Err(error) => {
            let failed = Outcome::Failed(error.describe());
            // The first error is the one to report.
            if let Err(second) = status::report(context, &fetched, api_pod.as_deref(), &failed).await {
                tracing::warn!(error = %second, "failed to report an error in the status");
            }
            return Err(error);
        }
    };
    status::report(context, &fetched, api_pod.as_deref(), &outcome).await?;
    Ok(next(context, namespace, name, &outcome))
}

/// Validate, build and apply.
async fn converge(context: &Context, fetched: &Fetched) -> Result<Outcome, Error> {
    let plan = match validate::validate(fetched, &context.settings) {
        Ok(plan) => Box::new(plan),
        Err(error) => return Ok(Outcome::Invalid(error)),
    };
    let mut garage_ip = None;
    if let Some(store) = build::store(&plan) {
        let store = Box::pin(apply::store(context, store)).await?;
        garage_ip = serving_address(&store.stateful_set, &fetched.store_pods);
        if garage_ip.is_none() {
            let details = trouble::summary(&fetched.store_pods);
            let error = StoreError::Starting { details };
            return Ok(Outcome::StoreNotReady { plan, error });
        }
    }
    let source = context.sources.source(&plan.source_request(garage_ip));
    let keys = match source.ensure().await {
        Ok(keys) => keys,
        // Servers that run keep running with the keys they have.
        Err(error) => return Ok(Outcome::StoreNotReady { plan, error }),
    };
    let resources = Box::new(Box::pin(apply::servers(context, build::servers(&plan, &keys))).await?);
    Ok(Outcome::Applied { plan, resources })
}

fn next(context: &Context, namespace: &str, name: &str, outcome: &Outcome) -> Action {
    match outcome {
        // Its StatefulSet and pod are watched.
        Outcome::StoreNotReady {
            error: StoreError::Starting { .. },
            ..
        } => Action::requeue(LOOK_SOON),
        Outcome::StoreNotReady { .. } => Action::requeue(context.backoff.failed(namespace, name)),
        Outcome::Invalid(_) => Action::await_change(),
        Outcome::Paused | Outcome::Applied { .. } | Outcome::Failed(_) => {
            context.backoff.worked(namespace, name);
            // Spread out, so that many clusters do not all ask at once.
            let jitter = Duration::from_secs(rand::rng().random_range(0..60));
            Action::requeue(LOOK_AGAIN + jitter)
        }
    }
}

fn is_paused(cluster: &DnsCluster) -> bool {
    cluster
        .annotations()
        .get(PAUSED_ANNOTATION)
        .is_some_and(|value| value == "true")
}

/// The address of a pod that is ready and made from the newest template.
fn serving_address(stateful_set: &StatefulSet, pods: &[Pod]) -> Option<IpAddr> {
    let pod = pods
        .iter()
        .filter(|_| is_observed(stateful_set))
        .find(|pod| is_ready(pod) && is_updated(pod, stateful_set))?;
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

#[cfg(test)]
mod scenarios;
