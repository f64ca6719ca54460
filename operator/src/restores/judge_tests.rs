use serde_json::{Value, json};

use super::*;
use crate::restores::message::{Amount, Failure, Why, Written};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn restore(spec: &Value) -> DnsRestore {
    let mut all = json!({"cluster": "tide", "at": "2026-11-30T10:00:00Z", "zones": ["a.example"]});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsRestore", "spec": all,
        "metadata": {"name": "back", "namespace": "shore", "uid": "restore-uid", "generation": 1},
        "status": {"observedGeneration": -1},
    }))
    .unwrap()
}

fn told(account: Account) -> Found {
    Found::Told {
        server: "tide-0".into(),
        account,
        begins: false,
    }
}

/// It was ordered by this look.
fn begun() -> Found {
    Found::Told {
        server: "tide-0".into(),
        account: account(State::Planning),
        begins: true,
    }
}

fn account(state: State) -> Account {
    Account {
        state,
        lines: vec!["+ a.example. 60 IN A 192.0.2.1".into(); 60],
        total_lines: 70,
        plan: (state != State::Planning).then_some(Amount { zones: 1, rrsets: 4 }),
        result: (state == State::Done).then(Written::default),
        ..Account::default()
    }
}

fn failed(why: Why) -> Found {
    told(Account {
        state: State::Failed,
        failed: Some(Failure {
            reason: why,
            message: "the agent's words".into(),
        }),
        ..Account::default()
    })
}

/// One look after the other, at these seconds.
fn after(spec: &Value, looks: Vec<(Found, i64)>) -> (Next, DnsRestore) {
    let mut object = restore(spec);
    let mut last = None;
    for (found, second) in looks {
        let next = next(&object, &found, at(second));
        object.status = Some(next.status.clone());
        last = Some(next);
    }
    (last.unwrap(), object)
}

fn ready(next: &Next) -> (RestorePhase, &str, &str, &str) {
    let ready = find(&next.status.conditions, ConditionType::Ready).unwrap();
    (
        next.status.phase.unwrap(),
        &ready.status,
        &ready.reason,
        &ready.message,
    )
}

fn stalls(next: &Next) -> bool {
    find(&next.status.conditions, ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True")
}

#[test]
fn it_is_planned_then_runs_then_is_done_and_then_nothing_is_looked_at_any_more() {
    let looks = vec![(told(account(State::Planning)), 0)];
    let (planning, _) = after(&json!({}), looks.clone());
    assert_eq!(
        ready(&planning),
        (
            RestorePhase::Planning,
            "False",
            "Planning",
            "tide-0 looks at what there was"
        )
    );
    assert_eq!(planning.wait, Some(SOON));
    assert_eq!(planning.status.observed_generation, Some(1));
    assert_eq!(planning.status.zones.as_deref(), Some("a.example"));
    let looks = [looks, vec![(told(account(State::Running)), 40)]].concat();
    let (running, _) = after(&json!({}), looks.clone());
    assert_eq!(
        ready(&running),
        (
            RestorePhase::Running,
            "False",
            "Restoring",
            "tide-0 writes 4 RRsets of 1 zone"
        )
    );
    assert_eq!(running.wait, Some(LATER));
    let plan = running.status.plan.as_ref().unwrap();
    assert_eq!((plan.lines.len(), plan.total_lines, plan.rrsets), (50, 70, 4));
    let looks = [looks, vec![(told(account(State::Done)), 41)]].concat();
    let (done, _) = after(&json!({}), looks);
    assert_eq!(
        ready(&done),
        (
            RestorePhase::Done,
            "True",
            "Restored",
            "all is as it was at 2026-11-30T10:00:00Z: tide-0 changed 4 RRsets of 1 zone"
        )
    );
    assert_eq!(done.wait, None);
    let result = done.status.result.unwrap();
    assert_eq!((result.zones, result.rrsets, &*result.server), (1, 4, "tide-0"));
}

#[test]
fn a_dry_run_says_what_would_change_and_that_nothing_was() {
    let (done, _) = after(&json!({"dryRun": true}), vec![(told(account(State::Done)), 0)]);
    let (phase, status, reason, message) = ready(&done);
    assert_eq!((phase, status, reason), (RestorePhase::Done, "True", "Planned"));
    assert!(
        message.starts_with("4 RRsets of 1 zone would change"),
        "{message}"
    );
    let result = done.status.result.as_ref().unwrap();
    assert_eq!((result.zones, result.rrsets), (0, 0));
    let nothing = Account {
        plan: Some(Amount::default()),
        total_lines: 0,
        ..account(State::Done)
    };
    for (dry_run, end) in [(true, "nothing would change"), (false, "nothing had changed")] {
        let looks = vec![(told(nothing.clone()), 0)];
        let (done, _) = after(&json!({"dryRun": dry_run}), looks);
        assert!(ready(&done).3.ends_with(end), "{}", ready(&done).3);
    }
}

#[test]
fn what_another_try_cannot_change_has_failed_for_good_with_a_remedy() {
    for (why, reason, remedy) in [
        (Why::NotPast, "NotPast", "a time in the past"),
        (Why::UnknownZone, "UnknownZone", "the right name"),
        (
            Why::BeforeHistory,
            "BeforeHistory",
            "spec.history.keep of DnsCluster tide",
        ),
        (
            Why::NoHistory,
            "NoHistory",
            "spec.history.keep of DnsCluster tide is not 0d",
        ),
        (Why::Gaps, "HistoryGaps", "despiteGaps: true"),
    ] {
        let (next, _) = after(&json!({}), vec![(failed(why), 0)]);
        let (phase, status, found, message) = ready(&next);
        assert_eq!((phase, status, found), (RestorePhase::Failed, "False", reason));
        assert!(message.contains(remedy), "{message}");
        assert!(stalls(&next) && next.wait.is_none());
    }
    let left = Account {
        result: Some(Written { written: 1, left: 2 }),
        ..account(State::Done)
    };
    let (next, _) = after(&json!({}), vec![(told(left), 0)]);
    let (phase, _, reason, message) = ready(&next);
    assert_eq!((phase, reason), (RestorePhase::Failed, "ChangedMeanwhile"));
    assert!(
        message.contains("wrote 1 entry of") && message.contains("left 2 entries"),
        "{message}"
    );
    let result = next.status.result.unwrap();
    assert_eq!((result.written, result.left, result.rrsets), (1, 2, 4));
    let unfit = Found::Unfit {
        server: "tide-0".into(),
        why: "it refuses with 400".into(),
    };
    for (found, reason) in [(Found::ClusterGoes, "ClusterMissing"), (unfit, "InvalidSpec")] {
        let (next, _) = after(&json!({}), vec![(found, 0)]);
        assert_eq!(ready(&next).2, reason);
        assert!(stalls(&next) && next.wait.is_none());
    }
}

#[test]
fn what_may_pass_is_waited_for_and_given_up_after_an_hour() {
    let away = || Found::Away {
        server: "tide-0".into(),
        why: "connection refused".into(),
        ordered: false,
    };
    let busy = || Found::Busy {
        server: "tide-0".into(),
    };
    let waits = || Found::Waits {
        other: "first".into(),
    };
    for (found, reason, part) in [
        (Found::NoCluster, "ClusterMissing", "there is no DnsCluster tide"),
        (Found::NoServer, "NoServer", "kubectl describe dnscluster tide"),
        (Found::NoCertificates, "ServerUnreachable", "certificates"),
        (away(), "ServerUnreachable", "(connection refused)"),
        (busy(), "AnotherRuns", "tide-0 is busy"),
        (waits(), "AnotherRuns", "DnsRestore first"),
        (failed(Why::Store), "ObjectStoreNotReady", "the agent's words"),
        (failed(Why::Other), "Interrupted", "did not come to its end"),
        (Found::Paused, "PausedByAnnotation", "is paused"),
    ] {
        let looks = vec![(found.clone(), 0), (found.clone(), 3599)];
        let (waits, _) = after(&json!({}), looks.clone());
        assert_eq!(
            (ready(&waits).0, ready(&waits).2),
            (RestorePhase::Planning, reason)
        );
        assert!(ready(&waits).3.contains(part), "{}", ready(&waits).3);
        assert!(waits.wait.is_some() && !stalls(&waits));
        let (over, _) = after(&json!({}), [looks, vec![(found, 3600)]].concat());
        assert_eq!(
            (ready(&over).0, ready(&over).2),
            (RestorePhase::Failed, "GivenUp")
        );
        let message = ready(&over).3;
        assert!(
            message.contains(part) && message.contains("Nothing is known to have been written"),
            "{message}"
        );
        assert!(stalls(&over) && over.wait.is_none());
    }
}

#[test]
fn what_nobody_began_within_an_hour_of_its_making_is_not_begun_and_says_what_stood_in_the_way() {
    let mut old = restore(&json!({}));
    old.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    assert!(!is_late(&old, at(3599)) && is_late(&old, at(3600)));
    let over = next(&old, &Found::Late, at(3600));
    assert_eq!(
        (ready(&over).0, ready(&over).2),
        (RestorePhase::Failed, "GivenUp")
    );
    let (over, _) = after(&json!({}), vec![(Found::NoServer, 0), (Found::Late, 3600)]);
    assert!(ready(&over).3.contains("no server of DnsCluster tide is ready"));
    // One that plans comes to its end in any case.
    let planning = || told(account(State::Planning));
    let (late, _) = after(&json!({}), vec![(planning(), 0), (planning(), 4000)]);
    assert_eq!(ready(&late).0, RestorePhase::Planning);
}

#[test]
fn one_that_writes_is_not_given_up_and_one_that_was_begun_again_keeps_its_first_plan() {
    let running = || told(account(State::Running));
    let (late, _) = after(&json!({}), vec![(running(), 0), (running(), 4000)]);
    assert_eq!(ready(&late).0, RestorePhase::Running);
    let smaller = Account {
        plan: Some(Amount { zones: 1, rrsets: 1 }),
        total_lines: 1,
        ..account(State::Done)
    };
    let looks = vec![
        (running(), 0),
        (failed(Why::Other), 1),
        (told(account(State::Planning)), 2),
        (told(smaller), 3),
    ];
    let (interrupted, _) = after(&json!({}), looks[..3].to_vec());
    assert_eq!(
        (ready(&interrupted).0, ready(&interrupted).2),
        (RestorePhase::Running, "Interrupted")
    );
    let (done, _) = after(&json!({}), looks);
    assert_eq!(done.status.result.unwrap().rrsets, 4);
    let away = Found::Away {
        server: "tide-0".into(),
        why: "gone".into(),
        ordered: true,
    };
    let (over, _) = after(&json!({}), vec![(running(), 0), (away, 3600)]);
    assert!(ready(&over).3.contains("Some of it may have been written"));
}

#[test]
fn what_is_waited_for_is_looked_at_ever_more_seldom() {
    let pause = |second| {
        let (waits, _) = after(&json!({}), vec![(Found::NoServer, 0), (Found::NoServer, second)]);
        waits.wait.unwrap().as_secs()
    };
    assert_eq!(
        [0, 5, 30, 120, 299, 300, 3599].map(pause),
        [1, 1, 3, 12, 29, 30, 30]
    );
}

#[test]
fn what_is_forgotten_or_killed_three_times_is_not_begun_again_and_says_where_to_look() {
    let gone = || Found::Forgotten {
        server: "tide-0".into(),
    };
    let killed = |begins| match failed(Why::Ended) {
        Found::Told { server, account, .. } => Found::Told {
            server,
            account,
            begins,
        },
        other => other,
    };
    let (once, object) = after(&json!({}), vec![(begun(), 0)]);
    assert_eq!((ready(&once).2, once.status.begun), ("Planning", 1));
    assert!(!is_spent(&object));
    let (again, _) = after(
        &json!({}),
        vec![(begun(), 0), (begun(), 1), (told(account(State::Planning)), 2)],
    );
    assert_eq!((ready(&again).2, again.status.begun), ("Interrupted", 2));
    let (store, _) = after(&json!({}), vec![(begun(), 0), (failed(Why::Store), 1)]);
    assert_eq!(store.status.begun, 1, "that is tried for an hour");
    for looks in [
        vec![(begun(), 0), (begun(), 1), (begun(), 2), (gone(), 3)],
        vec![
            (begun(), 0),
            (killed(true), 1),
            (killed(true), 2),
            (killed(false), 3),
        ],
    ] {
        let (before, object) = after(&json!({}), looks[..3].to_vec());
        assert!(before.wait.is_some() && !stalls(&before) && is_spent(&object));
        let (next, _) = after(&json!({}), looks);
        let (phase, _, reason, message) = ready(&next);
        assert_eq!((phase, reason), (RestorePhase::Failed, "Interrupted"));
        for part in [
            "kubectl describe pod tide-0",
            "limits.memory of DnsCluster tide",
            "another DnsRestore of the same time",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(stalls(&next) && next.wait.is_none());
    }
}

#[test]
fn what_is_missing_in_the_history_is_in_the_plan() {
    let mut gaps = failed(Why::Gaps);
    if let Found::Told { account, .. } = &mut gaps {
        account.notes = vec!["what a wrote is missing".into(); 20];
    }
    let (next, _) = after(&json!({}), vec![(gaps, 0)]);
    assert_eq!(next.status.plan.unwrap().missing.len(), 10);
}

#[test]
fn each_new_reason_is_an_event_and_trouble_is_a_warning() {
    let mut object = restore(&json!({}));
    let mut told_of = Vec::new();
    for found in [
        Found::NoCluster,
        Found::NoCluster,
        told(account(State::Planning)),
        told(account(State::Running)),
        told(account(State::Done)),
    ] {
        let next = next(&object, &found, at(0));
        let old = object.status.clone().unwrap();
        let notices = notices(&old, &next.status).into_iter();
        told_of.extend(notices.map(|notice| (notice.warning, notice.reason)));
        object.status = Some(next.status);
    }
    let expected = [
        (true, "ClusterMissing"),
        (false, "Planning"),
        (false, "Restoring"),
        (false, "Restored"),
    ];
    assert_eq!(
        told_of,
        expected.map(|(warning, reason)| (warning, reason.to_owned()))
    );
}

#[test]
fn the_column_names_three_zones_or_all() {
    let scope = |spec: Value| words::scope(&restore(&spec).spec);
    assert_eq!(scope(json!({"zones": [], "all": true})), "all");
    assert_eq!(scope(json!({"zones": ["a", "b", "c"]})), "a,b,c");
    assert_eq!(
        scope(json!({"zones": ["a", "b", "c", "d", "e"]})),
        "a,b,c and 2 more"
    );
}
