//! What is said of the keys to the bucket: the condition `CredentialsReady`, and the times in the status. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use zonetide_crds::{ConditionType, ObjectStoreStatus, Reason};

use super::{
    conditions::{Status, Verdict},
    keys::Access,
    outcome::{Observed, Outcome, StoreOutcome},
    plan::Plan,
    verdict::verdict,
};
use crate::objectstore::{StoreError, renewal::Held};

/// None when nothing can be said of keys.
pub(super) fn ready(
    plan: &Plan,
    store: Result<&StoreOutcome, &StoreError>,
    observed: Observed<'_>,
) -> Option<Verdict> {
    let of = |status, reason, message: String| {
        Some(verdict(ConditionType::CredentialsReady, status, reason, message))
    };
    match store {
        Ok(store) => match (&store.obtained.access, &store.obtained.failing) {
            (Access::Given(_), _) => of(Status::True, Reason::CredentialsProvided, given(plan)),
            (Access::ServiceAccount, _) => of(
                Status::True,
                Reason::ServiceAccountTrusted,
                "there are no keys: the store trusts the pods' service account, which the operator cannot try".to_owned(),
            ),
            (Access::Made(held), None) => of(Status::True, Reason::CredentialsIssued, made(held)),
            (Access::Made(held), Some(error)) => of(
                Status::False,
                Reason::RenewalFailed,
                format!(
                    "new keys cannot be made ({error}); the present ones are {}; it is tried again",
                    good(held)
                ),
            ),
        },
        Err(error) => {
            let held = observed.held.filter(|held| held.source == plan.source_id());
            match held {
                _ if is_about_keys(error) => of(Status::False, error.reason(), error.to_string()),
                Some(held) if held.ended(observed.now) => of(
                    Status::False,
                    Reason::KeysExpired,
                    format!("the keys have ended ({}) and there are no others: {error}", end(held)),
                ),
                Some(held) => of(Status::True, Reason::CredentialsIssued, made(held)),
                None => None,
            }
        }
    }
}

/// When nobody looks after the keys that servers use: the spec names another source, or none that can be used. None without keys.
pub(super) fn unattended(observed: Observed<'_>) -> Option<Verdict> {
    let held = observed.held?;
    let (reason, message) = if held.ended(observed.now) {
        let message = format!(
            "the keys have ended ({}), and are not renewed before the spec can be used",
            end(held)
        );
        (Reason::KeysExpired, message)
    } else {
        let message = format!(
            "the keys are not renewed before the spec can be used, or the pause is over: they are good until {}",
            end(held)
        );
        (Reason::RenewalFailed, message)
    };
    Some(verdict(
        ConditionType::CredentialsReady,
        Status::False,
        reason,
        message,
    ))
}

/// What is known of keys and bucket, on top of what was.
pub(super) fn status(old: ObjectStoreStatus, plan: &Plan, store: Option<&StoreOutcome>) -> ObjectStoreStatus {
    // The endpoint may change, and then it is another bucket.
    let same = old.endpoint == plan.bucket.endpoint && old.bucket == plan.bucket.name;
    let mut status = ObjectStoreStatus {
        bucket_created: old.bucket_created.filter(|_| same),
        endpoint: plan.bucket.endpoint.clone(),
        bucket: plan.bucket.name.clone(),
        prefix: plan.bucket.prefix.clone(),
        exposed: plan.exposure.urls(),
        source: plan.spec.object_store.source().map(str::to_owned),
        ..old
    };
    if let Some(store) = store {
        let held = match &store.obtained.access {
            Access::Made(held) => Some(held),
            Access::Given(_) | Access::ServiceAccount => None,
        };
        status.credentials_expire_at = held.and_then(|held| held.expires).map(whole_seconds);
        status.credentials_renewed_at = held.map(|held| whole_seconds(held.made));
        // Whoever made it once may remove it.
        status.bucket_created = Some(store.bucket_created || status.bucket_created == Some(true));
    }
    status
}

/// Why there are new keys and until when they are good, when there are.
pub(super) fn renewal(outcome: &Outcome) -> Option<String> {
    let (plan, store) = (outcome.plan()?, outcome.store()?);
    let (Access::Made(held), Some(why)) = (&store.obtained.access, store.obtained.renewed) else {
        return None;
    };
    Some(format!(
        "new keys to bucket {} were made because {why}; they are {}",
        plan.bucket.name,
        good(held)
    ))
}

fn is_about_keys(error: &StoreError) -> bool {
    matches!(
        error.reason(),
        Reason::SecretMissing | Reason::AccessDenied | Reason::NotGranted
    )
}

fn given(plan: &Plan) -> String {
    let s3 = plan.spec.object_store.s3.as_ref();
    let secret = s3.and_then(|s3| s3.credentials.secret_ref.as_ref());
    let name = secret.map_or("the spec names", |secret| &secret.name);
    format!("the keys are those in the Secret {name}, whose changes are picked up")
}

fn made(held: &Held) -> String {
    format!(
        "the operator made the keys at {}; they are {}",
        text(held.made),
        good(held)
    )
}

fn good(held: &Held) -> String {
    match held.renew_at() {
        Some(renewal) => format!("good until {} and renewed from {} on", end(held), text(renewal)),
        None => "good without an end".to_owned(),
    }
}

fn end(held: &Held) -> String {
    held.expires.map_or("never".to_owned(), text)
}

/// Times are written with whole seconds, so others would differ from what is read back.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

fn text(time: Timestamp) -> String {
    whole_seconds(time).0.to_string()
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
