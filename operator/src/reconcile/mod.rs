//! Brings one `DnsCluster` to what its spec says, in five steps: fetch, validate, build, apply, status. Only the first
//! and the last two talk to the API server; the bucket's source is asked between the two halves of build and apply.

pub mod admin;
pub mod api_pod;
pub mod apply;
pub mod conditions;
mod credentials;
pub mod expose;
pub mod fetch;
pub mod grant;
mod instances;
pub mod keys;
pub mod notices;
pub mod ownership;
mod quote;
pub mod removal;
mod replication;
mod retire;
mod s3_sources;
pub mod status;
mod sts_store;
mod trouble;
pub mod validate;
pub mod verdict;

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use rand::RngExt;
use zonetide_crds::{ConditionType, DnsCluster, DnsClusterStatus, PAUSED_ANNOTATION};

use self::{
    api_pod::is_ready,
    apply::ApplyError,
    fetch::Fetched,
    keys::{Access, Obtained},
    verdict::{Observed, Outcome, StoreOutcome, is_observed, is_updated},
};
use crate::{
    agents::{self, AgentReport},
    build,
    context::Context,
    error::Error,
    objectstore::StoreError,
};

/// Watches tell us of changes; this is for what happens outside of Kubernetes, like a bucket that vanishes.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// For what watches should tell us, in case they do not, and while something that they cannot tell is not as it should be.
const LOOK_SOON: Duration = Duration::from_secs(15);
/// While servers take over new keys.
const HANDING_OVER: Duration = Duration::from_secs(2);

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
    let Some(fetched) = Box::pin(fetch::fetch(context, namespace, name)).await? else {
        context.backoff.worked(namespace, name);
        return Ok(Action::await_change());
    };
    // Also when it is paused: a deletion is an order of its own.
    if fetched.cluster.metadata.deletion_timestamp.is_some() {
        return Box::pin(removal::run(context, &fetched)).await;
    }
    if is_paused(&fetched.cluster) {
        let api_pod = fetched
            .cluster
            .status
            .as_ref()
            .and_then(|status| status.api_pod.as_deref());
        status::report(context, &fetched, api_pod, &[], &Outcome::Paused).await?;
        return Ok(Action::await_change());
    }

    // First and whatever else happens: running servers need someone to take API requests.
    let (api_pod, label_changes) = api_pod::choose(&fetched.pods);
    apply::api_labels(context, namespace, &label_changes).await?;

    removal::keep_finalizer(context, &fetched.cluster).await?;
    let reports = agents::ask(&*context.agents, &fetched.pods).await;
    let outcome = match Box::pin(converge(context, &fetched, &reports)).await {
        Ok(outcome) => outcome,
        // The garbage collector will come for the DnsCluster too.
        Err(error) if error.is_namespace_ending() => return Ok(Action::await_change()),
        Err(error) => {
            let failed = Outcome::Failed(error.describe());
            // The first error is the one to report.
            let told = status::report(context, &fetched, api_pod.as_deref(), &reports, &failed).await;
            if let Err(second) = told {
                tracing::warn!(error = %second, "failed to report an error in the status");
            }
            return Err(error);
        }
    };
    let status = status::report(context, &fetched, api_pod.as_deref(), &reports, &outcome).await?;
    Ok(next(context, namespace, name, &outcome, &status))
}

/// Validate, build and apply.
async fn converge(context: &Context, fetched: &Fetched, reports: &[AgentReport]) -> Result<Outcome, Error> {
    let plan = match validate::validate(fetched, &context.settings) {
        Ok(plan) => Box::new(plan),
        Err(error) => return Ok(Outcome::Invalid(error)),
    };
    // Before keys are made that could not be kept.
    if let Some((name, taken)) = &fetched.taken {
        return Err(ApplyError::taken("Secret", name, taken.clone()).into());
    }
    let mut store_ip = None;
    if let Some(store) = build::store(&plan) {
        apply::prune_ingresses(context, &plan, &store.ingresses).await?;
        let store = Box::pin(apply::store(context, store)).await?;
        store_ip = serving_address(&store.stateful_set, &fetched.store_pods);
        if store_ip.is_none() {
            let details = trouble::summary(&fetched.store_pods);
            let error = StoreError::Starting { details };
            return Ok(Outcome::StoreNotReady { plan, error });
        }
    }
    let source = match plan.source(&*context.sources, store_ip) {
        Ok(source) => source,
        Err(error) => return Ok(Outcome::StoreNotReady { plan, error }),
    };
    let opened = keys::open(&*source, &plan, fetched, Timestamp::now());
    let (bucket_created, obtained) = match opened.await {
        Ok(ready) => ready,
        // Servers that run keep running with the keys they have.
        Err(error) => return Ok(Outcome::StoreNotReady { plan, error }),
    };
    let observed = Observed {
        pods: &fetched.pods,
        reports,
        ..Observed::default()
    };
    let known = fetched.cluster.status.clone().unwrap_or_default();
    retire::tell(
        context,
        &plan,
        fetched,
        &instances::retiring(&known, &plan, observed),
    )
    .await?;
    let servers = build::servers(&plan, &obtained.access);
    let resources = Box::new(Box::pin(apply::servers(context, servers)).await?);
    let settled = match &obtained.access {
        Access::Made(held) => keys::hand_over(context, &plan, &*source, fetched, held, reports).await?,
        Access::Given(_) | Access::ServiceAccount => true,
    };
    let warnings = match obtained.access.keys() {
        Some(keys) => source.warnings(keys).await,
        None => Vec::new(),
    };
    Ok(Outcome::Applied {
        plan,
        resources,
        store: Box::new(StoreOutcome {
            bucket_created,
            obtained,
            settled,
            warnings,
        }),
    })
}

fn next(
    context: &Context,
    namespace: &str,
    name: &str,
    outcome: &Outcome,
    status: &DnsClusterStatus,
) -> Action {
    match outcome {
        // Its StatefulSet and pod are watched.
        Outcome::StoreNotReady {
            error: StoreError::Starting { .. },
            ..
        } => Action::requeue(LOOK_SOON),
        Outcome::StoreNotReady { .. } => Action::requeue(context.backoff.failed(namespace, name)),
        Outcome::Invalid(_) => Action::await_change(),
        Outcome::Paused | Outcome::Failed(_) | Outcome::Deleting(_) | Outcome::DeletionBlocked(_) => {
            context.backoff.worked(namespace, name);
            Action::requeue(LOOK_AGAIN)
        }
        Outcome::Applied { store, .. } => {
            context.backoff.worked(namespace, name);
            if !store.settled {
                return Action::requeue(HANDING_OVER);
            }
            // No watch tells of what is in the bucket, and of what agents see.
            let replicating = conditions::find(&status.conditions, ConditionType::Replicating);
            let in_sync = replicating.is_some_and(|condition| condition.status == "True");
            if store.obtained.failing.is_some() || !in_sync || !status.retiring_instances.is_empty() {
                return Action::requeue(LOOK_SOON);
            }
            // Spread out, so that many clusters do not all ask at once.
            let jitter = Duration::from_secs(rand::rng().random_range(0..60));
            Action::requeue(until_renewal(&store.obtained).min(LOOK_AGAIN + jitter))
        }
    }
}

/// How long the keys are left alone.
fn until_renewal(obtained: &Obtained) -> Duration {
    let Access::Made(held) = &obtained.access else {
        return LOOK_AGAIN * 2;
    };
    let Some(time) = held.renew_at() else {
        return LOOK_AGAIN * 2;
    };
    let left = time.duration_since(Timestamp::now());
    // Not at the very moment, at which it is not yet due.
    Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1)
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
