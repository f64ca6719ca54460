//! The agent and PowerDNS open the two LMDB files in either order, and each sees what the other writes.

use zonetide_testbed::Garage;

use crate::node::{Node, ZONE};

/// What PowerDNS makes when it is the first, and what the agent makes: LMDB's default and ours.
const OF_POWERDNS: u64 = 126;
const OF_AGENT: u64 = 1024;

/// The size of the reader table of a lock file of LMDB 0.9 on 64 bits: a header of 192 bytes, which holds the first
/// slot, and 64 bytes for each further one.
fn readers(node: &Node, lock_file: &str) -> u64 {
    let length = std::fs::metadata(node.file(lock_file)).unwrap().len();
    (length - 192) / 64 + 1
}

#[tokio::test]
async fn an_agent_that_is_first_sets_a_reader_table_of_1024_and_powerdns_joins_it() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &bucket));

    a.agent.start().await;
    for lock in ["pdns.lmdb-lock", "pdns.lmdb-0-lock"] {
        assert_eq!(readers(&a, lock), OF_AGENT, "{lock} before PowerDNS");
    }
    a.dns.start().await;
    for lock in ["pdns.lmdb-lock", "pdns.lmdb-0-lock"] {
        assert_eq!(readers(&a, lock), OF_AGENT, "{lock} with PowerDNS");
    }

    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.start().await;
    b.comes_to_say("www", "192.0.2.1").await;
    b.write("www", "192.0.2.2").await;
    a.comes_to_say("www", "192.0.2.2").await;
}

#[tokio::test]
async fn an_agent_joins_a_powerdns_that_is_first_and_has_data_already() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &bucket));

    a.dns.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    assert_eq!(
        readers(&a, "pdns.lmdb-lock"),
        OF_POWERDNS,
        "PowerDNS was not the first"
    );
    a.agent.start().await;

    // B's PowerDNS makes its files before anything comes from the bucket, but has no records file yet.
    b.dns.start().await;
    b.agent.start().await;
    b.comes_to_say("www", "192.0.2.1").await;
    b.write("www", "192.0.2.2").await;
    a.comes_to_say("www", "192.0.2.2").await;
}

#[tokio::test]
async fn powerdns_restarts_beside_a_running_agent() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &bucket));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;

    b.dns.stop();
    a.write("www", "192.0.2.2").await;
    b.dns.start().await;
    b.comes_to_say("www", "192.0.2.2").await;
    b.write("www", "192.0.2.3").await;
    a.comes_to_say("www", "192.0.2.3").await;
}
