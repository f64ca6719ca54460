//! Catalog zones (RFC 9432): a producer zone lists its members for secondaries outside.

use std::time::{SystemTime, UNIX_EPOCH};

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

/// Waits until both servers hand out the same catalog, of these members and with another serial than before, and gives
/// its SOA.
async fn come_to_list(servers: &Servers, wanted: &[&str], before: &str) -> String {
    let soa = eventually(A_MOMENT, &format!("{wanted:?} are the members"), async || {
        let (a, b) = (catalog(&servers.a).await?, catalog(&servers.b).await?);
        if a == b && a.1 == wanted && a.0 != before {
            Ok(a.0)
        } else {
            Err(format!("{a:?} and {b:?}, {before} before"))
        }
    })
    .await;
    // The serial is the time. Two servers that look at two states of a catalog in the same second give both the same one: a
    // limit of PowerDNS, which looks once a minute and counts on one primary.
    eventually(A_MOMENT, "the next serial is another one", async || {
        let serial = soa.split(' ').nth(4).and_then(|serial| serial.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match serial {
            Some(serial) if now.as_secs() > serial => Ok(()),
            other => Err(format!("{other:?}, {now:?}")),
        }
    })
    .await;
    soa
}

on_both_versions!(a_member_that_joins_or_leaves_a_catalog_on_one_server_does_so_in_what_the_other_hands_out);

async fn a_member_that_joins_or_leaves_a_catalog_on_one_server_does_so_in_what_the_other_hands_out(
    version: Version,
) {
    // A primary looks every second whether a catalog has changed, and gives it a new serial then.
    let servers = Servers::start(version, &["primary=yes", "xfr-cycle-interval=1"]).await;
    let (a, b) = (&servers.a.api(), &servers.b.api());
    // Its own SOA: the API's serial is a date, and larger than the times that PowerDNS gives a catalog later.
    let soa = "ns.invalid. hostmaster.invalid. 1 10800 3600 604800 3600";
    let soa =
        json!({"name": CATALOG, "type": "SOA", "ttl": 60, "records": [{"content": soa, "disabled": false}]});
    let producer = json!({"name": CATALOG, "kind": "Producer", "nameservers": ["invalid."], "soa_edit_api": "", "rrsets": [soa]});
    a.create(&producer).await.unwrap();
    let soa = come_to_list(&servers, &[], "").await;

    let join = json!({"kind": "Master", "catalog": CATALOG});
    a.create_zone(ZONE).await.unwrap();
    a.set(ZONE, &join).await.unwrap();
    let soa = come_to_list(&servers, &[ZONE], &soa).await;
    b.create_zone("second.example.").await.unwrap();
    b.set("second.example.", &join).await.unwrap();
    let soa = come_to_list(&servers, &["second.example.", ZONE], &soa).await;

    let leave = json!({"catalog": ""});
    b.set(ZONE, &leave).await.unwrap();
    let soa = come_to_list(&servers, &["second.example."], &soa).await;
    a.delete_zone("second.example.").await.unwrap();
    come_to_list(&servers, &[], &soa).await;
}
