use serde_json::{Value, json};

use super::*;
use crate::objectstore::NodeView;

const OLD: &str = "old";
const NEW: &str = "new";

fn set(partition: Option<i32>, command: &Value, grown: bool) -> StatefulSet {
    let annotations = if grown {
        json!({"zonetide.dev/store-nodes": "3"})
    } else {
        json!({})
    };
    serde_json::from_value(json!({
        "metadata": {"name": "g", "generation": 2, "annotations": annotations},
        "spec": {"replicas": 3, "selector": {}, "updateStrategy": {"rollingUpdate": {"partition": partition}},
            "template": {"spec": {"containers": [{"name": "garage", "command": command}]}}},
        "status": {"replicas": 3, "observedGeneration": 2, "updateRevision": "new", "currentRevision": "new"},
    }))
    .unwrap()
}

fn single() -> Value {
    json!(["/garage", "server", "--single-node"])
}

fn of_three() -> Value {
    json!(["/garage", "server"])
}

/// Ready since long ago, open and filled.
fn pod(number: u8, command: &Value, ready: bool, revision: &str) -> Pod {
    let ready = if ready { "True" } else { "False" };
    serde_json::from_value(json!({
        "metadata": {"name": format!("g-{number}"), "annotations": {"zonetide.dev/store-filled": "true"},
            "labels": {"controller-revision-hash": revision, "zonetide.dev/store": "open"}},
        "spec": {"containers": [{"name": "garage", "command": command}]},
        "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .unwrap()
}

fn good(number: u8, revision: &str) -> Pod {
    pod(number, &of_three(), true, revision)
}

fn crashing(number: u8, revision: &str) -> Pod {
    pod(number, &of_three(), false, revision)
}

/// It listens since `since`, and does not hold everything.
fn unfilled(number: u8, since: &str) -> Pod {
    let mut pod = good(number, NEW);
    pod.metadata.annotations = None;
    let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
    pod.status.as_mut().unwrap().conditions = serde_json::from_value(conditions).unwrap();
    pod
}

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

const JUST_NOW: &str = "2026-01-01T23:59:30Z";
const LONG_AGO: &str = "2026-01-01T23:00:00Z";

fn nodes(layouts: &[u64]) -> Vec<Node> {
    let nodes = layouts.iter().enumerate().map(|(number, layout)| Node {
        pod: format!("g-{}", number + 1),
        address: String::new(),
        view: NodeView {
            layout: *layout,
            ..NodeView::default()
        },
    });
    nodes.collect()
}

fn seen(set: Option<&StatefulSet>, pods: &[Pod], layouts: &[u64], meet: bool) -> StoreStage {
    stage(&Seen {
        set,
        pods,
        nodes: &nodes(layouts),
        introduced: true,
        meet,
        paused: false,
        now: now(),
    })
}

/// Of a store that has grown.
fn partition_of(asked: i32, pods: &[Pod], meet: bool) -> i32 {
    let set = set(Some(asked), &of_three(), true);
    match seen(Some(&set), pods, &[], meet) {
        StoreStage::Grown { partition } => partition,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_is_new_is_made_of_three_at_once() {
    assert_eq!(seen(None, &[], &[], false), StoreStage::Making);
}

#[test]
fn a_single_node_goes_on_until_two_others_answer() {
    let first = pod(0, &single(), true, OLD);
    let of_one = set(None, &single(), false);
    assert_eq!(
        seen(Some(&of_one), std::slice::from_ref(&first), &[], false),
        StoreStage::Joining
    );
    let joining = set(Some(1), &of_three(), false);
    let all = [first, good(1, NEW), good(2, NEW)];
    assert_eq!(seen(Some(&joining), &all, &[0], false), StoreStage::Joining);
    assert_eq!(seen(Some(&joining), &all, &[0, 0], false), StoreStage::Making);
    // It is away for a moment, and comes back as it was.
    assert_eq!(
        seen(Some(&joining), &all[1..], &[0, 0], false),
        StoreStage::Joining
    );
    let mut ends = all.clone();
    ends[0].metadata.deletion_timestamp = serde_json::from_value(json!(JUST_NOW)).unwrap();
    assert_eq!(seen(Some(&joining), &ends, &[0, 0], false), StoreStage::Joining);
    // Or as what was decided.
    let making = set(Some(0), &of_three(), false);
    assert_eq!(seen(Some(&making), &ends, &[0], false), StoreStage::Making);
    let replaced = [crashing(0, NEW)];
    assert_eq!(seen(Some(&making), &replaced, &[], false), StoreStage::Making);
}

#[test]
fn the_first_node_stays_as_it_is_until_the_others_see_each_other() {
    let joining = set(Some(1), &of_three(), false);
    let all = [pod(0, &single(), true, OLD), good(1, NEW), good(2, NEW)];
    let with = |introduced| {
        stage(&Seen {
            set: Some(&joining),
            pods: &all,
            nodes: &nodes(&[0, 0]),
            introduced,
            meet: false,
            paused: false,
            now: now(),
        })
    };
    assert_eq!(with(false), StoreStage::Joining);
    assert_eq!(with(true), StoreStage::Making);
}

#[test]
fn a_store_that_is_paused_is_not_switched() {
    let joining = set(Some(1), &of_three(), false);
    let all = [pod(0, &single(), true, OLD), good(1, NEW), good(2, NEW)];
    let paused = Seen {
        set: Some(&joining),
        pods: &all,
        nodes: &nodes(&[0, 0]),
        introduced: true,
        meet: false,
        paused: true,
        now: now(),
    };
    assert_eq!(stage(&paused), StoreStage::Joining);
}

#[test]
fn three_that_an_older_operator_made_one_of_are_three_again() {
    let joining = set(Some(1), &of_three(), false);
    let all = [pod(0, &single(), false, OLD), good(1, NEW), crashing(2, NEW)];
    assert_eq!(seen(Some(&joining), &all, &[0], false), StoreStage::Joining);
    assert_eq!(seen(Some(&joining), &all, &[4], false), StoreStage::Making);
}

#[test]
fn it_has_grown_when_no_pod_can_come_back_as_a_single_node() {
    let pods = [good(0, NEW), good(1, NEW), good(2, NEW)];
    let mut made = set(Some(0), &of_three(), false);
    let grown = StoreStage::Grown { partition: 0 };
    assert_eq!(seen(Some(&made), &pods, &[1, 1, 1], true), grown);
    assert_eq!(seen(Some(&made), &pods[..2], &[1, 1], false), StoreStage::Making);
    made.status.as_mut().unwrap().current_revision = Some(OLD.to_owned());
    assert_eq!(seen(Some(&made), &pods, &[1, 1, 1], true), StoreStage::Making);
}

#[test]
fn nodes_are_replaced_one_at_a_time_each_when_those_before_it_hold_everything() {
    let pods = [good(0, OLD), good(1, OLD), good(2, OLD)];
    assert_eq!(partition_of(3, &pods, true), 2);
    let pods = [good(0, OLD), good(1, OLD), good(2, NEW)];
    assert_eq!(partition_of(2, &pods, true), 1);
    let pods = [good(0, OLD), good(1, OLD), unfilled(2, LONG_AGO)];
    assert_eq!(partition_of(2, &pods, true), 2, "it is being filled");
    let pods = [good(0, OLD), good(1, OLD), unfilled(2, JUST_NOW)];
    assert_eq!(partition_of(2, &pods, false), 2, "it has just begun to listen");
}

#[test]
fn a_new_revision_mends_two_or_three_nodes_that_do_not_run() {
    let all = [crashing(0, OLD), crashing(1, OLD), crashing(2, OLD)];
    assert_eq!(partition_of(3, &all, false), 0);
    let two = [crashing(0, OLD), crashing(1, OLD), good(2, OLD)];
    assert_eq!(partition_of(3, &two, false), 0);
    let two = [good(0, OLD), crashing(1, OLD), unfilled(2, LONG_AGO)];
    assert_eq!(partition_of(2, &two, false), 1);
    let one = [crashing(0, OLD), unfilled(1, LONG_AGO), unfilled(2, LONG_AGO)];
    assert_eq!(partition_of(1, &one, false), 0);
    // A StatefulSet replaces none while a later one that was replaced is not ready.
    let stuck = [good(0, OLD), good(1, OLD), crashing(2, NEW)];
    assert_eq!(
        partition_of(2, &stuck, false),
        2,
        "a revision that does not run stops at one"
    );
}

#[test]
fn other_secrets_are_brought_to_all_three_though_those_that_have_them_see_nobody() {
    let goes = |pods: &[Pod; 3], asked, next| assert_eq!(partition_of(asked, pods, false), next);
    goes(&[good(0, OLD), good(1, OLD), good(2, OLD)], 3, 2);
    goes(&[good(0, OLD), good(1, OLD), unfilled(2, LONG_AGO)], 2, 1);
    goes(
        &[good(0, OLD), unfilled(1, LONG_AGO), unfilled(2, LONG_AGO)],
        1,
        0,
    );
}
