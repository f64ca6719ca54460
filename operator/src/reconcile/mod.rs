//! Brings one `DnsCluster` to what its spec says. What there is, is fetched once; a spec becomes a plan; then each area is seen to
//! by itself: store and keys, what is exposed, and the servers, which go on with the keys they have whatever the store does.
//! Conditions say what came of each.

pub mod admin;
pub mod api_pod;
pub mod api_service;
pub mod apply;
mod certificates;
pub mod claims;
pub mod conditions;
mod credentials;
pub mod expose;
pub mod fetch;
pub mod grant;
mod instances;
pub mod keys;
pub mod notices;
pub mod origin;
pub mod outcome;
pub mod ownership;
pub mod plan;
mod quote;
pub mod refusals;
pub mod removal;
mod replication;
mod retire;
mod rollout;
mod s3_sources;
mod servers;
pub mod status;
mod store;
pub mod store_nodes;
mod sts_store;
mod trouble;
pub mod validate;
pub mod verdict;
mod version;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{ResourceExt, core::DeserializeGuard, runtime::controller::Action};
use rand::RngExt;
use zonetide_crds::{ConditionType, DnsCluster, DnsClusterSpec, DnsClusterStatus, PAUSED_ANNOTATION};

use self::{
    apply::ApplyError,
    fetch::Fetched,
    keys::{Access, Obtained},
    outcome::{Observed, Outcome, Reconciled},
};
use crate::{
    agents::{self, AgentReport},
    context::Context,
    error::Error,
    names::Names,
    objectstore::StoreError,
};

/// Watches tell us of changes; this is for what happens outside of Kubernetes, like a bucket that vanishes.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// For what a server holds back until somebody decides.
const LOOK_FOR_HELD: Duration = Duration::from_secs(30);
/// For what a server says a moment after it is ready.
const LOOK_AT_ONCE: Duration = Duration::from_secs(2);
/// For what watches should tell us, in case they do not, and while something that they cannot tell is not as it should be.
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
    let Some(fetched) = Box::pin(fetch::fetch(context, namespace, name)).await? else {
        context.backoff.worked(namespace, name);
        context.handing_over.worked(namespace, name);
        context.silences.forget(namespace, name);
        return Ok(Action::await_change());
    };
    // Also when it is paused: a deletion is an order of its own.
    if fetched.cluster.metadata.deletion_timestamp.is_some() {
        return Box::pin(removal::run(context, &fetched)).await;
    }
    if !is_paused(&fetched.cluster) {
        claims::keep(context, &fetched).await;
    }
    let reports = agents::ask(&*context.agents, &fetched.pods).await;
    let names = Names {
        namespace: namespace.to_owned(),
        cluster: name.to_owned(),
    };
    api_service::leave_silent(context, &names, &fetched.pods, &reports).await?;
    let (reconciled, error) = Box::pin(converge(context, &fetched, &reports)).await;
    // The garbage collector will come for the DnsCluster too.
    if error.as_ref().is_some_and(Error::is_namespace_ending) {
        return Ok(Action::await_change());
    }
    let outcome = Outcome::Reconciled(Box::new(reconciled));
    let told = status::report(context, &fetched, &reports, &outcome).await;
    match (error, told) {
        (None, Ok(status)) => Ok(next(context, &names, &fetched.cluster.spec, &outcome, &status)),
        (None, Err(error)) => Err(error.into()),
        (Some(error), told) => {
            // The first error is the one to report.
            if let Err(second) = told {
                tracing::warn!(error = %second, "failed to report an error in the status");
            }
            Err(error)
        }
    }
}

/// Sees to each area. The error is the first request to the API server that failed: what does not depend on it was done all the
/// same.
async fn converge(
    context: &Context,
    fetched: &Fetched,
    reports: &[AgentReport],
) -> (Reconciled, Option<Error>) {
    let mut done = Reconciled {
        paused: is_paused(&fetched.cluster),
        stateful_set: fetched.stateful_set.clone(),
        awaits_version: version::is_awaited(Observed {
            pods: &fetched.pods,
            reports,
            now: Timestamp::now(),
            ..Observed::default()
        }),
        ..Reconciled::default()
    };
    let plan = match validate::validate(fetched, &context.settings) {
        Ok(plan) => Box::new(plan),
        Err(error) => {
            done.invalid = Some(error);
            return (done, None);
        }
    };
    done.invalid = plan.servers.as_ref().err().cloned();
    // Before keys are made that could not be kept.
    let seen_to = match prepare(context, fetched).await {
        Ok(()) => Box::pin(areas(context, &plan, fetched, reports, &mut done)).await,
        Err(error) => Err(error),
    };
    let first = seen_to.err();
    done.failed = first.as_ref().map(Error::describe);
    done.plan = Some(plan);
    (done, first)
}

/// What must be so before anything is made.
async fn prepare(context: &Context, fetched: &Fetched) -> Result<(), Error> {
    removal::keep_finalizer(context, &fetched.cluster).await?;
    match &fetched.taken {
        Some((name, taken)) => Err(ApplyError::taken("Secret", name, taken.clone()).into()),
        None => Ok(()),
    }
}

/// Every area, and the first error.
async fn areas(
    context: &Context,
    plan: &plan::Plan,
    fetched: &Fetched,
    reports: &[AgentReport],
    done: &mut Reconciled,
) -> Result<(), Error> {
    let mut first = Ok(());
    let mut note = |error: Error| {
        if first.is_ok() {
            first = Err(error);
        }
    };
    // Those that agents have are renewed, whatever is wrong besides; before the servers, of which one may be new.
    if certificates::are_there(fetched)
        && let Err(error) = certificates::keep(context, plan, fetched, Timestamp::now()).await
    {
        note(error.into());
    }
    // Servers that have keys wait for nothing. Others are made once there are some.
    // But for a new one it is looked first whether its place in the bucket is free, and nobody is sent a way that cannot be told.
    let known = keys::are_known(plan, fetched) && !plan.origin.is_new && plan.proxy.is_ok();
    if known {
        match servers(context, plan, fetched, reports, done.paused).await {
            Ok(applied) => done.servers(applied),
            Err(error) => note(error),
        }
    }
    if !done.paused
        && let Err(error) = apply::ingresses(context, plan).await
    {
        done.exposure_failed = Some(Error::from(error).describe());
    }
    // What was never there is not made while paused; keys that servers use are renewed. Keys to another store are not for servers
    // that cannot be sent there.
    if known || (!done.paused && plan.servers.is_ok()) {
        match Box::pin(store::reconcile(context, plan, fetched, reports, done.paused)).await {
            Ok(store) => done.store = Some(store),
            Err(error) => note(error),
        }
    }
    if !known && matches!(done.store, Some(Ok(_))) {
        match servers(context, plan, fetched, reports, done.paused).await {
            Ok(applied) => done.servers(applied),
            Err(error) => note(error),
        }
    }
    first
}

/// None when they are to be left alone.
async fn servers(
    context: &Context,
    plan: &plan::Plan,
    fetched: &Fetched,
    reports: &[AgentReport],
    paused: bool,
) -> Result<Option<StatefulSet>, Error> {
    match &plan.servers {
        Ok(servers) if !paused => Box::pin(servers::reconcile(context, plan, servers, fetched, reports))
            .await
            .map(Some),
        _ => Ok(None),
    }
}

fn next(
    context: &Context,
    names: &Names,
    spec: &DnsClusterSpec,
    outcome: &Outcome,
    status: &DnsClusterStatus,
) -> Action {
    let (namespace, name) = (&*names.namespace, &*names.cluster);
    let Some(reconciled) = outcome.reconciled() else {
        return Action::requeue(LOOK_AGAIN);
    };
    let store = match &reconciled.store {
        // Its StatefulSet and pod are watched.
        Some(Err(
            StoreError::Starting { .. } | StoreError::Failing { .. } | StoreError::NodesLost { .. },
        )) => {
            return Action::requeue(LOOK_SOON);
        }
        // What its nodes tell each other is not.
        Some(Err(StoreError::Growing { .. })) => return Action::requeue(LOOK_AT_ONCE),
        Some(Err(_)) => return Action::requeue(context.backoff.failed(namespace, name)),
        // Little can be done before the spec or the annotation changes, which are watched; keys may end meanwhile.
        None => return Action::requeue(LOOK_AGAIN),
        Some(Ok(store)) => store,
    };
    context.backoff.worked(namespace, name);
    // What the nodes of a store tell each other is not watched.
    let look_again = store.nodes.look_again.unwrap_or(LOOK_AGAIN);
    if look_again <= LOOK_SOON {
        return Action::requeue(look_again);
    }
    if !store.settled {
        // A server that cannot say which keys it uses may be so for days.
        return Action::requeue(context.handing_over.failed(namespace, name));
    }
    context.handing_over.worked(namespace, name);
    if reconciled.awaits_version {
        return Action::requeue(LOOK_AT_ONCE);
    }
    // No watch tells of what is in the bucket, and of what agents see.
    let replicating = conditions::find(&status.conditions, ConditionType::Replicating);
    let in_sync = replicating.is_some_and(|condition| condition.status == "True");
    let failing = store.obtained.failing.is_some() || reconciled.exposure_failed.is_some();
    if failing || !in_sync || !status.retiring_instances.is_empty() {
        return Action::requeue(LOOK_SOON);
    }
    // Spread out, so that many clusters do not all ask at once.
    let jitter = Duration::from_secs(rand::rng().random_range(0..60));
    let look_again = match spec.protection.max_deleted_zones_per_minute {
        Some(_) => LOOK_FOR_HELD,
        None => look_again + jitter,
    };
    Action::requeue(until_renewal(&store.obtained).min(look_again))
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

pub(crate) fn is_paused(cluster: &DnsCluster) -> bool {
    cluster
        .annotations()
        .get(PAUSED_ANNOTATION)
        .is_some_and(|value| value == "true")
}

#[cfg(test)]
mod scenarios;
