//! Servers that have the same changes are compared, and what differs nevertheless is put right.

use std::time::Duration;

use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::lmdb::header::Header;
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, SOON, ZONE};
use crate::told::{in_contact, metric};

const SHARD: &str = "pdns.lmdb-0";
const RECORDS: &str = "records_v5";
/// A difference is found within a minute; the rest is room for a busy machine.
const A_MINUTE: Duration = Duration::from_secs(90);

/// The only A record of a name, with its header, as it is in the database.
fn entry(node: &Node, address: [u8; 4]) -> (Vec<u8>, Header, Vec<u8>) {
    let env = node.open(SHARD);
    let mut found = None;
    env.read::<_, LmdbError>(|reader| {
        let dbi = reader.dbi(RECORDS)?.unwrap();
        reader.for_each_in_order::<LmdbError>(&dbi, |key, header, value| {
            if !header.deleted && value.windows(4).any(|four| four == address) {
                found = Some((key.to_vec(), header, value.to_vec()));
            }
            Ok(())
        })
    })
    .unwrap();
    found.unwrap_or_else(|| panic!("{address:?} is in no record"))
}

async fn comes_to_be_compared(node: &Node) {
    eventually(A_MINUTE, "the databases are found equal", async || {
        let status = node.agent.status().await;
        let compared = |database: &str| !status["databases"][database]["compared"].is_null();
        if compared("main") && compared("shard") {
            Ok(())
        } else {
            Err(status["databases"].to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn a_record_that_went_back_to_what_it_was_without_anybodys_doing_is_found_named_and_put_right() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut nodes: Vec<_> = ["a", "b"].map(|name| Node::new(name, &bucket)).into();
    let urls: Vec<_> = nodes.iter().map(|node| node.agent.peer_url()).collect();
    for node in &mut nodes {
        node.agent.tell(&urls);
        node.start().await;
    }
    let [a, b] = &mut nodes[..] else { unreachable!() };
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;
    let (key, header, before) = entry(b, [192, 0, 2, 1]);
    a.write("www", "192.0.2.2").await;
    b.comes_to_say("www", "192.0.2.2").await;
    for node in [&*a, &*b] {
        comes_to_be_compared(node).await;
    }
    // As a page would that a disk did not write: neither the entry nor the agent's files tell that anything happened.
    b.agent.stop();
    let undone = b.open(SHARD).write::<_, LmdbError>(|writer| {
        let dbi = writer.dbi(RECORDS)?;
        writer.put_under(&dbi, &key, header, &before)
    });
    undone.unwrap();
    b.comes_to_say("www", "192.0.2.1").await;
    b.agent.start().await;
    in_contact(b, 1).await;
    let what = "b says again what a says";
    eventually(A_MINUTE, what, async || b.says("www", "192.0.2.2").await).await;
    a.says("www", "192.0.2.2").await.unwrap();
    let named =
        |text: &str| text.contains(&format!("www.{ZONE} A")) && text.contains("differed from what a had");
    eventually(SOON, "b names what differed", async || {
        let status = b.agent.status().await;
        let condition = status["databases"]["shard"]["conditions"]["differences"].to_string();
        if named(&condition) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    assert!((metric(b, "zonetide_agent_entries_differed_total").await.unwrap() - 1.0).abs() < 0.1);
    assert!(
        metric(a, "zonetide_agent_entries_differed_total")
            .await
            .unwrap()
            .abs()
            < 0.1
    );
}
