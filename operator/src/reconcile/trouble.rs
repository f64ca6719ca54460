//! Why pods are not ready, in a few words each. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::api_pod::{is_ready, ordinal};

/// More than these would hide the first.
const NAMED: usize = 3;

/// `: a-0 (why), a-1 (why)`, or nothing when all pods are ready.
pub(super) fn summary(pods: &[Pod]) -> String {
    let mut troubled: Vec<&Pod> = pods.iter().filter(|pod| !is_ready(pod)).collect();
    troubled.sort_by_key(|pod| ordinal(pod));
    if troubled.is_empty() {
        return String::new();
    }
    let rest = troubled.len().saturating_sub(NAMED);
    let named: Vec<String> = troubled
        .iter()
        .take(NAMED)
        .map(|pod| format!("{} ({})", pod.name_any(), cause(pod)))
        .collect();
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    format!(": {}{more}", named.join(", "))
}

fn cause(pod: &Pod) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "ending".to_owned();
    }
    let Some(status) = &pod.status else {
        return "new".to_owned();
    };
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return format!(
            "not scheduled: {}",
            condition.message.as_deref().unwrap_or("no reason given")
        );
    }
    let init = status.init_container_statuses.iter().flatten();
    let containers: Vec<&ContainerStatus> = init.chain(status.container_statuses.iter().flatten()).collect();
    containers
        .iter()
        .find_map(|container| stuck(container))
        .unwrap_or_else(|| unready(&containers))
}

/// A container that waits for something to be put right.
fn stuck(container: &ContainerStatus) -> Option<String> {
    let reason = container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()?;
    let ordinary = matches!(reason, "PodInitializing" | "ContainerCreating");
    (!ordinary).then(|| format!("{}: {reason}", container.name))
}

fn unready(containers: &[&ContainerStatus]) -> String {
    // The agent comes first: PowerDNS starts when it has loaded the bucket.
    match containers.iter().find(|container| !container.ready) {
        Some(container) if container.name == "agent" && running(container) => "loads the bucket".to_owned(),
        Some(container) => format!("{} starts", container.name),
        None => "starts".to_owned(),
    }
}

fn running(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
    }

    fn agent(state: &Value) -> Value {
        json!({"initContainerStatuses": [
            {"name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
        ]})
    }

    #[test]
    fn ready_pods_are_no_trouble() {
        assert_eq!(
            summary(&[pod(
                "a-0",
                &json!({"conditions": [{"type": "Ready", "status": "True"}]})
            )]),
            ""
        );
    }

    #[test]
    fn the_cause_is_named_for_each_pod_in_order() {
        let pods = [
            pod("a-1", &agent(&json!({"waiting": {"reason": "ImagePullBackOff"}}))),
            pod("a-0", &agent(&json!({"running": {}}))),
        ];
        assert_eq!(
            summary(&pods),
            ": a-0 (loads the bucket), a-1 (agent: ImagePullBackOff)"
        );
    }

    #[test]
    fn the_scheduler_is_quoted() {
        let status =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node fits"}]});
        assert_eq!(
            summary(&[pod("a-0", &status)]),
            ": a-0 (not scheduled: no node fits)"
        );
    }

    #[test]
    fn only_the_first_few_are_named() {
        let pods: Vec<Pod> = (0..5).map(|n| pod(&format!("a-{n}"), &json!({}))).collect();
        assert_eq!(
            summary(&pods),
            ": a-0 (starts), a-1 (starts), a-2 (starts) and 2 more"
        );
    }
}
