//! An empty database is filled in long transactions while nobody else has it open; PowerDNS may come at any moment.

use std::time::Duration;

use crate::node::{Node, ZONE};

const RECORDS: u32 = 30_000;

fn address(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

#[tokio::test]
async fn powerdns_that_starts_in_the_middle_of_a_cold_start_has_everything_in_the_end() {
    let shared = tempfile::tempdir().unwrap();
    let mut a = Node::new("a", shared.path());
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    let records: Vec<_> = (0..RECORDS)
        .map(|number| (format!("r{number}.{ZONE}"), address(number)))
        .collect();
    for records in records.chunks(5000) {
        a.api().replace_many(ZONE, records).await.unwrap();
    }
    a.stop();

    let mut b = Node::new("b", shared.path());
    b.agent.launch();
    b.dns.start().await;
    b.agent.await_ready(Duration::from_secs(30)).await;
    for number in [0, 1, RECORDS / 2, RECORDS - 2, RECORDS - 1] {
        b.says(&format!("r{number}"), &address(number)).await.unwrap();
    }
    b.write("new", "192.0.2.1").await;
    a.start().await;
    a.comes_to_say("new", "192.0.2.1").await;
    a.says("r0", &address(0)).await.unwrap();
}

#[tokio::test]
async fn a_database_that_powerdns_or_an_agent_has_open_is_not_ours_alone() {
    let shared = tempfile::tempdir().unwrap();
    let mut node = Node::new("a", shared.path());
    node.start().await;
    // Each opens and closes by itself, so that no descriptor is left of another.
    let alone = |node: &Node| node.open("pdns.lmdb").is_alone();
    assert!(!alone(&node));
    node.agent.stop();
    assert!(!alone(&node));
    node.dns.stop();
    assert!(alone(&node));
    node.agent.start().await;
    assert!(!alone(&node));
}
