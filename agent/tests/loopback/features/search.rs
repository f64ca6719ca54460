//! The API's search, which PowerDNS has on LMDB since 5.0.

use zonetide_testbed::{Version, eventually};

use super::{A_MOMENT, Servers};
use crate::node::ZONE;

/// Both have the record `needle` when this returns.
async fn with_a_record(version: Version) -> Servers {
    let servers = Servers::start(version, &[]).await;
    servers.a.api().create_zone(ZONE).await.unwrap();
    servers.a.write("needle", "192.0.2.1").await;
    servers
        .come_to_answer(&format!("needle.{ZONE}"), &["192.0.2.1"])
        .await;
    servers
}

#[tokio::test]
async fn a_record_written_on_one_server_is_found_by_the_search_of_the_other_until_it_is_removed() {
    let servers = with_a_record(Version::V5).await;
    let name = format!("needle.{ZONE}");
    let found = servers.b.api().search("needle*").await.unwrap();
    assert_eq!(found, [name.as_str()]);
    servers.a.api().delete(ZONE, &name, "A").await.unwrap();
    eventually(A_MOMENT, "b finds it no more", async || {
        match servers.b.api().search("needle*").await {
            Ok(found) if found.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn the_search_of_powerdns_4_9_finds_no_records() {
    let servers = with_a_record(Version::V4).await;
    for node in servers.both() {
        let found = node.api().search("needle*").await;
        assert!(!found.is_ok_and(|names| !names.is_empty()));
    }
}
