//! Why a pod is not even made: quota, `LimitRange`, Pod Security, a webhook. A `StatefulSet` says so in Events alone.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Event};
use kube::{Api, ResourceExt, api::ListParams};

use super::quote::quoted;
use crate::context::Context;

/// The newest refusal of each `StatefulSet` that has fewer pods than it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    pub servers: Option<String>,
    pub store: Option<String>,
}

/// Looks for them where pods are missing: the servers' `StatefulSet` and the store's, each with how many pods it has.
pub(super) async fn fetch(
    context: &Context,
    namespace: &str,
    [servers, store]: [(&Option<StatefulSet>, usize); 2],
) -> Refusals {
    Refusals {
        servers: of(context, namespace, servers).await,
        store: of(context, namespace, store).await,
    }
}

async fn of(
    context: &Context,
    namespace: &str,
    (stateful_set, pods): (&Option<StatefulSet>, usize),
) -> Option<String> {
    let lacking = stateful_set.as_ref().filter(|set| lacks_pods(set, pods));
    let (set, uid) = lacking.and_then(|set| Some((set, set.uid()?)))?;
    let events: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("involvedObject.uid={uid},reason=FailedCreate");
    match events.list(&ListParams::default().fields(&selector)).await {
        Ok(listed) => newest(&listed.items),
        // All else goes on without knowing why.
        Err(error) => {
            tracing::warn!(%namespace, name = set.name_any(), %error, "cannot read the Events of a StatefulSet");
            None
        }
    }
}

fn lacks_pods(stateful_set: &StatefulSet, pods: usize) -> bool {
    let wanted = stateful_set.spec.as_ref().and_then(|spec| spec.replicas);
    usize::try_from(wanted.unwrap_or(1)).is_ok_and(|wanted| pods < wanted)
}

/// What the newest says, without what was attempted.
fn newest(events: &[Event]) -> Option<String> {
    let time = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.max(event.event_time.as_ref().map(|time| time.0))
    };
    let message = events
        .iter()
        .max_by_key(|event| time(event))?
        .message
        .as_deref()?;
    let cause = message
        .split_once("failed error: ")
        .map_or(message, |(_, cause)| cause);
    Some(quoted(cause))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(time: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "lastTimestamp": time, "message": message,
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_refusal_is_quoted_without_what_was_attempted() {
        let attempt = "create Pod tide-garage-0 in StatefulSet tide-garage failed error: ";
        let quota = "pods \"tide-garage-0\" is forbidden: exceeded quota: small";
        let events = [
            event("2026-01-01T00:00:02Z", &format!("{attempt}{quota}")),
            event(
                "2026-01-01T00:00:01Z",
                "create Pod tide-garage-0 in StatefulSet tide-garage failed error: other",
            ),
        ];
        assert_eq!(newest(&events).as_deref(), Some(quota));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn whoever_has_all_pods_is_not_asked_about() {
        let set: StatefulSet = serde_json::from_value(
            json!({"metadata": {}, "spec": {"replicas": 2, "selector": {}, "template": {}}}),
        )
        .unwrap();
        assert!(lacks_pods(&set, 1));
        assert!(!lacks_pods(&set, 2));
    }
}
