//! The DNS servers and what leads to them. Keys are not looked at here: servers go on with those they have.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;

use super::{
    api_pod::is_ready,
    apply,
    fetch::Fetched,
    instances,
    outcome::Observed,
    retire,
    validate::{Plan, ServerPlan},
    verdict::{is_observed, is_updated},
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
        ..Observed::default()
    };
    let known = fetched.cluster.status.clone().unwrap_or_default();
    let retiring = instances::retiring(&known, plan, observed);
    retire::tell(context, plan, fetched, &retiring).await?;
    let servers = build::servers(plan, servers);
    let config = servers.config.name_any();
    let stateful_set = Box::pin(apply::servers(context, servers)).await?.stateful_set;
    // A server that is started again reads the files of its revision, so they stay until no server is of another.
    if has_settled(&stateful_set, &fetched.pods) {
        apply::prune_configs(context, plan, &config).await?;
    }
    Ok(stateful_set)
}

/// All servers are of the newest revision, and serve.
fn has_settled(stateful_set: &StatefulSet, pods: &[Pod]) -> bool {
    let wanted = stateful_set.spec.as_ref().and_then(|spec| spec.replicas);
    let complete = wanted.and_then(|wanted| usize::try_from(wanted).ok()) == Some(pods.len());
    complete
        && is_observed(stateful_set)
        && pods
            .iter()
            .all(|pod| is_ready(pod) && is_updated(pod, stateful_set))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::pod;

    #[test]
    fn files_of_older_revisions_stay_while_a_server_may_be_started_from_them() {
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": {"generation": 2}, "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"replicas": 2, "observedGeneration": 2, "updateRevision": "new"},
        }))
        .unwrap();
        let new = |name| pod(name, true, "new");
        assert!(has_settled(&set, &[new("a-0"), new("a-1")]));
        assert!(!has_settled(&set, &[new("a-0")]));
        assert!(!has_settled(&set, &[new("a-0"), pod("a-1", true, "old")]));
        assert!(!has_settled(&set, &[new("a-0"), pod("a-1", false, "new")]));
        let mut unseen = set;
        unseen.metadata.generation = Some(3);
        assert!(!has_settled(&unseen, &[new("a-0"), new("a-1")]));
    }
}
