use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::{
    agents::AgentReport,
    testing::{S3, plan, pod},
};

fn says(number: u32, status: &Value) -> AgentReport {
    AgentReport {
        pod: format!("tide-{number}"),
        status: Ok(serde_json::from_value(status.clone()).unwrap()),
    }
}

fn silent(number: u32, error: &str) -> AgentReport {
    AgentReport {
        pod: format!("tide-{number}"),
        status: Err(error.to_owned()),
    }
}

fn of(pods: &[Pod], reports: &[AgentReport]) -> (Status, Reason, String) {
    let observed = Observed {
        pods,
        reports,
        ..Observed::default()
    };
    let Verdict {
        type_,
        status,
        reason,
        message,
    } = replicating(&plan(S3), None, observed);
    assert_eq!(type_, ConditionType::Replicating);
    (status, reason, message)
}

fn ready(count: u32) -> Vec<Pod> {
    (0..count)
        .map(|number| pod(&format!("tide-{number}"), true, "new"))
        .collect()
}

fn namesake(object: &str) -> Value {
    let text = format!("another agent stored {object}");
    json!({"health": {"failures": {"main_namesake": text}}, "databases": {"main": {"conditions": {
        "namesake": {"level": "error", "text": text}}}}})
}

#[test]
fn servers_whose_agents_have_nothing_to_complain_of_are_in_sync() {
    let (status, reason, message) = of(&ready(2), &[says(0, &json!({})), says(1, &json!({}))]);
    assert_eq!((status, reason), (Status::True, Reason::InSync));
    assert!(message.contains("bucket crater under shore/tide/"), "{message}");
}

#[test]
fn a_collision_names_the_instance_and_the_remedy_and_not_what_changes_from_look_to_look() {
    let first = of(
        &ready(2),
        &[says(0, &json!({})), says(1, &namesake("main__x__1.pb.gz"))],
    );
    let again = of(
        &ready(2),
        &[silent(0, "refused"), says(1, &namesake("main__x__2.pb.gz"))],
    );
    assert_eq!(first, again);
    let (status, reason, message) = first;
    assert_eq!((status, reason), (Status::False, Reason::IdentityCollision));
    for named in [
        "0a1b2c3d-shore-tide-1",
        "spec.replication.site",
        "no change is lost",
    ] {
        assert!(message.contains(named), "{message}");
    }
    assert!(!message.contains("tide-0"), "{message}");
}

#[test]
fn what_fails_is_quoted_in_one_line_of_bounded_length_for_the_first_few_pods() {
    let long = format!("no route\nto host {}", "x".repeat(5000));
    let failing = json!({"health": {"failures": {"main_volume": long}}});
    let reports: Vec<_> = (0..5).map(|number| says(number, &failing)).collect();
    // Also of pods that are not ready.
    let (status, reason, message) = of(&[], &reports);
    assert_eq!((status, reason), (Status::False, Reason::ReplicationFailing));
    assert!(
        message.contains("tide-0 (main_volume: no route to host xxx"),
        "{message}"
    );
    assert!(
        message.contains("tide-2 (") && !message.contains("tide-3 ("),
        "{message}"
    );
    assert!(message.contains("and 2 more"), "{message}");
    assert!(message.len() < 1100, "{}", message.len());
}

#[test]
fn a_server_that_cannot_load_the_bucket_and_so_does_not_serve_is_told_of_soon() {
    let failing = |ready: bool, seconds: u32| {
        let why = "cannot list \"\": <Code>AccessDenied</Code>";
        let list = json!({"storage_list": {"seconds": seconds, "last_error": why}});
        json!({"ready": ready, "databases": {"main": {"failing": list}}})
    };
    let pods = [pod("tide-0", true, "new"), pod("tide-1", false, "new")];
    let (status, reason, message) = of(
        &pods,
        &[says(0, &json!({"ready": true})), says(1, &failing(false, 20))],
    );
    assert_eq!((status, reason), (Status::False, Reason::ReplicationFailing));
    assert!(
        message.contains("do not serve: tide-1 (cannot list \"\": AccessDenied)"),
        "{message}"
    );
    // It may be about to load it; and who has loaded it serves.
    for fine in [failing(false, 19), failing(true, 200)] {
        let (status, ..) = of(&pods, &[says(0, &json!({"ready": true})), says(1, &fine)]);
        assert_eq!(status, Status::True);
    }
}

#[test]
fn a_ready_server_whose_agent_does_not_answer_is_named_and_others_are_not_asked_for() {
    let mut pods = ready(2);
    pods.push(pod("tide-2", false, "new"));
    let reports = [
        says(0, &json!({})),
        silent(1, "operation timed out"),
        silent(2, "it has no address yet"),
    ];
    let (status, reason, message) = of(&pods, &reports);
    assert_eq!((status, reason), (Status::Unknown, Reason::AgentsUnreachable));
    assert!(message.contains("tide-1 (operation timed out)"), "{message}");
    assert!(
        message.contains("NetworkPolicy") && message.contains("8500"),
        "{message}"
    );
    assert!(!message.contains("tide-2"), "{message}");
}

#[test]
fn before_a_server_is_ready_nothing_is_known() {
    let pods = [pod("tide-0", false, "new")];
    let (status, reason, _) = of(&pods, &[silent(0, "refused")]);
    assert_eq!((status, reason), (Status::Unknown, Reason::ServersStarting));
}

#[test]
fn servers_that_serve_without_the_store_say_by_what() {
    let own = json!({"serving": {"basis": "own-data", "last_in_sync": "2026-11-28T10:00:00Z"}});
    let reports = [says(0, &own), says(1, &json!({"serving": {"basis": "bucket"}}))];
    let (status, reason, message) = of(&ready(2), &reports);
    assert_eq!((status, reason), (Status::False, Reason::ServingWithoutStore));
    let expected = "tide-0 (by its own data, which were in sync at 2026-11-28T10:00:00Z)";
    assert!(
        message.contains(expected) && !message.contains("tide-1"),
        "{message}"
    );
    let (_, reason, message) = of(&ready(1), &[says(0, &json!({"serving": {"basis": "peers"}}))]);
    assert_eq!(reason, Reason::ServingWithoutStore);
    assert!(
        message.contains("it has what the other servers have"),
        "{message}"
    );
}

#[test]
fn a_store_that_the_operator_cannot_use_is_said_before_agents_lose_patience() {
    let error = StoreError::Unreachable {
        endpoint: "http://s3".into(),
        cause: "refused".into(),
    };
    let (pods, reports) = (ready(1), [says(0, &json!({}))]);
    let observed = Observed {
        pods: &pods,
        reports: &reports,
        ..Observed::default()
    };
    let verdict = replicating(&plan(S3), Some(&error), observed);
    assert_eq!(
        (verdict.status, verdict.reason),
        (Status::False, Reason::ObjectStoreNotReady)
    );
}
