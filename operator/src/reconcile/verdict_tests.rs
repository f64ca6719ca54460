use serde_json::json;

use super::*;
use crate::{
    reconcile::{plan::ValidateError, refusals::Refusals},
    testing::{MANAGED, access, plan, pod, reconciled},
};

/// All is applied; the `StatefulSet`'s newest revision is `new`, and its controller has seen it.
fn well() -> Reconciled {
    let mut reconciled = reconciled(plan(MANAGED), access().into());
    let stateful_set = reconciled.stateful_set.as_mut().unwrap();
    stateful_set.metadata.generation = Some(4);
    stateful_set.status =
        serde_json::from_value(json!({"replicas": 2, "observedGeneration": 4, "updateRevision": "new"}))
            .unwrap();
    reconciled
}

fn applied() -> Outcome {
    outcome(well())
}

fn outcome(reconciled: Reconciled) -> Outcome {
    Outcome::Reconciled(Box::new(reconciled))
}

fn missing() -> StoreError {
    StoreError::BucketMissing {
        endpoint: "http://s3".into(),
        bucket: "crater".into(),
    }
}

fn of(outcome: &Outcome, pods: &[Pod], api_pod: Option<&str>, type_: ConditionType) -> Verdict {
    let endpoints: Vec<String> = api_pod.map(str::to_owned).into_iter().collect();
    let observed = Observed {
        pods,
        api_pod,
        api_endpoints: Some(&endpoints),
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
    assert_eq!(message, "all 2 servers are serving; API requests go to tide-0");
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
    let mut unseen = well();
    unseen.stateful_set.as_mut().unwrap().metadata.generation = Some(5);
    let outcome = outcome(unseen);
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
fn it_is_not_ready_before_the_service_for_api_requests_leads_to_its_pod() {
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    let observed = Observed {
        pods: &pods,
        api_pod: Some("tide-0"),
        api_endpoints: Some(&[]),
        ..Observed::default()
    };
    let mut all = verdicts(&applied(), observed, &ALWAYS).into_iter();
    let ready = all.find(|verdict| verdict.type_ == ConditionType::Ready).unwrap();
    assert_eq!((ready.status, ready.reason), (Status::False, Reason::NoApiPod));
    assert!(
        ready.message.contains("does not lead to tide-0 yet"),
        "{}",
        ready.message
    );
}

#[test]
fn a_store_that_is_away_makes_no_server_less_ready() {
    let away = || {
        outcome(Reconciled {
            store: Some(Err(missing())),
            ..well()
        })
    };
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    let (status, reason, _) = ready(&away(), &pods, Some("tide-0"));
    assert_eq!((status, reason), (Status::True, Reason::AllServersReady));
    let store = of(&away(), &pods, None, ConditionType::ObjectStoreReady);
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
    let replicating = of(&away(), &pods, None, ConditionType::Replicating);
    assert_eq!(
        (replicating.status, replicating.reason),
        (Status::False, Reason::ObjectStoreNotReady)
    );
}

#[test]
fn before_there_are_servers_the_store_is_why_there_are_none() {
    let outcome = outcome(Reconciled {
        store: Some(Err(missing())),
        stateful_set: None,
        ..well()
    });
    let (status, reason, message) = ready(&outcome, &[], None);
    assert_eq!((status, reason), (Status::False, Reason::ObjectStoreNotReady));
    assert!(
        message.starts_with("servers start when the object store is ready;"),
        "{message}"
    );
}

#[test]
fn a_paused_cluster_is_as_ready_as_its_servers_whatever_the_spec_says_by_now() {
    let mut paused = well();
    paused.paused = true;
    paused.plan.as_mut().unwrap().spec.replicas = 5;
    let paused = outcome(paused);
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    assert_eq!(ready(&paused, &pods, Some("tide-0")).0, Status::True);
    let down = [pod("tide-0", false, "new"), pod("tide-1", false, "new")];
    let (status, reason, _) = ready(&paused, &down, None);
    assert_eq!((status, reason), (Status::False, Reason::ServersNotReady));
    let progressing = of(&paused, &down, None, ConditionType::Progressing);
    assert_eq!(
        (progressing.status, progressing.reason),
        (Status::False, Reason::PausedByAnnotation)
    );
    assert_eq!(
        of(&paused, &down, None, ConditionType::Paused).status,
        Status::True
    );
}

#[test]
fn a_spec_that_cannot_be_used_says_how_many_servers_serve_all_the_same() {
    let outcome = outcome(Reconciled {
        invalid: Some(ValidateError::Store),
        ..well()
    });
    let pods = [pod("tide-0", true, "new"), pod("tide-1", false, "new")];
    let (status, reason, message) = ready(&outcome, &pods, Some("tide-0"));
    assert_eq!((status, reason), (Status::False, Reason::InvalidSpec));
    assert!(
        message.ends_with("; 1 of 2 servers serve, and are left as they are"),
        "{message}"
    );
    let store = of(&outcome, &pods, None, ConditionType::ObjectStoreReady);
    assert_eq!(store.status, Status::True, "it is looked after all the same");
}

#[test]
fn what_refuses_a_pod_is_quoted() {
    let refusals = Refusals {
        servers: Some("exceeded quota: small".into()),
        store: None,
    };
    let observed = Observed {
        refusals: Some(&refusals),
        ..Observed::default()
    };
    let mut all = verdicts(&applied(), observed, &ALWAYS).into_iter();
    let ready = all.find(|verdict| verdict.type_ == ConditionType::Ready).unwrap();
    assert!(
        ready.message.contains("exceeded quota: small"),
        "{}",
        ready.message
    );
}

#[test]
fn a_failure_says_so_and_servers_that_run_are_none_the_worse_for_it() {
    let failed = outcome(Reconciled {
        failed: Some("failed to apply Service tide-dns".into()),
        ..well()
    });
    let pods = [pod("tide-0", true, "new"), pod("tide-1", true, "new")];
    assert_eq!(ready(&failed, &pods, Some("tide-0")).0, Status::True);
    let progressing = of(&failed, &pods, Some("tide-0"), ConditionType::Progressing);
    assert_eq!(
        (progressing.status, progressing.reason),
        (Status::False, Reason::ReconcileFailed)
    );
    let nothing = outcome(Reconciled {
        failed: Some("failed to apply Service tide-dns".into()),
        ..Reconciled::default()
    });
    let first = verdicts(&nothing, Observed::default(), &[]);
    assert_eq!(first.len(), ALWAYS.len());
    let others = first
        .iter()
        .filter(|verdict| !matches!(verdict.type_, ConditionType::Progressing | ConditionType::Ready));
    assert!(
        others
            .into_iter()
            .all(|verdict| verdict.status == Status::Unknown)
    );
}

#[test]
fn a_failure_before_there_is_a_server_is_why_the_cluster_is_not_ready() {
    let outcome = outcome(Reconciled {
        failed: Some("Secret tide-peers is another's".into()),
        ..Reconciled::default()
    });
    assert_eq!(
        ready(&outcome, &[], None),
        (
            Status::False,
            Reason::ReconcileFailed,
            "no server runs; Secret tide-peers is another's".into()
        )
    );
}
