//! Comments of RRsets, which PowerDNS keeps in LMDB since 5.1.

use axum::http::StatusCode;
use serde_json::json;
use zonetide_testbed::{Version, eventually};

use super::{A_MOMENT, Servers, text};
use crate::node::{Node, ZONE};

/// The comments of the A record `www`, as the API tells them.
pub(crate) async fn comments(node: &Node) -> Result<Vec<String>, String> {
    let zone = node.api().zone(ZONE).await.map_err(text)?;
    let sets = zone["rrsets"].as_array().cloned().unwrap_or_default();
    let www = format!("www.{ZONE}");
    let set = sets.iter().find(|set| set["name"] == www && set["type"] == "A");
    let comments = set.and_then(|set| set["comments"].as_array());
    let content = |comment: &serde_json::Value| Some(comment["content"].as_str()?.to_owned());
    Ok(comments.into_iter().flatten().filter_map(content).collect())
}

#[tokio::test]
async fn comments_of_an_rrset_written_changed_and_removed_on_one_server_are_read_on_the_other() {
    let servers = Servers::start(Version::V5, &[]).await;
    let (a, b) = (&servers.a, &servers.b);
    let www = format!("www.{ZONE}");
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    servers.come_to_answer(&www, &["192.0.2.1"]).await;

    for (writer, comment) in [(a, "made by a"), (b, "changed by b"), (a, "changed by a")] {
        writer.api().comment(ZONE, &www, "A", comment).await.unwrap();
        come_to_say(&servers, &[comment]).await;
    }
    // Without a word of comments they stay.
    b.write("www", "192.0.2.2").await;
    servers.come_to_answer(&www, &["192.0.2.2"]).await;
    come_to_say(&servers, &["changed by a"]).await;

    let none = json!({"name": www, "type": "A", "changetype": "REPLACE", "comments": []});
    b.api().patch(ZONE, &none).await.unwrap();
    come_to_say(&servers, &[]).await;
    a.says("www", "192.0.2.2").await.unwrap();
}

async fn come_to_say(servers: &Servers, wanted: &[&str]) {
    for node in servers.both() {
        eventually(
            A_MOMENT,
            &format!("the comments are {wanted:?}"),
            async || match comments(node).await {
                Ok(found) if found == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
    }
}

#[tokio::test]
async fn powerdns_4_9_refuses_comments_and_writes_nothing_of_the_request() {
    let servers = Servers::start(Version::V4, &[]).await;
    let (a, b) = (&servers.a, &servers.b);
    let www = format!("www.{ZONE}");
    a.api().create_zone(ZONE).await.unwrap();
    let comment = json!({"content": "no", "account": "test"});
    let rrset = json!({"name": www, "type": "A", "ttl": 60, "changetype": "REPLACE",
        "records": [{"content": "192.0.2.1", "disabled": false}], "comments": [comment]});
    let refused = a.api().patch(ZONE, &rrset).await.unwrap_err();
    assert_eq!(
        refused.status(),
        Some(StatusCode::UNPROCESSABLE_ENTITY),
        "{refused}"
    );
    // What is written after it is all there is.
    a.write("later", "192.0.2.2").await;
    servers
        .come_to_answer(&format!("later.{ZONE}"), &["192.0.2.2"])
        .await;
    for node in [a, b] {
        let export = node.api().export(ZONE).await.unwrap();
        assert!(!export.contains("192.0.2.1"), "{export}");
    }
}
