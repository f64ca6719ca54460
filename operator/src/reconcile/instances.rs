//! Who stores in the bucket: this cluster's servers, those it had, and others. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use zonetide_crds::{DnsClusterStatus, InstanceStatus, OtherInstanceStatus};

use super::{
    api_pod::{is_ready, ordinal},
    outcome::Observed,
    plan::Plan,
};
use crate::agents::AgentStatus;

/// More would make the object large, and nobody reads them.
const MOST_OTHERS: usize = 50;

/// Each pod's server. What nobody says now stays as it was said last.
pub(super) fn own(old: &DnsClusterStatus, plan: &Plan, observed: Observed<'_>) -> Vec<InstanceStatus> {
    let seen = seen(observed);
    let mut pods: Vec<_> = observed.pods.iter().collect();
    pods.sort_by_key(|pod| ordinal(pod));
    pods.into_iter()
        .map(|pod| {
            let name = pod.name_any();
            let instance = plan.instance(&name);
            let before = old.instances.iter().find(|of| of.instance == instance);
            let stored = seen.get(instance.as_str()).copied().flatten();
            let report = observed.reports.iter().find(|report| report.pod == name);
            let lag = report.and_then(|report| report.status.as_ref().ok()?.lag());
            InstanceStatus {
                ready: is_ready(pod),
                last_stored: stored
                    .map(to_the_minute)
                    .or_else(|| before.and_then(|of| of.last_stored.clone())),
                lag_seconds: lag.map(|seconds| seconds / 60 * 60),
                pod: name,
                instance,
            }
        })
        .collect()
}

/// Those of others, the newest first.
pub(super) fn others(
    old: &DnsClusterStatus,
    plan: &Plan,
    observed: Observed<'_>,
) -> Vec<OtherInstanceStatus> {
    if observed.answers().next().is_none() {
        return old.other_instances.clone();
    }
    let mut others: Vec<OtherInstanceStatus> = seen(observed)
        .into_iter()
        .filter(|(instance, _)| number(plan, instance).is_none())
        .map(|(instance, stored)| OtherInstanceStatus {
            instance: instance.to_owned(),
            last_stored: stored.map(to_the_minute),
        })
        .collect();
    // Those of the same minute keep the order of their names.
    others.sort_by(|a, b| b.last_stored.cmp(&a.last_stored));
    others.truncate(MOST_OTHERS);
    others
}

/// Servers that this cluster had and will not have again, and whose objects are still in the bucket. They are those that were in the
/// status: a name alone does not prove that an instance was ours.
pub(super) fn retiring(old: &DnsClusterStatus, plan: &Plan, observed: Observed<'_>) -> Vec<String> {
    // Somebody uses our names, so a server of such a name may be a living one.
    if observed.answers().any(AgentStatus::collides) {
        return Vec::new();
    }
    let had = old
        .instances
        .iter()
        .map(|of| &of.instance)
        .chain(&old.retiring_instances);
    let mut retiring: Vec<String> = had
        .filter(|instance| is_scaled_away(plan, instance))
        // Until the pod is gone it may still store its last change.
        .filter(|instance| {
            !observed
                .pods
                .iter()
                .any(|pod| plan.instance(&pod.name_any()) == **instance)
        })
        .filter(|instance| !is_gone(instance, observed))
        .cloned()
        .collect();
    retiring.sort();
    retiring.dedup();
    retiring
}

/// Of the servers that were retiring, those whose objects are gone.
pub(super) fn retired<'a>(
    old: &'a DnsClusterStatus,
    plan: &Plan,
    observed: Observed<'_>,
) -> impl Iterator<Item = &'a String> {
    old.retiring_instances
        .iter()
        .filter(move |instance| is_scaled_away(plan, instance) && is_gone(instance, observed))
}

/// Those who have read the whole bucket say so, and nobody says otherwise.
fn is_gone(instance: &str, observed: Observed<'_>) -> bool {
    observed.answers().any(AgentStatus::has_read_bucket)
        && !observed.answers().any(|status| status.sees(instance))
}

fn is_scaled_away(plan: &Plan, instance: &str) -> bool {
    number(plan, instance).is_some_and(|number| i64::from(number) >= i64::from(plan.spec.replicas))
}

/// The number of the pod, when the instance has the name of one of this cluster's.
pub(super) fn number(plan: &Plan, instance: &str) -> Option<u32> {
    let prefix = plan.instance(&format!("{}-", plan.names.cluster));
    let number = instance.strip_prefix(&prefix)?;
    number
        .parse()
        .ok()
        .filter(|parsed: &u32| parsed.to_string() == number)
}

/// All that the agents see in the bucket, with the time of what each stored last.
fn seen(observed: Observed<'_>) -> BTreeMap<&str, Option<Timestamp>> {
    let mut all: BTreeMap<&str, Option<Timestamp>> = BTreeMap::new();
    for (instance, stored) in observed.answers().flat_map(AgentStatus::seen) {
        let known = all.entry(instance).or_default();
        *known = stored.max(*known);
    }
    all
}

/// Else a cluster that is written to would get another status at each look.
fn to_the_minute(time: Timestamp) -> Time {
    let seconds = time.as_second();
    Time(Timestamp::from_second(seconds - seconds.rem_euclid(60)).unwrap_or(time))
}

#[cfg(test)]
#[path = "instances_tests.rs"]
mod tests;
