//! How a store comes from one node to three, and how its pods are replaced. Pure.
//!
//! Two new pods are made first, beside the single node, which serves. When both answer there is room for them, and the first is replaced.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, PodSpec},
};
use kube::ResourceExt;

use super::{
    super::{
        api_pod::is_ready,
        rollout,
        verdict::{is_observed, is_updated},
    },
    layout::Node,
    marks::{is_filled, is_open},
};
use crate::{
    build::{SINGLE_NODE, StoreStage},
    names::STORE_NODES_ANNOTATION,
};

pub(super) const NODES: i32 = 3;
/// How long a roll-out waits for a node to be asked while not all three see each other: some of them may never do, as with another
/// secret.
const MEETS: SignedDuration = SignedDuration::from_mins(2);

/// What was seen.
pub(super) struct Seen<'a> {
    pub set: Option<&'a StatefulSet>,
    pub pods: &'a [Pod],
    /// Those that answer as nodes of three.
    pub nodes: &'a [Node],
    /// They see each other.
    pub introduced: bool,
    /// All three answer, see each other, and have what a layout is made of.
    pub meet: bool,
    pub paused: bool,
    pub now: Timestamp,
}

pub(super) fn stage(seen: &Seen<'_>) -> StoreStage {
    let Some(set) = seen.set else {
        return StoreStage::Making;
    };
    if is_grown(set) {
        let partition = partition(seen, set);
        return StoreStage::Grown { partition };
    }
    if is_of_one(set) {
        return StoreStage::Joining;
    }
    let name = format!("{}-0", set.name_any());
    let mut staying = seen
        .pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    match staying.find(|pod| pod.name_any() == name) {
        Some(pod) if is_single(pod) => {
            // With a layout of three a single node does not start: they were three before an older operator made one of them.
            let were_three = seen.nodes.iter().any(|node| node.view.layout > 0);
            let join = seen.nodes.len() == 2 && seen.introduced;
            if !seen.paused && (join || were_three) {
                StoreStage::Making
            } else {
                StoreStage::Joining
            }
        }
        Some(_) if has_grown(set, seen.pods) => StoreStage::Grown { partition: 0 },
        // It comes back as what was decided.
        None if rollout::asked_for(set) == Some(StoreStage::Joining.partition()) => StoreStage::Joining,
        _ => StoreStage::Making,
    }
}

/// A new revision goes on when the nodes that have it hold everything, but not by those that cannot while others are of an older one.
fn partition(seen: &Seen<'_>, set: &StatefulSet) -> i32 {
    let is_broken =
        |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && !is_ready(pod) && !is_updated(pod, set);
    if seen.pods.iter().filter(is_broken).count() > 1 {
        // There is no quorum to keep, and one that is deleted by hand is to come back in the new revision.
        return 0;
    }
    let goes_on = |pod: &Pod| is_filled(pod) || !(seen.meet || is_young(pod, seen.now));
    rollout::partition(NODES, Some(set), seen.pods, goes_on)
}

fn is_young(pod: &Pod, now: Timestamp) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|of| of.type_ == "Ready" && of.status == "True");
    let since = ready.find_map(|of| of.last_transition_time.as_ref());
    since.is_none_or(|since| now.duration_since(since.0) < MEETS)
}

pub(super) fn is_grown(set: &StatefulSet) -> bool {
    set.annotations().contains_key(STORE_NODES_ANNOTATION)
}

/// All may be asked, and Kubernetes makes no pod from the template of a single node any more.
fn has_grown(set: &StatefulSet, pods: &[Pod]) -> bool {
    let status = set.status.clone().unwrap_or_default();
    let open = pods.iter().filter(|pod| is_open(pod)).count();
    is_observed(set)
        && i32::try_from(open) == Ok(NODES)
        && status.update_revision.is_some()
        && status.current_revision == status.update_revision
}

/// Whether all of its pods are single nodes.
pub(super) fn is_of_one(set: &StatefulSet) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    template.is_none_or(runs_single)
}

pub(super) fn is_single(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(runs_single)
}

fn runs_single(spec: &PodSpec) -> bool {
    let mut arguments = spec.containers.iter().flat_map(|of| of.command.iter().flatten());
    arguments.any(|argument| argument == SINGLE_NODE)
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
