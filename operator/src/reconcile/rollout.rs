//! How far a roll-out may go. Pure.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;

use super::{
    api_pod::is_ready,
    verdict::{is_observed, is_updated},
};

/// How many servers, from the first on, keep the revision that they have: the `StatefulSet`'s partition. Servers are replaced from
/// the last one on, each when those before it are ready. So a revision that does not get ready stops at one server, and
/// another that is deleted or loses its node meanwhile comes back in the revision that works. One that runs what it should not, by
/// `fits`, stops it as well.
pub(super) fn partition(
    replicas: i32,
    stateful_set: Option<&StatefulSet>,
    pods: &[Pod],
    fits: impl Fn(&Pod) -> bool,
) -> i32 {
    let Some(stateful_set) = stateful_set else {
        return replicas;
    };
    if !is_observed(stateful_set) {
        // As it was asked for the last time: another value before that is seen would be one more thing to see.
        return asked_for(stateful_set).unwrap_or(replicas);
    }
    let done = |number: i32| {
        let name = format!("{}-{number}", stateful_set.name_any());
        let pod = pods.iter().find(|pod| pod.name_any() == name);
        pod.is_some_and(|pod| is_ready(pod) && is_updated(pod, stateful_set) && fits(pod))
    };
    let first_done = (0..replicas).rev().take_while(|number| done(*number)).last();
    match first_done.unwrap_or(replicas) {
        // All are; a new revision begins when it is known.
        0 => replicas,
        first => first - 1,
    }
}

pub(super) fn asked_for(stateful_set: &StatefulSet) -> Option<i32> {
    let strategy = stateful_set.spec.as_ref()?.update_strategy.as_ref()?;
    strategy.rolling_update.as_ref()?.partition
}

/// All servers are of the newest revision, and serve.
pub(super) fn is_complete(stateful_set: &StatefulSet, pods: &[Pod]) -> bool {
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

    fn set() -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "a", "generation": 2}, "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"replicas": 2, "observedGeneration": 2, "updateRevision": "new"},
        }))
        .unwrap()
    }

    fn of(pods: &[(&str, bool, &str)]) -> i32 {
        let pods: Vec<Pod> = pods
            .iter()
            .map(|(name, ready, revision)| pod(name, *ready, revision))
            .collect();
        partition(3, Some(&set()), &pods, |_| true)
    }

    #[test]
    fn servers_are_replaced_from_the_last_on_each_when_those_before_it_are_ready() {
        let old = |name| (name, true, "old");
        let new = |name| (name, true, "new");
        assert_eq!(of(&[old("a-0"), old("a-1"), old("a-2")]), 2);
        assert_eq!(of(&[old("a-0"), old("a-1"), ("a-2", false, "new")]), 2);
        assert_eq!(of(&[old("a-0"), old("a-1"), new("a-2")]), 1);
        assert_eq!(of(&[old("a-0"), new("a-1"), new("a-2")]), 0);
        // The first may be replaced, and one that got unready since is not overtaken.
        assert_eq!(of(&[("a-0", false, "new"), new("a-1"), new("a-2")]), 0);
        assert_eq!(of(&[old("a-0"), new("a-1"), ("a-2", false, "new")]), 2);
    }

    #[test]
    fn between_roll_outs_and_before_a_new_revision_is_known_nobody_is_replaced() {
        assert_eq!(
            of(&[("a-0", true, "new"), ("a-1", true, "new"), ("a-2", true, "new")]),
            3
        );
        assert_eq!(partition(3, None, &[], |_| true), 3);
    }

    #[test]
    fn a_server_that_runs_what_it_should_not_is_the_last_that_is_replaced() {
        let pods = [
            pod("a-0", true, "old"),
            pod("a-1", true, "old"),
            pod("a-2", true, "new"),
        ];
        assert_eq!(
            partition(3, Some(&set()), &pods, |pod| pod.name_any() != "a-2"),
            3 - 1
        );
        assert_eq!(partition(3, Some(&set()), &pods, |_| true), 1);
    }

    #[test]
    fn before_the_last_partition_is_seen_there_is_no_other() {
        let mut unseen = set();
        unseen.metadata.generation = Some(3);
        assert_eq!(
            partition(3, Some(&unseen), &[], |_| true),
            3,
            "from before there were partitions"
        );
        let strategy = serde_json::from_value(json!({"rollingUpdate": {"partition": 1}})).unwrap();
        unseen.spec.as_mut().unwrap().update_strategy = Some(strategy);
        assert_eq!(partition(3, Some(&unseen), &[], |_| true), 1);
    }

    #[test]
    fn files_of_older_revisions_stay_while_a_server_may_be_started_from_them() {
        let new = |name| pod(name, true, "new");
        assert!(is_complete(&set(), &[new("a-0"), new("a-1")]));
        assert!(!is_complete(&set(), &[new("a-0")]));
        assert!(!is_complete(&set(), &[new("a-0"), pod("a-1", true, "old")]));
        assert!(!is_complete(&set(), &[new("a-0"), pod("a-1", false, "new")]));
        let mut unseen = set();
        unseen.metadata.generation = Some(3);
        assert!(!is_complete(&unseen, &[new("a-0"), new("a-1")]));
    }
}
