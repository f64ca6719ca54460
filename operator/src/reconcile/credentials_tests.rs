use jiff::SignedDuration;

use super::*;
use crate::{
    reconcile::keys::Obtained,
    testing::{MANAGED, S3, access, keys, plan, reconciled},
};

const MADE: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Keys that live three hours, made at a moment that is no whole second.
fn held(plan: &Plan) -> Held {
    let made = at(MADE) + SignedDuration::from_millis(250);
    Held {
        keys: keys(),
        made,
        expires: Some(made + SignedDuration::from_hours(3)),
        source: plan.source_id(),
        renewed_for: None,
        supersedes: false,
    }
}

fn applied(spec: &str, obtained: Obtained, bucket_created: bool) -> Outcome {
    let mut reconciled = reconciled(plan(spec), obtained);
    if let Some(Ok(store)) = &mut reconciled.store {
        store.bucket_created = bucket_created;
    }
    Outcome::Reconciled(Box::new(reconciled))
}

fn not_ready(error: &StoreError) -> Outcome {
    let mut reconciled = reconciled(plan(MANAGED), access().into());
    reconciled.store = Some(Err(error.clone()));
    Outcome::Reconciled(Box::new(reconciled))
}

fn away() -> StoreError {
    StoreError::ManagedUnreachable {
        endpoint: "http://garage".into(),
        cause: "refused".into(),
    }
}

fn said(outcome: &Outcome, observed: Observed<'_>) -> Option<(Status, Reason, String)> {
    let store = outcome.reconciled()?.store.as_ref()?;
    let said = ready(outcome.plan()?, store.as_ref(), observed);
    said.map(|verdict| (verdict.status, verdict.reason, verdict.message))
}

#[test]
fn given_keys_name_their_secret() {
    let (status, reason, message) = said(&applied(S3, access().into(), false), Observed::default()).unwrap();
    assert_eq!((status, reason), (Status::True, Reason::CredentialsProvided));
    assert!(message.contains("Secret moon-keys"), "{message}");
}

#[test]
fn a_service_account_needs_no_keys() {
    let (status, reason, _) = said(
        &applied(S3, Access::ServiceAccount.into(), false),
        Observed::default(),
    )
    .unwrap();
    assert_eq!((status, reason), (Status::True, Reason::ServiceAccountTrusted));
}

#[test]
fn made_keys_say_until_when_they_are_good_and_when_they_are_renewed() {
    let held = held(&plan(MANAGED));
    let (status, reason, message) = said(
        &applied(MANAGED, Access::Made(held).into(), false),
        Observed::default(),
    )
    .unwrap();
    assert_eq!((status, reason), (Status::True, Reason::CredentialsIssued));
    assert_eq!(
        message,
        "the operator made the keys at 2027-01-15T08:00:00Z; they are good until 2027-01-15T11:00:00Z and renewed from \
         2027-01-15T10:00:00Z on"
    );
    assert!(!message.contains("\"s\""));
}

#[test]
fn a_renewal_that_fails_says_why_and_what_still_works() {
    let obtained = Obtained {
        access: Access::Made(held(&plan(MANAGED))),
        renewed: None,
        failing: Some(away()),
    };
    let outcome = applied(MANAGED, obtained, false);
    let (status, reason, message) = said(&outcome, Observed::default()).unwrap();
    assert_eq!((status, reason), (Status::False, Reason::RenewalFailed));
    assert!(
        message.contains("(refused)") && message.contains("good until 2027-01-15T11:00:00Z"),
        "{message}"
    );
    assert_eq!(renewal(&outcome), None);
}

#[test]
fn keys_that_ended_without_others_are_told_apart_from_a_store_that_is_away() {
    let held = held(&plan(MANAGED));
    let observed = |hours: i64| Observed {
        held: Some(&held),
        now: at(MADE + hours * 3600),
        ..Observed::default()
    };
    let outcome = not_ready(&away());
    assert_eq!(said(&outcome, observed(2)).unwrap().1, Reason::CredentialsIssued);
    let (status, reason, message) = said(&outcome, observed(4)).unwrap();
    assert_eq!((status, reason), (Status::False, Reason::KeysExpired));
    assert!(
        message.contains("2027-01-15T11:00:00Z") && message.contains("refused"),
        "{message}"
    );
    assert_eq!(said(&outcome, Observed::default()), None, "there were none");

    // Keys to another store say nothing of this one.
    let other = Held {
        source: "another".into(),
        ..held.clone()
    };
    let other = Observed {
        held: Some(&other),
        ..observed(4)
    };
    assert_eq!(said(&outcome, other), None);
}

#[test]
fn a_store_that_refuses_keys_or_a_missing_secret_is_about_keys_and_a_missing_bucket_is_not() {
    let wrong = StoreError::WrongKeys {
        endpoint: "e".into(),
        code: "InvalidAccessKeyId".into(),
        secret: "s".into(),
    };
    let missing = StoreError::SecretMissing {
        name: "n".into(),
        id_key: "i".into(),
        secret_key: "k".into(),
    };
    for (error, reason) in [(wrong, Reason::AccessDenied), (missing, Reason::SecretMissing)] {
        let said = said(&not_ready(&error), Observed::default()).unwrap();
        assert_eq!(said, (Status::False, reason, error.to_string()));
    }
    let bucket = StoreError::BucketMissing {
        endpoint: "e".into(),
        bucket: "b".into(),
    };
    assert_eq!(said(&not_ready(&bucket), Observed::default()), None);
}

#[test]
fn a_renewal_is_told_with_its_reason_and_the_end_of_the_new_keys() {
    let obtained = Obtained {
        renewed: Some("two thirds of their life were over"),
        ..Access::Made(held(&plan(MANAGED))).into()
    };
    assert_eq!(
        renewal(&applied(MANAGED, obtained, false)).unwrap(),
        "new keys to bucket zonetide were made because two thirds of their life were over; they are good until \
         2027-01-15T11:00:00Z and renewed from 2027-01-15T10:00:00Z on"
    );
}

#[test]
fn the_status_has_whole_seconds_and_remembers_that_the_bucket_was_made() {
    let plan = plan(MANAGED);
    let outcome = |made| applied(MANAGED, Access::Made(held(&plan)).into(), made);
    let first = status(ObjectStoreStatus::default(), &plan, outcome(false).store());
    assert_eq!(first.source.as_deref(), Some("Garage"));
    assert_eq!(first.credentials_renewed_at, Some(Time(at(MADE))));
    assert_eq!(first.credentials_expire_at, Some(Time(at(MADE + 3 * 3600))));
    assert_eq!(first.bucket_created, Some(false));
    let made = status(first, &plan, outcome(true).store());
    assert_eq!(made.bucket_created, Some(true));
    let later = status(made.clone(), &plan, outcome(false).store());
    assert_eq!(later, made);
    assert_eq!(
        status(made.clone(), &plan, None),
        made,
        "a store that is away changes nothing"
    );
}

#[test]
fn given_keys_have_no_times_and_their_field_as_source() {
    let before = ObjectStoreStatus {
        credentials_expire_at: Some(Time(at(1))),
        credentials_renewed_at: Some(Time(at(1))),
        ..ObjectStoreStatus::default()
    };
    let now = status(before, &plan(S3), applied(S3, access().into(), false).store());
    assert_eq!(now.source.as_deref(), Some("secretRef"));
    assert_eq!(
        (now.credentials_expire_at, now.credentials_renewed_at),
        (None, None)
    );
}
