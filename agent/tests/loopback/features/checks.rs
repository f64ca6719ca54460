//! When a zone was last checked, which each server of a secondary zone writes for itself.

use axum::http::StatusCode;
use serde_json::json;
use zonetide_testbed::{PowerDns, Version, eventually};

use super::{A_MOMENT, Servers, text};
use crate::node::{Node, ZONE};

const SPLIT: [&str; 3] = [
    "secondary=yes",
    "xfr-cycle-interval=1",
    "lmdb-split-domains-table=yes",
];

async fn field(node: &Node, name: &str) -> Result<serde_json::Value, String> {
    Ok(node.api().zone(ZONE).await.map_err(text)?[name].clone())
}

async fn comes_to_be_checked(node: &Node) {
    let before = field(node, "last_check").await.unwrap_or_default();
    let what = format!("{} checks the zone", node.name);
    eventually(A_MOMENT, &what, async || {
        let now = field(node, "last_check").await?;
        if now.as_u64() > before.as_u64().max(Some(0)) {
            Ok(())
        } else {
            Err(format!("{before}, then {now}"))
        }
    })
    .await;
}

async fn has_account(node: &Node) {
    eventually(A_MOMENT, "the account is what was set", async || {
        match field(node, "account").await? {
            account if account == "ours" => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
}

/// Without the split table the check writes the zone's whole entry, as the server knows it, and what the API has set elsewhere
/// is lost: on 4.9 always, on 5.1 by default.
#[tokio::test]
async fn with_a_split_domains_table_a_check_by_a_server_that_does_not_know_yet_takes_back_nothing_that_another_has_set()
 {
    let data = tempfile::tempdir().unwrap();
    let mut primary = PowerDns::new("primary", &data.path().join("pdns.lmdb"));
    primary.start().await;
    primary.api().create_zone(ZONE).await.unwrap();
    let soa = format!("ns1.{ZONE} hostmaster.{ZONE} 1 2 2 604800 3600");
    primary.api().replace(ZONE, ZONE, "SOA", &[&soa]).await.unwrap();

    let mut servers = Servers::start(Version::V5, &SPLIT).await;
    let from = [primary.address().to_string()];
    let secondary = json!({"name": ZONE, "kind": "Slave", "masters": from, "nameservers": []});
    servers.a.api().create(&secondary).await.unwrap();
    for node in servers.both() {
        comes_to_be_checked(node).await;
    }

    let (a, b) = (&mut servers.a, &mut servers.b);
    a.agent.stop();
    b.agent.stop();
    a.api().set(ZONE, &json!({"account": "ours"})).await.unwrap();
    // So that it does not check it once more.
    a.dns.stop();
    comes_to_be_checked(b).await;
    a.agent.start().await;
    b.agent.start().await;
    has_account(b).await;
    a.dns.start().await;
    has_account(a).await;
    // It goes with the zone, whatever is left of the table.
    a.api().delete_zone(ZONE).await.unwrap();
    eventually(A_MOMENT, "b has lost the zone", async || {
        match b.api().zone(ZONE).await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
