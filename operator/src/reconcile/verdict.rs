//! What a reconcile came to, and what that means for users. Pure.

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;
use zonetide_crds::{ConditionType, Reason};

use super::{
    api_pod::is_ready,
    conditions::{Status, Verdict},
    credentials, expose,
    keys::Obtained,
    replication, trouble,
    validate::{Plan, StorePlan, ValidateError},
};
use crate::{
    agents::{AgentReport, AgentStatus},
    build::{Applied, ServerResources},
    objectstore::{StoreError, renewal::Held},
};

/// How a reconcile ended.
#[derive(Debug)]
pub enum Outcome {
    /// The annotation says to leave all as it is.
    Paused,
    /// The spec, or a Secret that it names, cannot be used.
    Invalid(ValidateError),
    /// The bucket is not usable. Servers that run were left alone.
    StoreNotReady { plan: Box<Plan>, error: StoreError },
    /// Everything is applied.
    Applied {
        plan: Box<Plan>,
        resources: Box<ServerResources<Applied>>,
        store: Box<StoreOutcome>,
    },
    /// A request to the API server failed.
    Failed(String),
    /// It is being deleted, and this is what is under way.
    Deleting(String),
    /// It is being deleted, and this is in the way.
    DeletionBlocked(String),
}

impl Outcome {
    /// The plan, when there was one.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::StoreNotReady { plan, .. } | Self::Applied { plan, .. } => Some(plan),
            Self::Paused
            | Self::Invalid(_)
            | Self::Failed(_)
            | Self::Deleting(_)
            | Self::DeletionBlocked(_) => None,
        }
    }

    /// What came of the bucket and its keys, when they are ready.
    pub fn store(&self) -> Option<&StoreOutcome> {
        match self {
            Self::Applied { store, .. } => Some(store),
            _ => None,
        }
    }
}

/// What came of the bucket, its keys and those who use them.
#[derive(Debug)]
pub struct StoreOutcome {
    /// It was made by this reconcile.
    pub bucket_created: bool,
    pub obtained: Obtained,
    /// No server uses older keys any more.
    pub settled: bool,
    /// What people should know of the bucket.
    pub warnings: Vec<String>,
}

/// What was seen of the servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed<'a> {
    pub pods: &'a [Pod],
    /// Who takes API requests.
    pub api_pod: Option<&'a str>,
    /// What the pods' agents say.
    pub reports: &'a [AgentReport],
    /// The keys that a source had made before.
    pub held: Option<&'a Held>,
    pub now: Timestamp,
}

impl<'a> Observed<'a> {
    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| is_ready(pod)).count()
    }

    /// The agents that answered, by pod.
    pub fn reported(self) -> impl Iterator<Item = (&'a str, &'a AgentStatus)> {
        let reports = self.reports.iter();
        reports.filter_map(|report| Some((report.pod.as_str(), report.status.as_ref().ok()?)))
    }

    pub fn answers(self) -> impl Iterator<Item = &'a AgentStatus> {
        self.reported().map(|(_, status)| status)
    }
}

/// The conditions that every cluster has.
pub const ALWAYS: [ConditionType; 5] = [
    ConditionType::Ready,
    ConditionType::ObjectStoreReady,
    ConditionType::CredentialsReady,
    ConditionType::Replicating,
    ConditionType::Progressing,
];

/// The conditions that follow from an outcome. `known` says which there are already: every type gets a first value.
pub fn verdicts(outcome: &Outcome, observed: Observed<'_>, known: &[ConditionType]) -> Vec<Verdict> {
    let mut list = match outcome {
        Outcome::Paused => vec![verdict(
            ConditionType::Paused,
            Status::True,
            Reason::PausedByAnnotation,
            "nothing is changed while the annotation zonetide.dev/paused is \"true\"; remove it to go on",
        )],
        Outcome::Invalid(error) => vec![
            verdict(
                ConditionType::Ready,
                Status::False,
                error.reason(),
                error.to_string(),
            ),
            verdict(
                ConditionType::Progressing,
                Status::False,
                error.reason(),
                "waiting for the spec or the Secret to be corrected",
            ),
        ],
        Outcome::StoreNotReady { error, .. } => store_not_ready(error, observed),
        Outcome::Applied {
            plan,
            resources,
            store,
        } => {
            let mut list = servers(plan.spec.replicas, &resources.stateful_set, observed);
            list.push(object_store(plan, &store.warnings));
            list
        }
        Outcome::Deleting(message) => deleting(Reason::Deleting, Status::True, message),
        Outcome::DeletionBlocked(message) => deleting(Reason::DeletionBlocked, Status::False, message),
        Outcome::Failed(message) => failed(message, observed),
    };
    list.extend(credentials::ready(outcome, observed));
    list.extend(expose::exposed(outcome));
    list.extend(
        outcome
            .plan()
            .map(|plan| replication::replicating(plan, observed)),
    );
    for type_ in ALWAYS {
        if !known.contains(&type_) && !list.iter().any(|verdict| verdict.type_ == type_) {
            let reason = list
                .first()
                .map_or(Reason::ReconcileFailed, |verdict| verdict.reason);
            list.push(verdict(type_, Status::Unknown, reason, "not looked at yet"));
        }
    }
    list
}

fn failed(message: &str, observed: Observed<'_>) -> Vec<Verdict> {
    let reason = Reason::ReconcileFailed;
    let mut list = vec![verdict(
        ConditionType::Progressing,
        Status::False,
        reason,
        format!("{message}; it is tried again"),
    )];
    // Servers that run are none the worse for it.
    if observed.pods.is_empty() {
        list.push(verdict(
            ConditionType::Ready,
            Status::False,
            reason,
            format!("no server runs; {message}"),
        ));
    }
    list
}

fn deleting(reason: Reason, progressing: Status, message: &str) -> Vec<Verdict> {
    vec![
        verdict(ConditionType::Ready, Status::False, reason, message),
        verdict(ConditionType::Progressing, progressing, reason, message),
    ]
}

fn object_store(plan: &Plan, warnings: &[String]) -> Verdict {
    let (name, endpoint) = (&plan.bucket.name, &plan.bucket.endpoint);
    let (reason, message) = if matches!(plan.store, StorePlan::WebIdentity(_)) {
        let message = format!(
            "servers use bucket {name} at {endpoint} by their service account; the operator has no keys and has not tried it"
        );
        (Reason::ServiceAccountTrusted, message)
    } else {
        let mut message = format!("bucket {name} at {endpoint} is there and the keys open it");
        for warning in warnings {
            message.push_str("; warning: ");
            message.push_str(warning);
        }
        (Reason::BucketReady, message)
    };
    verdict(ConditionType::ObjectStoreReady, Status::True, reason, message)
}

fn store_not_ready(error: &StoreError, observed: Observed<'_>) -> Vec<Verdict> {
    let starting = matches!(error, StoreError::Starting { .. });
    let ready = if observed.pods.is_empty() {
        "servers start when the object store is ready".to_owned()
    } else {
        format!(
            "{} of {} servers serve and are left as they are until the object store is ready",
            observed.ready(),
            observed.pods.len()
        )
    };
    vec![
        verdict(
            ConditionType::ObjectStoreReady,
            Status::False,
            error.reason(),
            error.to_string(),
        ),
        verdict(
            ConditionType::Ready,
            Status::False,
            Reason::ObjectStoreNotReady,
            format!("{ready}; {error}"),
        ),
        verdict(
            ConditionType::Progressing,
            if starting { Status::True } else { Status::False },
            error.reason(),
            if starting {
                "the object store starts"
            } else {
                "waiting for the object store"
            },
        ),
    ]
}

fn servers(desired: i32, stateful_set: &StatefulSet, observed: Observed<'_>) -> Vec<Verdict> {
    let desired = usize::try_from(desired).unwrap_or_default();
    let existing = observed.pods.len();
    let ready = observed.ready();
    let updated = observed
        .pods
        .iter()
        .filter(|pod| is_updated(pod, stateful_set))
        .count();
    let details = trouble::summary(observed.pods);
    let not_yet = |reason: Reason, message: String| {
        let progress = if reason == Reason::ServersNotReady {
            Reason::ServersStarting
        } else {
            reason
        };
        vec![
            verdict(
                ConditionType::Ready,
                Status::False,
                reason,
                format!("{message}{details}"),
            ),
            verdict(ConditionType::Progressing, Status::True, progress, message),
        ]
    };
    if existing != desired {
        return not_yet(
            Reason::Scaling,
            format!(
                "{existing} {}, {desired} wanted, {ready} ready",
                plural(existing, "server exists", "servers exist")
            ),
        );
    }
    if updated != desired || !is_observed(stateful_set) {
        return not_yet(
            Reason::RollingUpdate,
            format!("{updated} of {desired} servers are updated, {ready} ready; one is replaced at a time"),
        );
    }
    if ready != desired {
        return not_yet(
            Reason::ServersNotReady,
            format!("{ready} of {desired} servers are ready"),
        );
    }
    let Some(api_pod) = observed.api_pod else {
        return not_yet(Reason::NoApiPod, "no server takes API requests yet".to_owned());
    };
    let all = if desired == 1 {
        "the server is".to_owned()
    } else {
        format!("all {desired} servers are")
    };
    vec![
        verdict(
            ConditionType::Ready,
            Status::True,
            Reason::AllServersReady,
            format!("{all} in sync and serving; API requests go to {api_pod}"),
        ),
        verdict(
            ConditionType::Progressing,
            Status::False,
            Reason::UpToDate,
            "everything is as the spec says",
        ),
    ]
}

/// Whether the pod was made from the newest template.
pub fn is_updated(pod: &Pod, stateful_set: &StatefulSet) -> bool {
    let wanted = stateful_set
        .status
        .as_ref()
        .and_then(|status| status.update_revision.as_ref());
    wanted.is_some() && pod.labels().get("controller-revision-hash") == wanted
}

/// Whether the status of the `StatefulSet` is about its newest spec.
pub fn is_observed(stateful_set: &StatefulSet) -> bool {
    let seen = stateful_set
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    seen.is_some() && seen >= stateful_set.metadata.generation
}

fn plural(count: usize, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}

pub(super) fn verdict(
    type_: ConditionType,
    status: Status,
    reason: Reason,
    message: impl Into<String>,
) -> Verdict {
    Verdict {
        type_,
        status,
        reason,
        message: message.into(),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
