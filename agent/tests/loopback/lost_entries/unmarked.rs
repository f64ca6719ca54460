//! A `pdnsutil` that was started without `lmdb-lightning-stream` removes entries and leaves no mark.

use zonetide_testbed::{Version, eventually};

use super::{Entries, RECORDS, Servers, comes_to_tell_of, entries, metric};
use crate::node::{Node, SOON, ZONE};

const WITHOUT_MARKS: &[&str] = &["lmdb-lightning-stream=no"];

on_both_versions!(
    an_rrset_that_is_gone_without_a_mark_is_back_as_it_was,
    a_zone_that_is_gone_without_a_mark_is_back,
    what_is_gone_while_the_agent_is_stopped_is_back_from_the_store,
    what_is_deleted_with_a_mark_stays_deleted,
);

fn www() -> String {
    format!("www.{ZONE}")
}

fn delete_www(node: &Node, version: Version, settings: &[&str]) {
    let www = match version {
        Version::V4 => "www".to_owned(),
        Version::V5 => www(),
    };
    node.dns.pdnsutil(settings, &["delete-rrset", ZONE, &www, "A"]);
}

async fn with_www(version: Version) -> Servers {
    let servers = Servers::start(version).await;
    servers.a.api().create_zone(ZONE).await.unwrap();
    servers.a.write("www", "192.0.2.1").await;
    servers.b.comes_to_say("www", "192.0.2.1").await;
    // Its first snapshot would bring back at once what is gone.
    eventually(SOON, "A has merged the first snapshot of B", async || {
        let status = servers.a.agent.status().await;
        let merged =
            ["main", "shard"].map(|database| &status["databases"][database]["instances"]["b"]["merged"]);
        if merged.iter().all(|merged| merged.is_string()) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    servers
}

/// The entry of the name.
fn entry_of_www(node: &Node) -> Entries {
    let mut entries = entries(node, RECORDS);
    entries.retain(|key, _| key.windows(4).any(|part| part == b"www\0"));
    entries
}

async fn an_rrset_that_is_gone_without_a_mark_is_back_as_it_was(version: Version) {
    let servers = with_www(version).await;
    let before = entry_of_www(&servers.a);
    delete_www(&servers.a, version, WITHOUT_MARKS);
    comes_to_tell_of(&servers.a, "shard", &format!("{} A", www())).await;
    servers.a.comes_to_say("www", "192.0.2.1").await;
    assert_eq!(entry_of_www(&servers.a), before);
    assert!(metric(&servers.a, "entries_restored_total").await >= 1);
    assert_eq!(metric(&servers.b, "entries_restored_total").await, 0);

    // It can be changed as before.
    servers.a.write("www", "192.0.2.2").await;
    servers.b.comes_to_say("www", "192.0.2.2").await;
}

async fn a_zone_that_is_gone_without_a_mark_is_back(version: Version) {
    let servers = with_www(version).await;
    servers.a.dns.pdnsutil(WITHOUT_MARKS, &["delete-zone", ZONE]);
    comes_to_tell_of(&servers.a, "main", ZONE).await;
    // The zone may not have its name back yet.
    comes_to_tell_of(&servers.a, "shard", "www").await;
    servers.a.comes_to_say("www", "192.0.2.1").await;
    servers.b.comes_to_say("www", "192.0.2.1").await;
}

async fn what_is_gone_while_the_agent_is_stopped_is_back_from_the_store(version: Version) {
    let mut servers = with_www(version).await;
    let before = entry_of_www(&servers.a);
    servers.a.agent.stop();
    delete_www(&servers.a, version, WITHOUT_MARKS);
    assert!(entry_of_www(&servers.a).is_empty());
    servers.a.agent.start().await;
    servers.a.comes_to_say("www", "192.0.2.1").await;
    assert_eq!(entry_of_www(&servers.a), before);
    comes_to_tell_of(&servers.a, "shard", "1 of records_v5").await;
}

async fn what_is_deleted_with_a_mark_stays_deleted(version: Version) {
    let mut servers = with_www(version).await;
    delete_www(&servers.a, version, &[]);
    for node in servers.both() {
        node.comes_to_say_code(&www(), zonetide_testbed::dns::Code::NXDomain)
            .await;
    }
    servers.a.api().delete_zone(ZONE).await.unwrap();
    for node in servers.both() {
        node.comes_to_say_code(&www(), zonetide_testbed::dns::Code::Refused)
            .await;
    }
    servers.a.agent.stop();
    servers.a.agent.start().await;
    for node in servers.both() {
        assert_eq!(metric(node, "entries_restored_total").await, 0);
        let status = node.agent.status().await;
        for database in ["main", "shard"] {
            assert!(
                status["databases"][database]["conditions"]["lost_entries"].is_null(),
                "{status}"
            );
        }
    }
}
