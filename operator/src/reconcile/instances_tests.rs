use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::{
    agents::AgentReport,
    testing::{plan, pod},
};

const TWO: &str = "{replicas: 2, objectStore: {managed: {}}, replication: {site: moon}}";

/// What an agent says that sees these instances, with the second at which each stored last.
fn report(pod: &str, seen: &[(&str, u32)]) -> AgentReport {
    let instances: serde_json::Map<String, Value> = seen
        .iter()
        .map(|(name, second)| {
            let newest = format!("2026-11-24T12:{:02}:{:02}.5Z", second / 60, second % 60);
            ((*name).to_owned(), json!({"newest": newest, "up_to_date": true}))
        })
        .collect();
    let status = json!({"ready": true, "time": "2026-11-24T13:00:00Z", "databases": {"main": {"instances": instances}}});
    AgentReport {
        pod: pod.to_owned(),
        status: Ok(serde_json::from_value(status).unwrap()),
    }
}

fn silent(pod: &str) -> AgentReport {
    AgentReport {
        pod: pod.to_owned(),
        status: Err("refused".to_owned()),
    }
}

fn observed<'a>(pods: &'a [Pod], reports: &'a [AgentReport]) -> Observed<'a> {
    Observed {
        pods,
        reports,
        ..Observed::default()
    }
}

fn pods(numbers: &[u32]) -> Vec<Pod> {
    numbers
        .iter()
        .map(|number| pod(&format!("tide-{number}"), true, "new"))
        .collect()
}

/// The status with the servers that these pods are.
fn had(numbers: &[u32]) -> DnsClusterStatus {
    let instances = own(
        &DnsClusterStatus::default(),
        &plan(TWO),
        observed(&pods(numbers), &[]),
    );
    DnsClusterStatus {
        instances,
        ..DnsClusterStatus::default()
    }
}

fn minute(text: &str) -> Time {
    Time(text.parse().unwrap())
}

#[test]
fn what_a_server_stored_last_is_known_to_the_minute_from_whoever_saw_it_last() {
    let pods = pods(&[1, 0]);
    let reports = [
        report("tide-0", &[("moon-shore-tide-1", 59)]),
        report("tide-1", &[("moon-shore-tide-0", 70), ("moon-shore-tide-1", 121)]),
    ];
    let servers = own(
        &DnsClusterStatus::default(),
        &plan(TWO),
        observed(&pods, &reports),
    );
    let said: Vec<_> = servers
        .iter()
        .map(|of| (of.pod.as_str(), of.last_stored.clone(), of.lag_seconds))
        .collect();
    assert_eq!(
        said,
        [
            ("tide-0", Some(minute("2026-11-24T12:01:00Z")), Some(0)),
            ("tide-1", Some(minute("2026-11-24T12:02:00Z")), Some(0)),
        ]
    );
}

#[test]
fn a_lag_is_told_in_whole_minutes() {
    let mut behind = report("tide-0", &[]);
    behind.status = Ok(serde_json::from_value(
        json!({"time": "2026-11-24T12:03:01Z", "databases": {"main": {
        "instances": {"other": {"newest": "2026-11-24T12:00:00Z"}}}}}),
    )
    .unwrap());
    let servers = own(&had(&[]), &plan(TWO), observed(&pods(&[0]), &[behind]));
    assert_eq!(servers[0].lag_seconds, Some(180));
}

#[test]
fn what_nobody_says_stays_but_a_lag_that_is_not_known_goes() {
    let reports = [report(
        "tide-0",
        &[("moon-shore-tide-0", 60), ("sun-shore-tide-0", 60)],
    )];
    let (pods, plan) = (pods(&[0]), plan(TWO));
    let before = DnsClusterStatus {
        instances: own(&DnsClusterStatus::default(), &plan, observed(&pods, &reports)),
        other_instances: others(&DnsClusterStatus::default(), &plan, observed(&pods, &reports)),
        ..DnsClusterStatus::default()
    };
    let reports = [silent("tide-0")];
    let after = own(&before, &plan, observed(&pods, &reports));
    assert_eq!(after[0].last_stored, Some(minute("2026-11-24T12:01:00Z")));
    assert_eq!(after[0].lag_seconds, None);
    assert_eq!(
        others(&before, &plan, observed(&pods, &reports)),
        before.other_instances
    );
    let gone = [report("tide-0", &[])];
    assert_eq!(others(&before, &plan, observed(&pods, &gone)), []);
}

#[test]
fn others_are_all_whose_names_are_not_this_clusters_and_the_newest_come_first() {
    let reports = [report(
        "tide-0",
        &[
            ("moon-shore-tide-0", 5),
            // Scaled away, and ours all the same.
            ("moon-shore-tide-7", 5),
            ("moon-shore-tides-0", 10),
            ("moon-shore-tide-x", 130),
            ("moon-shore-tide-01", 70),
            ("sun-shore-tide-0", 65),
        ],
    )];
    let others = others(&had(&[]), &plan(TWO), observed(&[], &reports));
    let names: Vec<_> = others.iter().map(|of| of.instance.as_str()).collect();
    assert_eq!(
        names,
        [
            "moon-shore-tide-x",
            "moon-shore-tide-01",
            "sun-shore-tide-0",
            "moon-shore-tides-0"
        ]
    );
}

#[test]
fn at_most_fifty_others_are_named() {
    let names: Vec<String> = (0..60).map(|number| format!("ls-{number:02}")).collect();
    let seen: Vec<(&str, u32)> = names
        .iter()
        .map(String::as_str)
        .zip((0..60).map(|n| n * 60))
        .collect();
    let others = others(&had(&[]), &plan(TWO), observed(&[], &[report("tide-0", &seen)]));
    assert_eq!((others.len(), others[0].instance.as_str()), (50, "ls-59"));
}

#[test]
fn a_server_that_was_scaled_away_retires_once_its_pod_is_gone_until_nobody_sees_it() {
    let plan = plan(TWO);
    let seen = [("moon-shore-tide-0", 5), ("moon-shore-tide-2", 5)];
    let reports = [report("tide-0", &seen), report("tide-1", &seen)];
    let before = had(&[0, 1, 2]);
    assert_eq!(
        retiring(&before, &plan, observed(&pods(&[0, 1, 2]), &reports)),
        [""; 0]
    );

    let two = pods(&[0, 1]);
    let now = retiring(&before, &plan, observed(&two, &reports));
    assert_eq!(now, ["moon-shore-tide-2"]);
    let before = DnsClusterStatus {
        retiring_instances: now.clone(),
        ..had(&[0, 1])
    };
    assert_eq!(retiring(&before, &plan, observed(&two, &reports)), now);
    assert_eq!(retired(&before, &plan, observed(&two, &reports)).count(), 0);

    // One of them has listed the bucket since.
    let half = [report("tide-0", &seen[..1]), report("tide-1", &seen)];
    assert_eq!(retiring(&before, &plan, observed(&two, &half)), now);
    let none = [report("tide-0", &seen[..1]), silent("tide-1")];
    assert_eq!(retiring(&before, &plan, observed(&two, &none)), [""; 0]);
    let gone: Vec<_> = retired(&before, &plan, observed(&two, &none)).collect();
    assert_eq!(gone, ["moon-shore-tide-2"]);
}

#[test]
fn nobody_is_taken_for_gone_while_no_agent_has_read_the_bucket() {
    let plan = plan(TWO);
    let before = had(&[0, 1, 2]);
    let mut starting = report("tide-0", &[]);
    starting.status.as_mut().unwrap().ready = false;
    for reports in [vec![], vec![silent("tide-0")], vec![starting]] {
        let now = retiring(&before, &plan, observed(&pods(&[0, 1]), &reports));
        assert_eq!(now, ["moon-shore-tide-2"]);
    }
}

#[test]
fn a_server_that_comes_back_leaves_the_list_before_it_has_a_pod_and_is_not_told_to_be_gone() {
    let three = plan("{replicas: 3, objectStore: {managed: {}}, replication: {site: moon}}");
    let before = DnsClusterStatus {
        retiring_instances: vec!["moon-shore-tide-2".into()],
        ..had(&[0, 1])
    };
    let reports = [report("tide-0", &[])];
    let observed = observed(&[], &reports);
    assert_eq!(retiring(&before, &three, observed), [""; 0]);
    assert_eq!(retired(&before, &three, observed).count(), 0);
}

#[test]
fn a_server_that_serves_without_the_bucket_does_not_know_who_is_gone_from_it() {
    let plan = plan(TWO);
    let before = had(&[0, 1, 2]);
    for (basis, gone) in [("own-data", false), ("peers", false), ("bucket", true)] {
        let mut report = report("tide-0", &[("moon-shore-tide-0", 5)]);
        if let Ok(status) = &mut report.status {
            status.serving.basis = Some(basis.to_owned());
        }
        let reports = [report];
        let left = retiring(&before, &plan, observed(&pods(&[0, 1]), &reports));
        assert_eq!(left.is_empty(), gone, "{basis}: {left:?}");
    }
}

#[test]
fn an_instance_of_our_name_that_was_never_a_server_of_ours_is_not_retired() {
    let reports = [report("tide-0", &[("moon-shore-tide-5", 5)])];
    assert_eq!(
        retiring(&had(&[0, 1]), &plan(TWO), observed(&pods(&[0, 1]), &reports)),
        [""; 0]
    );
}

#[test]
fn nobody_is_retired_while_somebody_else_uses_our_names() {
    let mut collides = report("tide-0", &[("moon-shore-tide-2", 5)]);
    collides.status = Ok(serde_json::from_value(json!({"ready": true, "databases": {"main": {
        "instances": {"moon-shore-tide-2": {}}, "conditions": {"namesake": {"level": "error", "text": "t"}}}}}))
    .unwrap());
    let pods = pods(&[0, 1]);
    assert_eq!(
        retiring(&had(&[0, 1, 2]), &plan(TWO), observed(&pods, &[collides])),
        [""; 0]
    );
}
