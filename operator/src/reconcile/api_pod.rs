//! Which pod takes API requests. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::ResourceExt;

use crate::names::{API_ACTIVE, API_LABEL};

/// A change of one pod's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelChange {
    Remove(String),
    Add(String),
}

/// Whether a pod is serving and not on its way out.
pub fn is_ready(pod: &Pod) -> bool {
    let ready = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// The pod to have the label, and the changes that make it so. The one that has it keeps it as long as it is ready:
/// every move makes clients see an older state for a moment.
pub fn choose(pods: &[Pod]) -> (Option<String>, Vec<LabelChange>) {
    let mut candidates: Vec<&Pod> = pods.iter().filter(|pod| is_ready(pod)).collect();
    // By ordinal: rolling updates and scaling in come to the lowest one last.
    candidates.sort_by_key(|pod| (ordinal(pod), pod.name_any()));
    let current = candidates
        .iter()
        .find(|pod| is_active(pod))
        .or_else(|| candidates.first());
    let chosen = current.map(|pod| pod.name_any());

    // Given first: in between the Service would lead nowhere. One that ends or is not ready gets no requests beside one that is.
    let given = current.filter(|pod| !is_active(pod));
    let mut changes: Vec<LabelChange> = given
        .map(|pod| LabelChange::Add(pod.name_any()))
        .into_iter()
        .collect();
    // With nobody to take its place it keeps the label: a pod that ends answers for a while, and one may get well.
    let others = pods
        .iter()
        .filter(|pod| chosen.is_some() && is_active(pod) && Some(pod.name_any()) != chosen);
    changes.extend(others.map(|pod| LabelChange::Remove(pod.name_any())));
    (chosen, changes)
}

/// The changes that take the label from a server whose agent is silent to one whose agent answers: nobody else sees what is written to
/// the first. None when nobody else answers, or who has the label does.
pub fn away_from(silent: &BTreeSet<String>, answering: &BTreeSet<String>, pods: &[Pod]) -> Vec<LabelChange> {
    let Some(active) = active(pods).filter(|pod| silent.contains(pod)) else {
        return Vec::new();
    };
    let mut others: Vec<&Pod> = pods
        .iter()
        .filter(|pod| is_ready(pod) && answering.contains(&pod.name_any()))
        .collect();
    others.sort_by_key(|pod| ordinal(pod));
    let other = others.first().map(|pod| pod.name_any());
    other.map_or_else(Vec::new, |other| {
        vec![LabelChange::Add(other), LabelChange::Remove(active)]
    })
}

/// The pod that has the label and is ready.
pub fn active(pods: &[Pod]) -> Option<String> {
    let mut active = pods.iter().filter(|pod| is_active(pod) && is_ready(pod));
    active.next().map(ResourceExt::name_any)
}

/// The pods that these slices lead to.
pub fn reached(slices: &[EndpointSlice]) -> Vec<String> {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    endpoints
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .is_some_and(|of| of.ready != Some(false))
        })
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.clone())
        .collect()
}

/// The number at the end of a pod's name.
pub fn ordinal(pod: &Pod) -> u32 {
    pod.name_any()
        .rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(u32::MAX)
}

fn is_active(pod: &Pod) -> bool {
    pod.labels()
        .get(API_LABEL)
        .is_some_and(|value| value == API_ACTIVE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, ready: bool, active: bool) -> Pod {
        let labels = if active {
            json!({API_LABEL: API_ACTIVE})
        } else {
            json!({})
        };
        let status = if ready { "True" } else { "False" };
        from(json!({
            "metadata": {"name": name, "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        }))
    }

    fn from(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_lowest_ready_pod_is_chosen_by_number_and_not_by_text() {
        let pods = [
            pod("a-10", true, false),
            pod("a-2", true, false),
            pod("a-0", false, false),
        ];
        assert_eq!(
            choose(&pods),
            (Some("a-2".into()), vec![LabelChange::Add("a-2".into())])
        );
    }

    #[test]
    fn the_chosen_pod_stays_when_a_lower_one_becomes_ready() {
        let pods = [pod("a-0", true, false), pod("a-1", true, true)];
        assert_eq!(choose(&pods), (Some("a-1".into()), vec![]));
    }

    #[test]
    fn the_label_moves_from_a_pod_that_is_not_ready_and_is_given_first() {
        let pods = [pod("a-0", false, true), pod("a-1", true, false)];
        let (chosen, changes) = choose(&pods);
        assert_eq!(chosen.as_deref(), Some("a-1"));
        assert_eq!(
            changes,
            vec![LabelChange::Add("a-1".into()), LabelChange::Remove("a-0".into())]
        );
    }

    #[test]
    fn a_pod_on_its_way_out_is_not_chosen() {
        let mut leaving = pod("a-0", true, true);
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let (chosen, _) = choose(&[leaving, pod("a-1", true, false)]);
        assert_eq!(chosen.as_deref(), Some("a-1"));
    }

    #[test]
    fn of_two_labelled_pods_one_is_kept() {
        let pods = [pod("a-0", true, true), pod("a-1", true, true)];
        assert_eq!(
            choose(&pods),
            (Some("a-0".into()), vec![LabelChange::Remove("a-1".into())])
        );
    }

    #[test]
    fn without_ready_pods_nobody_is_chosen_and_the_one_that_has_the_label_keeps_it() {
        let pods = [pod("a-0", false, true)];
        assert_eq!(choose(&pods), (None, vec![]));
        assert_eq!(active(&pods), None);
        assert_eq!(active(&[pod("a-0", true, true)]).as_deref(), Some("a-0"));
    }

    #[test]
    fn the_label_leaves_a_server_whose_agent_is_silent_for_one_whose_agent_answers() {
        let pods = [
            pod("a-0", true, true),
            pod("a-1", false, false),
            pod("a-2", true, false),
        ];
        let set =
            |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        assert_eq!(
            away_from(&set(&["a-0"]), &set(&["a-1", "a-2"]), &pods),
            [LabelChange::Add("a-2".into()), LabelChange::Remove("a-0".into())]
        );
        assert_eq!(away_from(&set(&["a-0", "a-2"]), &set(&[]), &pods), []);
        assert_eq!(away_from(&set(&["a-2"]), &set(&["a-0"]), &pods), []);
    }

    #[test]
    fn a_service_leads_to_the_endpoints_that_are_ready() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "addressType": "IPv4", "metadata": {}, "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "a-0"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}, "targetRef": {"kind": "Pod", "name": "a-1"}},
            ],
        }))
        .unwrap();
        assert_eq!(reached(&[slice]), ["a-0"]);
        assert!(reached(&[]).is_empty());
    }
}
