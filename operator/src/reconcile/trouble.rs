//! Why pods are not ready, in a few words each. Pure.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use super::{
    api_pod::{is_ready, ordinal},
    quote::quoted,
};

/// More than these would hide the first.
const NAMED: usize = 3;

/// Once may be an accident.
const FAILS: i32 = 2;
/// Who runs longer than this has started.
const AT_ONCE: SignedDuration = SignedDuration::from_mins(1);
/// Exit codes after SIGKILL, as for too much memory, and SIGTERM.
const KILLED: i32 = 137;
const TERMINATED: i32 = 143;

/// What `summary` says, after why pods cannot even be made.
pub(super) fn details(refusal: Option<&str>, pods: &[Pod]) -> String {
    match refusal {
        Some(refusal) => format!(
            ": no further pod can be made, it is tried again ({refusal}){}",
            summary(pods)
        ),
        None => summary(pods),
    }
}

/// A container fails at every start. One that ran for a while, or was killed, is none of these.
pub(super) fn keeps_ending(pods: &[Pod]) -> bool {
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
    let mut containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    containers.any(|of| !of.ready && of.restart_count >= FAILS && failed_at_once(of))
}

fn failed_at_once(container: &ContainerStatus) -> bool {
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let mut ended = states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref());
    ended.any(|ended| {
        let ran = ended.started_at.as_ref().zip(ended.finished_at.as_ref());
        let ran = ran.is_some_and(|(from, to)| to.0.duration_since(from.0) < AT_ONCE);
        ran && !matches!(ended.exit_code, 0 | KILLED | TERMINATED)
    })
}

/// `: a-0 (why), a-1 (why)`, or nothing when all pods are ready.
fn summary(pods: &[Pod]) -> String {
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

/// A container that waits for something to be put right: an image that cannot be pulled, or a program that ends at every start.
fn stuck(container: &ContainerStatus) -> Option<String> {
    let name = &container.name;
    if !container.ready
        && let Some(words) = last_words(container)
    {
        return Some(format!("{name} ended: {words}"));
    }
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    if matches!(reason, "PodInitializing" | "ContainerCreating") {
        return None;
    }
    // That it is pulled again later is said of the same trouble, in other words each time.
    let message = waiting
        .message
        .as_deref()
        .filter(|_| reason != "CrashLoopBackOff");
    Some(message.map_or_else(
        || format!("{name}: {reason}"),
        |message| format!("{name}: {reason}: {}", quoted(message)),
    ))
}

/// What a container that failed said at its end: the last line about an error, or the last.
fn last_words(container: &ContainerStatus) -> Option<String> {
    let ended = |state: Option<&ContainerState>| state.and_then(|state| state.terminated.clone());
    let ended = ended(container.state.as_ref()).or_else(|| ended(container.last_state.as_ref()))?;
    if ended.exit_code == 0 {
        return None;
    }
    let text = ended.message.unwrap_or_default();
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.contains("error") || line.contains("fatal") || line.contains("exception")
    };
    let words = lines().rfind(telling).or_else(|| lines().next_back());
    let Some(words) = words else {
        return Some(format!("exit code {}", ended.exit_code));
    };
    let of_another_version = container.name == "powerdns" && words.contains("schema version");
    let remedy = if of_another_version {
        "; its image is of another PowerDNS than the servers' data: name one of status.powerdnsVersion in spec.powerdns.image, \
         remove that field, or correct powerdns.images of the chart"
    } else {
        ""
    };
    Some(format!("{}{remedy}", quoted(words)))
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
    fn what_a_program_said_before_it_ended_is_quoted_and_why_an_image_cannot_be_had() {
        let ended = json!({"containerStatuses": [{
            "name": "powerdns", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"exitCode": 99, "message":
                "Loading '/usr/lib/pdns'\nFatal error: Trying to set unknown setting 'moon'\n"}},
        }]});
        assert_eq!(
            summary(&[pod("a-0", &ended)]),
            ": a-0 (powerdns ended: Fatal error: Trying to set unknown setting 'moon')"
        );
        let image = agent(&json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}));
        assert_eq!(
            summary(&[pod("a-0", &image)]),
            ": a-0 (agent: ErrImagePull: not found)"
        );
    }

    /// As PowerDNS 5.1 says on data of 4.9.
    #[test]
    fn an_image_of_another_schema_is_told_with_the_remedy() {
        let ended = json!({"containerStatuses": [{
            "name": "powerdns", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"terminated": {"exitCode": 1, "message": "STL Exception while filling the zone cache: This version of the \
                lmdbbackend only supports schema version 6. Configuration demands a lower version. Not starting up.\n"}},
        }]});
        let told = summary(&[pod("a-0", &ended)]);
        for part in ["only supports schema version 6", "spec.powerdns.image"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn what_refuses_a_pod_comes_first() {
        assert_eq!(
            details(Some("exceeded quota: small"), &[]),
            ": no further pod can be made, it is tried again (exceeded quota: small)"
        );
    }

    #[test]
    fn what_fails_at_every_start_keeps_ending_and_what_failed_once_or_runs_again_does_not() {
        let of = |ready: bool, restarts: i32, exit_code: i32, until: &str| {
            pod(
                "a-0",
                &json!({"containerStatuses": [{
                    "name": "garage", "image": "", "imageID": "", "ready": ready, "restartCount": restarts,
                    "lastState": {"terminated": {
                        "exitCode": exit_code, "startedAt": "2026-11-29T09:00:00Z", "finishedAt": until}},
                }]}),
            )
        };
        let (soon, late) = ("2026-11-29T09:00:02Z", "2026-11-29T11:00:00Z");
        assert!(keeps_ending(&[of(false, 2, 1, soon)]));
        for well in [
            of(true, 2, 1, soon),
            of(false, 1, 1, soon),
            of(false, 2, 0, soon),
            of(false, 7, 1, late),
            of(false, 7, 137, soon),
        ] {
            assert!(!keeps_ending(&[well]));
        }
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
