//! What is worth an Event: changes of conditions, told once. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};
use zonetide_crds::{ConditionType, DnsClusterStatus, Reason};

use super::{
    conditions::find,
    credentials, instances,
    outcome::{Observed, Outcome},
};

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
        ConditionType::CredentialsReady,
        ConditionType::Exposed,
        ConditionType::Replicating,
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
            reason: "ApiPodChosen".to_owned(),
            note: format!("API requests go to {pod}"),
            action: "ChooseApiPod",
        });
    }
    notices
}

/// What was done, which no condition shows by itself.
pub fn of(old: &DnsClusterStatus, outcome: &Outcome, observed: Observed<'_>) -> Vec<Notice> {
    let renewal = credentials::renewal(outcome).map(|note| Notice {
        warning: false,
        reason: "CredentialsRenewed".to_owned(),
        note,
        action: "RenewCredentials",
    });
    let retired = outcome
        .plan()
        .into_iter()
        .flat_map(|plan| instances::retired(old, plan, observed));
    let retired = retired.map(|instance| Notice {
        warning: false,
        reason: "InstanceRetired".to_owned(),
        note: format!(
            "the objects of {instance}, a server that was scaled away, are gone from the bucket: the others have all its changes"
        ),
        action: "RetireInstance",
    });
    let warnings = bucket_warnings(old, outcome);
    renewal.into_iter().chain(retired).chain(warnings).collect()
}

/// What is new of the bucket. The condition that says it stays true, and would be no Event.
fn bucket_warnings<'a>(
    old: &'a DnsClusterStatus,
    outcome: &'a Outcome,
) -> impl Iterator<Item = Notice> + use<'a> {
    let known = find(&old.conditions, ConditionType::ObjectStoreReady);
    let store = outcome.store().into_iter();
    let new = store
        .flat_map(|store| &store.warnings)
        .filter(move |warning| known.is_none_or(|condition| !condition.message.contains(warning.as_str())));
    new.map(|warning| Notice {
        warning: true,
        reason: "BucketAtRisk".to_owned(),
        note: warning.clone(),
        action: "PrepareObjectStore",
    })
}

fn condition(type_: ConditionType, old: &DnsClusterStatus, new: &DnsClusterStatus) -> Option<Notice> {
    let before = find(&old.conditions, type_);
    let after = find(&new.conditions, type_);
    let key = |condition: Option<&Condition>| {
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
        [
            Reason::StoreStarting,
            Reason::RollingUpdate,
            Reason::Scaling,
            Reason::Deleting,
        ]
        .iter()
        .any(|step| step.as_str() == reason)
    };
    let (told, action) = match type_ {
        ConditionType::Paused => (is_true, "Pause"),
        ConditionType::CredentialsReady => {
            // What keeps the bucket from being ready is told by the condition of that.
            let own = |reason: &str| {
                [Reason::RenewalFailed, Reason::KeysExpired]
                    .iter()
                    .any(|word| word.as_str() == reason)
            };
            let healed = is_true && before.is_some_and(|before| own(&before.reason));
            (own(&after.reason) || healed, "RenewCredentials")
        }
        ConditionType::Replicating => {
            let trouble = |condition: &Condition| {
                condition.status == "False" || condition.reason == Reason::AgentsUnreachable.as_str()
            };
            let healed = is_true && before.is_some_and(trouble);
            (trouble(after) || healed, "Replicate")
        }
        ConditionType::Exposed => (true, "Expose"),
        // No DnsCluster has it.
        ConditionType::Stalled => (false, "Restore"),
        ConditionType::ObjectStoreReady => (after.status != "Unknown", "PrepareObjectStore"),
        // Its other changes are told by Ready.
        ConditionType::Progressing => {
            let told = [Reason::ReconcileFailed, Reason::DeletionBlocked];
            let told = told.iter().any(|reason| reason.as_str() == after.reason);
            (told, "Reconcile")
        }
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
