use jiff::Timestamp;
use zonetide_crds::Reason;

use super::*;
use crate::reconcile::conditions::{Status, Verdict, update};

fn status(list: &[(ConditionType, Status, Reason)]) -> DnsClusterStatus {
    let verdicts = list
        .iter()
        .map(|(type_, status, reason)| Verdict {
            type_: *type_,
            status: *status,
            reason: *reason,
            message: format!("about {}", reason.as_str()),
        })
        .collect();
    DnsClusterStatus {
        conditions: update(&[], verdicts, &[], Some(1), Timestamp::UNIX_EPOCH),
        ..DnsClusterStatus::default()
    }
}

fn status_of(type_: ConditionType, is: Status, reason: Reason) -> DnsClusterStatus {
    status(&[(type_, is, reason)])
}

fn told(old: &DnsClusterStatus, new: &DnsClusterStatus) -> Vec<(bool, String)> {
    between(old, new)
        .into_iter()
        .map(|notice| (notice.warning, notice.reason))
        .collect()
}

#[test]
fn nothing_is_told_when_nothing_changed() {
    let same = status(&[(ConditionType::Ready, Status::True, Reason::AllServersReady)]);
    assert!(between(&same, &same).is_empty());
}

#[test]
fn becoming_ready_is_told_and_the_steps_to_it_are_not() {
    let none = DnsClusterStatus::default();
    let starting = status(&[
        (ConditionType::Ready, Status::False, Reason::Scaling),
        (ConditionType::Progressing, Status::True, Reason::Scaling),
    ]);
    let ready = status(&[(ConditionType::Ready, Status::True, Reason::AllServersReady)]);
    assert_eq!(told(&none, &starting), []);
    assert_eq!(told(&starting, &ready), [(false, "AllServersReady".to_owned())]);
}

#[test]
fn losing_a_server_is_a_warning_and_a_rolling_update_is_not() {
    let ready = status(&[(ConditionType::Ready, Status::True, Reason::AllServersReady)]);
    let lost = status(&[(ConditionType::Ready, Status::False, Reason::ServersNotReady)]);
    let rolling = status(&[(ConditionType::Ready, Status::False, Reason::RollingUpdate)]);
    assert_eq!(told(&ready, &lost), [(true, "ServersNotReady".to_owned())]);
    assert_eq!(told(&ready, &rolling), [(false, "RollingUpdate".to_owned())]);
    assert_eq!(told(&rolling, &lost), []);
}

#[test]
fn trouble_with_the_store_is_told_once_and_by_the_stores_condition() {
    let ready = status(&[
        (ConditionType::Ready, Status::True, Reason::AllServersReady),
        (ConditionType::ObjectStoreReady, Status::True, Reason::BucketReady),
    ]);
    let denied = status(&[
        (ConditionType::Ready, Status::False, Reason::ObjectStoreNotReady),
        (
            ConditionType::ObjectStoreReady,
            Status::False,
            Reason::AccessDenied,
        ),
    ]);
    assert_eq!(told(&ready, &denied), [(true, "AccessDenied".to_owned())]);
    let missing = status(&[
        (ConditionType::Ready, Status::False, Reason::ObjectStoreNotReady),
        (
            ConditionType::ObjectStoreReady,
            Status::False,
            Reason::BucketMissing,
        ),
    ]);
    assert_eq!(told(&denied, &missing), [(true, "BucketMissing".to_owned())]);
}

#[test]
fn a_mistake_in_the_spec_is_told_also_when_it_was_never_ready() {
    let mistake = status(&[(ConditionType::Ready, Status::False, Reason::InvalidSpec)]);
    assert_eq!(
        told(&DnsClusterStatus::default(), &mistake),
        [(true, "InvalidSpec".to_owned())]
    );
}

#[test]
fn pausing_and_resuming_are_told() {
    let none = DnsClusterStatus::default();
    let paused = status(&[(ConditionType::Paused, Status::True, Reason::PausedByAnnotation)]);
    assert_eq!(told(&none, &paused), [(false, "PausedByAnnotation".to_owned())]);
    assert_eq!(told(&paused, &none), [(false, "Resumed".to_owned())]);
}

#[test]
fn another_api_pod_is_told() {
    let old = DnsClusterStatus {
        api_pod: Some("a-0".into()),
        ..DnsClusterStatus::default()
    };
    let new = DnsClusterStatus {
        api_pod: Some("a-1".into()),
        ..DnsClusterStatus::default()
    };
    assert_eq!(told(&old, &new), [(false, "ApiPodChosen".to_owned())]);
    assert_eq!(told(&new, &DnsClusterStatus::default()), []);
}

#[test]
fn trouble_with_renewing_keys_is_told_and_its_end_and_what_the_stores_condition_says_is_not_told_twice() {
    let of = |status, reason| status_of(ConditionType::CredentialsReady, status, reason);
    let none = DnsClusterStatus::default();
    let (made, failing) = (
        of(Status::True, Reason::CredentialsIssued),
        of(Status::False, Reason::RenewalFailed),
    );
    assert_eq!(told(&none, &made), []);
    assert_eq!(told(&made, &failing), [(true, "RenewalFailed".to_owned())]);
    let ended = of(Status::False, Reason::KeysExpired);
    assert_eq!(told(&failing, &ended), [(true, "KeysExpired".to_owned())]);
    assert_eq!(told(&ended, &made), [(false, "CredentialsIssued".to_owned())]);
    let denied = of(Status::False, Reason::AccessDenied);
    assert_eq!(told(&made, &denied), []);
    assert_eq!(told(&denied, &made), []);
}

#[test]
fn trouble_with_replication_is_told_and_its_end_and_a_start_is_not() {
    let of = |status, reason| status_of(ConditionType::Replicating, status, reason);
    let none = DnsClusterStatus::default();
    let starting = of(Status::Unknown, Reason::ServersStarting);
    let in_sync = of(Status::True, Reason::InSync);
    let collision = of(Status::False, Reason::IdentityCollision);
    let silent = of(Status::Unknown, Reason::AgentsUnreachable);
    assert_eq!(told(&none, &starting), []);
    assert_eq!(told(&starting, &in_sync), []);
    assert_eq!(told(&in_sync, &starting), []);
    for (trouble, reason) in [(collision, "IdentityCollision"), (silent, "AgentsUnreachable")] {
        assert_eq!(told(&in_sync, &trouble), [(true, reason.to_owned())]);
        assert_eq!(told(&trouble, &trouble), []);
        assert_eq!(told(&trouble, &in_sync), [(false, "InSync".to_owned())]);
    }
}
