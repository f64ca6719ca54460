//! Stores that do not take every way to delete objects, or let nobody delete any.

use serde_json::json;
use zonetide_agent::store::open_s3;
use zonetide_testbed::agent::PREFIX;
use zonetide_testbed::fault_proxy::{Fault, FaultProxy, Refusal, Request};
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, SOON, ZONE};
use crate::store::{names, options, put};

/// What deletes several objects at once, which is not part of every store's S3.
fn is_bulk_delete(request: &Request) -> bool {
    request.method == "POST"
        && request
            .target
            .split_once('?')
            .is_some_and(|(_, query)| query.starts_with("delete"))
}

#[tokio::test]
async fn an_object_goes_from_a_store_that_knows_no_bulk_delete() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let proxy = FaultProxy::start(&bucket);
    let store = open_s3(&options(&proxy.bucket(&bucket))).unwrap();
    for refusal in [Refusal::NOT_IMPLEMENTED, Refusal::NOT_ALLOWED] {
        proxy.plan(move |request| is_bulk_delete(request).then_some(Fault::Refuse(refusal)));
        put(store.as_ref(), "main__a", b"1").await.unwrap();
        store.delete("main__a").await.unwrap();
        assert!(names(store.as_ref(), "main__").await.is_empty());
        // One that is not there any more.
        store.delete("main__a").await.unwrap();
    }
}

#[tokio::test]
async fn superseded_objects_go_without_bulk_delete_and_a_store_that_refuses_to_delete_is_a_warning() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let proxy = FaultProxy::start(&bucket);
    proxy.plan(|request| {
        let refusal = match request.method.as_str() {
            "DELETE" => Refusal::DENIED,
            _ if is_bulk_delete(request) => Refusal::NOT_IMPLEMENTED,
            _ => return None,
        };
        Some(Fault::Refuse(refusal))
    });
    let through = proxy.bucket(&bucket);
    let storage = json!({
        "type": "s3",
        "options": {
            "endpoint_url": through.endpoint,
            "region": through.region,
            "bucket": through.name,
            "global_prefix": PREFIX,
            "access_key": through.access_key,
            "secret_key": through.secret_key,
        },
        "cleanup": {"enabled": true, "interval": "1s", "must_keep_interval": "1s"},
    });
    let mut node = Node::new("a", &storage);
    node.start().await;
    node.api().create_zone(ZONE).await.unwrap();
    for last in 1..=5 {
        node.write("www", &format!("192.0.2.{last}")).await;
    }
    node.comes_to_warn("cleanup", "let the keys in storage.options delete objects")
        .await;

    proxy.plan(|request| is_bulk_delete(request).then_some(Fault::Refuse(Refusal::NOT_IMPLEMENTED)));
    eventually(SOON, "nothing is said of it any more", async || {
        let status = node.agent.status().await;
        let conditions = &status["databases"]["main"]["conditions"];
        if conditions["cleanup"].is_null() {
            Ok(())
        } else {
            Err(conditions.to_string())
        }
    })
    .await;
    let metrics = node.agent.http().get_text("/metrics").await.unwrap();
    let removed = metrics
        .lines()
        .find(|line| line.starts_with("zonetide_agent_snapshots_removed_total{database=\"main\"}"));
    assert!(
        removed.is_some_and(|line| !line.ends_with(" 0")),
        "{removed:?} in {metrics}"
    );
}
