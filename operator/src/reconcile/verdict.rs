//! What a reconcile's outcome means for users, as conditions. Pure.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;
use zonetide_crds::{ConditionType, Reason};

use super::{
    conditions::{Status, Verdict},
    credentials, expose,
    outcome::{Observed, Outcome, Reconciled},
    plan::{Plan, StorePlan},
    replication, trouble, version,
};
use crate::objectstore::StoreError;

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
        Outcome::Reconciled(reconciled) => of_areas(reconciled, observed),
        Outcome::Deleting(message) => deleting(Reason::Deleting, Status::True, message),
        Outcome::DeletionBlocked(message) => deleting(Reason::DeletionBlocked, Status::False, message),
    };
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

/// Each area's own.
fn of_areas(reconciled: &Reconciled, observed: Observed<'_>) -> Vec<Verdict> {
    let mut list = serving(reconciled, observed);
    if reconciled.paused {
        list.push(verdict(
            ConditionType::Paused,
            Status::True,
            Reason::PausedByAnnotation,
            "servers and store are left as they are while the annotation zonetide.dev/paused is \"true\"; remove it to go on",
        ));
    }
    if reconciled.store.is_none() && reconciled.failed.is_none() {
        list.extend(credentials::unattended(observed));
    }
    let Some(plan) = &reconciled.plan else {
        return list;
    };
    let store = reconciled.store.as_ref();
    list.extend(store.map(|store| match store {
        Ok(store) => object_store(plan, &store.warnings, store.nodes.note.as_deref()),
        Err(error) => store_not_ready(error),
    }));
    list.extend(store.and_then(|store| credentials::ready(plan, store.as_ref(), observed)));
    list.extend(expose::exposed(plan, reconciled.exposure_failed.as_deref()));
    list.push(replication::replicating(plan, reconciled.store_error(), observed));
    list
}

/// Ready and Progressing: what becomes of the servers, whatever the store does.
fn serving(reconciled: &Reconciled, observed: Observed<'_>) -> Vec<Verdict> {
    if let Some(error) = &reconciled.invalid {
        let serve = serve(observed);
        return vec![
            verdict(
                ConditionType::Ready,
                Status::False,
                error.reason(),
                format!("{error}{serve}"),
            ),
            verdict(
                ConditionType::Progressing,
                Status::False,
                error.reason(),
                "waiting for the spec or the Secret to be corrected",
            ),
        ];
    }
    if let (false, false, Some(error)) = (reconciled.applied, reconciled.paused, reconciled.store_error())
        && reconciled.stateful_set.is_some()
        && reconciled.failed.is_none()
    {
        let serve = serve(observed);
        let message = format!(
            "servers are sent to another store, and to what else is new, when it opens: {error}{serve}"
        );
        return vec![
            verdict(
                ConditionType::Ready,
                Status::False,
                Reason::ObjectStoreNotReady,
                message,
            ),
            verdict(
                ConditionType::Progressing,
                Status::False,
                error.reason(),
                "waiting for the object store",
            ),
        ];
    }
    // Before there is a server, what failed is why.
    let failed = reconciled.failed.is_some() && observed.pods.is_empty();
    let mut list = match &reconciled.stateful_set {
        Some(stateful_set) if !failed => {
            let misfits = reconciled
                .plan
                .as_ref()
                .map(|plan| version::misfits(plan.origin.version, observed));
            let desired = wanted(reconciled, stateful_set);
            servers(desired, stateful_set, observed, &misfits.unwrap_or_default())
        }
        _ => no_servers(reconciled),
    };
    let halted = if let Some(message) = &reconciled.failed {
        Some((Reason::ReconcileFailed, format!("{message}; it is tried again")))
    } else if reconciled.paused {
        Some((
            Reason::PausedByAnnotation,
            "paused by the annotation zonetide.dev/paused".to_owned(),
        ))
    } else {
        None
    };
    if let Some((reason, message)) = halted {
        list.retain(|verdict| verdict.type_ != ConditionType::Progressing);
        list.push(verdict(
            ConditionType::Progressing,
            Status::False,
            reason,
            message,
        ));
    }
    list
}

/// What goes on meanwhile.
fn serve(observed: Observed<'_>) -> String {
    match observed.pods.len() {
        0 => String::new(),
        all => format!(
            "; {} of {all} servers serve, and are left as they are",
            observed.ready()
        ),
    }
}

/// How many servers there are to be. While paused, what the spec says does not count yet.
fn wanted(reconciled: &Reconciled, stateful_set: &StatefulSet) -> i32 {
    let spec = reconciled.plan.as_ref().map(|plan| plan.spec.replicas);
    let now = stateful_set.spec.as_ref().and_then(|spec| spec.replicas);
    let (first, second) = if reconciled.paused {
        (now, spec)
    } else {
        (spec, now)
    };
    first.or(second).unwrap_or(1)
}

/// There is no `StatefulSet` of theirs.
fn no_servers(reconciled: &Reconciled) -> Vec<Verdict> {
    let not_ready = |reason, message: String| verdict(ConditionType::Ready, Status::False, reason, message);
    let progressing =
        |status, reason, message: &str| verdict(ConditionType::Progressing, status, reason, message);
    if let Some(message) = &reconciled.failed {
        return vec![not_ready(
            Reason::ReconcileFailed,
            format!("no server runs; {message}"),
        )];
    }
    if reconciled.paused {
        return vec![not_ready(
            Reason::PausedByAnnotation,
            "no server runs, and none is made while paused".to_owned(),
        )];
    }
    match reconciled.store_error() {
        Some(error) => {
            let (status, what) = if error.reason() == Reason::StoreStarting {
                (Status::True, "the object store starts")
            } else {
                (Status::False, "waiting for the object store")
            };
            vec![
                not_ready(
                    Reason::ObjectStoreNotReady,
                    format!("servers start when the object store is ready; {error}"),
                ),
                progressing(status, error.reason(), what),
            ]
        }
        None => vec![
            not_ready(Reason::ServersStarting, "no server runs yet".to_owned()),
            progressing(Status::True, Reason::ServersStarting, "servers are made"),
        ],
    }
}

fn deleting(reason: Reason, progressing: Status, message: &str) -> Vec<Verdict> {
    vec![
        verdict(ConditionType::Ready, Status::False, reason, message),
        verdict(ConditionType::Progressing, progressing, reason, message),
    ]
}

fn object_store(plan: &Plan, warnings: &[String], note: Option<&str>) -> Verdict {
    let (name, endpoint) = (&plan.bucket.name, &plan.bucket.endpoint);
    let (reason, message) = if matches!(plan.store, StorePlan::WebIdentity(_)) {
        let message = format!(
            "servers use bucket {name} at {endpoint} by their service account; the operator has no keys and has not tried it"
        );
        (Reason::ServiceAccountTrusted, message)
    } else {
        let mut message = format!("bucket {name} at {endpoint} is there and the keys open it");
        if let Some(note) = note {
            message.push_str("; ");
            message.push_str(note);
        }
        for warning in warnings {
            message.push_str("; warning: ");
            message.push_str(warning);
        }
        (Reason::BucketReady, message)
    };
    verdict(ConditionType::ObjectStoreReady, Status::True, reason, message)
}

fn store_not_ready(error: &StoreError) -> Verdict {
    verdict(
        ConditionType::ObjectStoreReady,
        Status::False,
        error.reason(),
        error.to_string(),
    )
}

fn servers(
    desired: i32,
    stateful_set: &StatefulSet,
    observed: Observed<'_>,
    misfits: &[(String, String)],
) -> Vec<Verdict> {
    let desired = usize::try_from(desired).unwrap_or_default();
    let existing = observed.pods.len();
    let ready = observed.ready();
    let updated = observed
        .pods
        .iter()
        .filter(|pod| is_updated(pod, stateful_set))
        .count();
    let refusal = observed.refusals.and_then(|refusals| refusals.servers.as_deref());
    let details = trouble::details(refusal, observed.pods);
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
    if !misfits.is_empty() {
        let progress = "waiting for an image that fits";
        return vec![
            verdict(
                ConditionType::Ready,
                Status::False,
                Reason::PowerDnsNotSupported,
                version::told(misfits),
            ),
            verdict(
                ConditionType::Progressing,
                Status::False,
                Reason::PowerDnsNotSupported,
                progress,
            ),
        ];
    }
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
    let reached = |endpoints: &[String]| endpoints.iter().any(|pod| pod == api_pod);
    if !observed.api_endpoints.is_none_or(reached) {
        return not_yet(
            Reason::NoApiPod,
            format!("the Service for API requests does not lead to {api_pod} yet"),
        );
    }
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
            format!("{all} serving; API requests go to {api_pod}"),
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
