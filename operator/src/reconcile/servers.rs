//! The DNS servers and what leads to them. Keys are not looked at here: servers go on with those they have.

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;

use super::{
    apply, certificates,
    fetch::Fetched,
    instances,
    outcome::Observed,
    plan::{Plan, ServerPlan},
    retire, rollout, version,
};
use crate::{agents::AgentReport, build, context::Context, error::Error};

/// Brings the servers to what the plan says, and gives their `StatefulSet` as the API server has it then.
pub(super) async fn reconcile(
    context: &Context,
    plan: &Plan,
    servers: &ServerPlan,
    fetched: &Fetched,
    reports: &[AgentReport],
) -> Result<StatefulSet, Error> {
    let observed = Observed {
        pods: &fetched.pods,
        reports,
        now: Timestamp::now(),
        ..Observed::default()
    };
    let known = fetched.cluster.status.clone().unwrap_or_default();
    let retiring = instances::retiring(&known, plan, observed);
    retire::tell(context, plan, fetched, &retiring).await?;
    if !certificates::are_there(fetched) {
        certificates::keep(context, plan, fetched, observed.now).await?;
    }
    let doubted = version::is_doubted(&known.conditions);
    let fits = |pod: &Pod| version::fits(plan.origin.version, pod, observed, doubted);
    let stateful_set = fetched.stateful_set.as_ref();
    let partition = rollout::partition(plan.spec.replicas, stateful_set, &fetched.pods, fits);
    let servers = build::servers(plan, servers, partition);
    let config = servers.config.name_any();
    let stateful_set = Box::pin(apply::servers(context, servers)).await?.stateful_set;
    // A server that is started again reads the files of its revision, so they stay until no server is of another.
    if rollout::is_complete(&stateful_set, &fetched.pods) {
        apply::prune_configs(context, plan, &config).await?;
    }
    Ok(stateful_set)
}
