use serde_json::{Value, json};

use super::*;

fn parse(value: Value) -> AgentStatus {
    serde_json::from_value(value).unwrap()
}

fn at(second: u32) -> String {
    format!("2026-11-24T12:{:02}:{:02}.250Z", second / 60, second % 60)
}

/// An agent at 12:30:00 whose one database has these instances.
fn with_instances(instances: &Value) -> AgentStatus {
    parse(json!({"time": at(1800), "databases": {"main": {"instances": instances}}}))
}

#[test]
fn an_agent_that_says_nothing_we_know_or_things_of_another_kind_is_understood() {
    assert_eq!(parse(json!({})), AgentStatus::default());
    let odd = parse(json!({
        "version": 2, "instance": null, "ready": "yes", "time": "noon", "store_key": 7, "health": [], "databases": {
            "main": {"instances": {"a": {"newest": 12, "up_to_date": true}}, "failing": null, "conditions": "none"},
            "shard": 3,
        },
    }));
    assert_eq!(odd.instance, "");
    assert_eq!((odd.lag(), odd.trouble(), odd.collides()), (None, None, false));
    let odd = parse(json!({"databases": {"main": {"instances": {"a": {"newest": null}}, "failing": null}}}));
    assert!(odd.sees("a") && !odd.sees("b"));
}

#[test]
fn an_instance_was_last_seen_when_it_stored_the_newest_of_all_its_databases() {
    let status = parse(json!({"databases": {
        "main": {"instances": {"a": {"newest": at(10)}, "b": {}}},
        "shard": {"instances": {"a": {"newest": at(20)}}},
    }}));
    let seen = status.seen();
    assert_eq!(seen["a"], Some(at(20).parse().unwrap()));
    assert_eq!(seen["b"], None);
}

#[test]
fn whoever_has_everything_does_not_lag() {
    let status = with_instances(&json!({"a": {"newest": at(0), "merged_taken": at(0), "up_to_date": true}}));
    assert_eq!(status.lag(), Some(0));
}

#[test]
fn a_change_that_came_after_a_long_silence_is_as_old_as_itself() {
    let status = with_instances(&json!({"a": {"newest": at(1797), "merged_taken": at(0)}}));
    assert_eq!(status.lag(), Some(3));
}

#[test]
fn what_cannot_be_merged_while_more_of_it_comes_grows_old() {
    let mut status = with_instances(&json!({
        "a": {"newest": at(1799), "merged_taken": at(600)},
        "b": {"newest": at(1799), "merged_taken": at(1790)},
    }));
    let failing = Failing {
        seconds: 700,
        last_error: "torn".into(),
    };
    let main = status.databases.get_mut("main").unwrap();
    main.failing.insert("storage_load".into(), failing.clone());
    assert_eq!(status.lag(), Some(700));
    let main = status.databases.get_mut("main").unwrap();
    main.failing.insert("storage_list".into(), failing);
    assert_eq!(status.lag(), None, "nobody knows what is in the bucket");
}

#[test]
fn another_clock_that_is_ahead_makes_no_negative_lag() {
    let status = with_instances(&json!({"a": {"newest": at(1900)}}));
    assert_eq!(status.lag(), Some(0));
}

#[test]
fn what_fails_is_told_without_how_long_it_has_been_so() {
    let status = parse(json!({
        "health": {"failures": {
            "main_namesake": "another agent stored main__a__1.pb.gz",
            "main_storage_list_failed_duration": "listing the store has failed for 6m 1s: connection refused",
        }},
        "databases": {"main": {"failing": {"storage_list": {"seconds": 361, "last_error": "connection refused"}}}},
    }));
    assert_eq!(
        status.trouble().unwrap(),
        "main_storage_list_failed_duration: connection refused"
    );
    let full = parse(json!({"health": {"failures": {"main_map_full": "the memory map is full"}}}));
    assert_eq!(full.trouble().unwrap(), "main_map_full: the memory map is full");
    let namesake = parse(json!({
        "health": {"failures": {"main_namesake": "x"}},
        "databases": {"main": {"conditions": {"namesake": {"level": "error", "text": "x"}}}},
    }));
    assert_eq!((namesake.trouble(), namesake.collides()), (None, true));
}
