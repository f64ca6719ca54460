//! Servers that were scaled away, by the list that the operator keeps.

use std::time::Duration;

use serde_json::{Value, json};
use zonetide_testbed::agent::PREFIX;
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, ZONE};

/// The agents wait for half a minute until they believe that somebody has ended.
const A_WHILE: Duration = Duration::from_secs(120);

fn storage(bucket: &Bucket, list: &std::path::Path) -> Value {
    json!({
        "type": "s3",
        "options": {
            "endpoint_url": bucket.endpoint,
            "region": bucket.region,
            "bucket": bucket.name,
            "global_prefix": PREFIX,
            "access_key": bucket.access_key,
            "secret_key": bucket.secret_key,
        },
        "cleanup": {"enabled": true, "interval": "1h", "retired_file": list},
    })
}

/// What the agent says of an instance; null if it has no objects.
async fn seen(node: &Node, instance: &str) -> [Value; 2] {
    let status = node.agent.status().await;
    ["main", "shard"].map(|database| status["databases"][database]["instances"][instance].clone())
}

#[tokio::test]
async fn the_objects_of_a_server_that_was_scaled_away_go_and_its_changes_stay() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("instances");
    let storage = storage(&bucket, &list);
    let node = |name: &str| Node::new(name, &storage);
    let (mut a, mut b, mut c) = (node("a"), node("b"), node("c"));
    for node in [&mut a, &mut b, &mut c] {
        node.start().await;
    }
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    c.comes_to_say("www", "192.0.2.1").await;
    c.write("of-c", "192.0.2.2").await;
    // Stopped any sooner, it might have stored nothing at all.
    for node in [&a, &b] {
        node.comes_to_say("of-c", "192.0.2.2").await;
    }
    c.stop();
    std::fs::write(&list, "c\n").unwrap();
    eventually(A_WHILE, "c is seen retired", async || {
        let seen = seen(&a, "c").await;
        // It need not have stored anything of a database in which it wrote nothing.
        let retired = seen.iter().any(|seen| seen["retired"] == json!(true));
        let others = seen.iter().any(|seen| seen["retired"] == json!(false));
        if retired && !others {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await;
    for seen in seen(&a, "a").await {
        assert_eq!(seen["retired"], json!(false));
    }
    for node in [&a, &b] {
        eventually(A_WHILE, "c is gone", async || {
            let seen = seen(node, "c").await;
            if seen.iter().all(Value::is_null) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await;
        node.says("of-c", "192.0.2.2").await.unwrap();
    }
    let mut new = node("new");
    new.start().await;
    new.says("of-c", "192.0.2.2").await.unwrap();

    // Scaled out again before anybody took it off the list.
    c.start().await;
    c.comes_to_warn("retired", "take it off the list").await;
    std::fs::write(&list, "").unwrap();
    eventually(A_WHILE, "nothing is said of it any more", async || {
        let status = c.agent.status().await;
        let conditions = &status["databases"]["main"]["conditions"];
        if conditions["retired"].is_null() {
            Ok(())
        } else {
            Err(conditions.to_string())
        }
    })
    .await;
    c.says("www", "192.0.2.1").await.unwrap();
}
