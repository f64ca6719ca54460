//! Catalog zones (RFC 9432): a producer zone lists its members for secondaries outside.

use serde_json::json;
use zonetide_testbed::update::transfer;
use zonetide_testbed::{Version, eventually};

use super::{A_MOMENT, Servers, text};
use crate::node::{Node, ZONE};

const CATALOG: &str = "catalog.example.";

/// The serial and the members of the catalog, as a secondary is given it.
async fn catalog(node: &Node) -> Result<(String, Vec<String>), String> {
    let records = transfer(node.dns.address(), CATALOG).await.map_err(text)?;
    let soa = records.first().cloned().unwrap_or_default();
    let members = records.iter().filter(|record| record.contains(" PTR "));
    let target = |record: &String| record.rsplit(' ').next().unwrap_or_default().to_owned();
    let mut members: Vec<_> = members.map(target).collect();
    members.sort();
    Ok((soa, members))
}

/// Waits until both servers hand out the same catalog, of these members, and gives its SOA.
async fn come_to_list(servers: &Servers, wanted: &[&str]) -> String {
    eventually(A_MOMENT, &format!("{wanted:?} are the members"), async || {
        let (a, b) = (catalog(&servers.a).await?, catalog(&servers.b).await?);
        if a == b && a.1 == wanted {
            Ok(a.0)
        } else {
            Err(format!("{a:?} and {b:?}"))
        }
    })
    .await
}

async fn both_hand_out_every_member(version: Version) {
    // A primary looks every second whether a catalog has changed, and gives it a new serial then.
    let servers = Servers::start(version, &["primary=yes", "xfr-cycle-interval=1"]).await;
    let (a, b) = (&servers.a.api(), &servers.b.api());
    let producer = json!({"name": CATALOG, "kind": "Producer", "nameservers": ["invalid."]});
    a.create(&producer).await.unwrap();
    let none = come_to_list(&servers, &[]).await;

    let join = json!({"kind": "Master", "catalog": CATALOG});
    a.create_zone(ZONE).await.unwrap();
    a.set(ZONE, &join).await.unwrap();
    come_to_list(&servers, &[ZONE]).await;
    b.create_zone("second.example.").await.unwrap();
    b.set("second.example.", &join).await.unwrap();
    let two = come_to_list(&servers, &["second.example.", ZONE]).await;

    let leave = json!({"catalog": ""});
    b.set(ZONE, &leave).await.unwrap();
    come_to_list(&servers, &["second.example."]).await;
    a.delete_zone("second.example.").await.unwrap();
    come_to_list(&servers, &[]).await;
    for soa in [none, two] {
        eventually(A_MOMENT, "the catalog has another serial", async || {
            let (now, _) = catalog(&servers.b).await?;
            if now == soa { Err(now) } else { Ok(()) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_member_that_joins_or_leaves_a_catalog_on_one_server_does_so_in_what_the_other_hands_out() {
    both_hand_out_every_member(Version::V5).await;
}

#[tokio::test]
async fn with_4_9_too_a_member_that_joins_or_leaves_a_catalog_does_so_in_what_the_other_hands_out() {
    both_hand_out_every_member(Version::V4).await;
}
