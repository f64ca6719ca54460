use serde_json::json;

use super::*;
use crate::testing::{MANAGED, access, applied_servers, plan, pod};

/// A `StatefulSet` whose newest revision is `new`, and which the controller has seen.
fn applied() -> Outcome {
    let plan = plan(MANAGED);
    let mut resources = applied_servers(&plan);
    let stateful_set = &mut resources.stateful_set;
    stateful_set.metadata.generation = Some(4);
    stateful_set.status =
        serde_json::from_value(json!({"replicas": 2, "observedGeneration": 4, "updateRevision": "new"}))
            .unwrap();
    Outcome::Applied {
        plan: Box::new(plan),
        resources: Box::new(resources),
        store: Box::new(StoreOutcome {
            bucket_created: false,
            obtained: access().into(),
            settled: true,
            warnings: vec![],
        }),
    }
}

fn of(outcome: &Outcome, pods: &[Pod], api_pod: Option<&str>, type_: ConditionType) -> Verdict {
    let observed = Observed {
        pods,
        api_pod,
        ..Observed::default()
    };
    verdicts(outcome, observed, &ALWAYS)
        .into_iter()
        .find(|verdict| verdict.type_ == type_)
        .unwrap()
}

fn ready(outcome: &Outcome, pods: &[Pod], api_pod: Option<&str>) -> (Status, Reason, String) {
    let verdict = of(outcome, pods, api_pod, ConditionType::Ready);
    (verdict.status, verdict.reason, verdict.message)
}

#[test]
fn a_cluster_is_ready_when_all_servers_are_new_and_ready_and_one_takes_api_requests() {
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    let (status, reason, message) = ready(&applied(), &pods, Some("tide-0"));
    assert_eq!((status, reason), (Status::True, Reason::AllServersReady));
    assert_eq!(
        message,
        "all 2 servers are in sync and serving; API requests go to tide-0"
    );
    let progressing = of(&applied(), &pods, Some("tide-0"), ConditionType::Progressing);
    assert_eq!(
        (progressing.status, progressing.reason),
        (Status::False, Reason::UpToDate)
    );
}

#[test]
fn a_server_that_is_not_ready_is_named() {
    let pods = [pod("tide-0", true, "new"), pod("tide-1", false, "new")];
    let (status, reason, message) = ready(&applied(), &pods, Some("tide-0"));
    assert_eq!((status, reason), (Status::False, Reason::ServersNotReady));
    assert_eq!(message, "1 of 2 servers are ready: tide-1 (starts)");
}

#[test]
fn an_old_server_means_a_rolling_update_though_all_are_ready() {
    let pods = [pod("tide-0", true, "old"), pod("tide-1", true, "new")];
    let (status, reason, _) = ready(&applied(), &pods, Some("tide-0"));
    assert_eq!((status, reason), (Status::False, Reason::RollingUpdate));
    let progressing = of(&applied(), &pods, Some("tide-0"), ConditionType::Progressing);
    assert_eq!(progressing.status, Status::True);
}

#[test]
fn what_the_stateful_set_controller_has_not_seen_is_not_ready() {
    let mut outcome = applied();
    if let Outcome::Applied { resources, .. } = &mut outcome {
        resources.stateful_set.metadata.generation = Some(5);
    }
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    assert_eq!(ready(&outcome, &pods, Some("tide-0")).1, Reason::RollingUpdate);
}

#[test]
fn too_few_and_too_many_servers_mean_scaling() {
    let one = [pod("tide-0", true, "new")];
    assert_eq!(
        ready(&applied(), &one, Some("tide-0")),
        (
            Status::False,
            Reason::Scaling,
            "1 server exists, 2 wanted, 1 ready".to_owned()
        )
    );
    let three = [
        pod("tide-0", true, "new"),
        pod("tide-1", true, "new"),
        pod("tide-2", true, "new"),
    ];
    assert_eq!(ready(&applied(), &three, Some("tide-0")).1, Reason::Scaling);
}

#[test]
fn without_a_server_for_api_requests_it_is_not_ready() {
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    assert_eq!(ready(&applied(), &pods, None).1, Reason::NoApiPod);
}

#[test]
fn trouble_with_the_store_says_what_still_works() {
    let error = StoreError::BucketMissing {
        endpoint: "http://s3".into(),
        bucket: "crater".into(),
    };
    let outcome = Outcome::StoreNotReady {
        plan: Box::new(plan(MANAGED)),
        error,
    };
    let (status, reason, message) = ready(&outcome, &[pod("tide-0", true, "new")], Some("tide-0"));
    assert_eq!((status, reason), (Status::False, Reason::ObjectStoreNotReady));
    assert!(
        message.starts_with("1 of 1 servers serve and are left as they are"),
        "{message}"
    );
    let store = of(&outcome, &[], None, ConditionType::ObjectStoreReady);
    assert_eq!(
        (store.status, store.reason),
        (Status::False, Reason::BucketMissing)
    );
    assert!(
        store
            .message
            .contains("create it, or set spec.objectStore.s3.createBucket"),
        "{}",
        store.message
    );
}

#[test]
fn a_failure_leaves_what_is_known_and_fills_in_what_is_not() {
    let outcome = Outcome::Failed("failed to apply Service tide-dns".into());
    let pods = [pod("tide-0", true, "new")];
    let observed = Observed {
        pods: &pods,
        ..Observed::default()
    };
    let types = |list: Vec<Verdict>| list.into_iter().map(|verdict| verdict.type_).collect::<Vec<_>>();
    assert_eq!(
        types(verdicts(&outcome, observed, &ALWAYS)),
        [ConditionType::Progressing]
    );
    let first = verdicts(&outcome, observed, &[]);
    assert_eq!(first.len(), ALWAYS.len());
    assert!(
        first
            .iter()
            .filter(|verdict| verdict.type_ != ConditionType::Progressing)
            .all(|verdict| verdict.status == Status::Unknown)
    );
}

#[test]
fn a_failure_before_there_is_a_server_is_why_the_cluster_is_not_ready() {
    let outcome = Outcome::Failed("Secret tide-peers is another's".into());
    assert_eq!(
        ready(&outcome, &[], None),
        (
            Status::False,
            Reason::ReconcileFailed,
            "no server runs; Secret tide-peers is another's".into()
        )
    );
}
