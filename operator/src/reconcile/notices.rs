//! What is worth an Event: changes of conditions, told once. Pure.

use kube::runtime::events::{Event, EventType};
use zonetide_crds::{ConditionType, DnsClusterStatus, Reason};

use super::conditions::find;

/// An Event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub warning: bool,
    pub reason: String,
    pub note: String,
    pub action: &'static str,
}

impl Notice {
    pub fn event(&self) -> Event {
        Event {
            type_: if self.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: self.reason.clone(),
            // What the API server takes.
            note: Some(self.note.chars().take(1024).collect()),
            action: self.action.to_owned(),
            secondary: None,
        }
    }
}

/// What changed from one status to the next.
pub fn between(old: &DnsClusterStatus, new: &DnsClusterStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    for type_ in [
        ConditionType::Paused,
        ConditionType::ObjectStoreReady,
        ConditionType::Progressing,
        ConditionType::Ready,
    ] {
        notices.extend(condition(type_, old, new));
    }
    if let Some(pod) = new
        .api_pod
        .as_ref()
        .filter(|pod| old.api_pod.as_ref() != Some(*pod))
    {
        notices.push(Notice {
            warning: false,
            reason: "ApiServerChosen".to_owned(),
            note: format!("API requests go to {pod}"),
            action: "ChooseApiServer",
        });
    }
    notices
}

fn condition(type_: ConditionType, old: &DnsClusterStatus, new: &DnsClusterStatus) -> Option<Notice> {
    let before = find(&old.conditions, type_);
    let after = find(&new.conditions, type_);
    let key = |condition: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>| {
        condition.map(|condition| (condition.status.clone(), condition.reason.clone()))
    };
    if key(before) == key(after) {
        return None;
    }
    let was_true = before.is_some_and(|condition| condition.status == "True");
    let Some(after) = after else {
        return (type_ == ConditionType::Paused).then(|| Notice {
            warning: false,
            reason: "Resumed".to_owned(),
            note: "the cluster is brought to what its spec says again".to_owned(),
            action: "Resume",
        });
    };
    let is_true = after.status == "True";
    let normal_step = |reason: &str| {
        [Reason::StoreStarting, Reason::RollingUpdate, Reason::Scaling]
            .iter()
            .any(|step| step.as_str() == reason)
    };
    let (told, action) = match type_ {
        ConditionType::Paused => (is_true, "Pause"),
        ConditionType::ObjectStoreReady => (after.status != "Unknown", "PrepareObjectStore"),
        // Its other changes are told by Ready.
        ConditionType::Progressing => (after.reason == Reason::ReconcileFailed.as_str(), "Reconcile"),
        ConditionType::Ready => {
            let mistake = [Reason::InvalidSpec, Reason::SecretMissing];
            let mistaken = mistake.iter().any(|reason| reason.as_str() == after.reason);
            // That the store is not ready is told by its own condition.
            let store = after.reason == Reason::ObjectStoreNotReady.as_str();
            (is_true || mistaken || (was_true && !store), "Serve")
        }
    };
    told.then(|| Notice {
        warning: !is_true && !normal_step(&after.reason),
        reason: after.reason.clone(),
        note: after.message.clone(),
        action,
    })
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
