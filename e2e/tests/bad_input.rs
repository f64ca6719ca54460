//! Promise: a missing Secret, wrong keys and an endpoint that cannot be reached each show in a condition that names the
//! remedy, and the cluster heals by itself once they are put right.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use serde_json::json;
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::shared_bucket::{SharedBucket, put_secret};
use zonetide_e2e::{Bench, Handle, answers, readiness};
use zonetide_testbed::eventually;

/// For a condition to follow what was done: the operator retries in growing steps.
const NOTICED: Duration = Duration::from_mins(2);

async fn bucket(bench: &Bench) -> SharedBucket {
    SharedBucket::of(&bench.managed("store", 1).await).await.unwrap()
}

/// Waits for this reason in `ObjectStoreReady`, and checks that its message names `named`, what is to be put right.
async fn shows(cluster: &Handle, reason: Reason, named: &[&str]) {
    let what = format!("{} shows {}", cluster.name, reason.as_str());
    let condition = eventually(NOTICED, &what, async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let condition = readiness::expect(&object, ConditionType::ObjectStoreReady, "False")?;
        if condition.reason == reason.as_str() {
            Ok(condition)
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await;
    eprintln!("{}: {}", condition.reason, condition.message);
    for name in named {
        assert!(
            condition.message.contains(name),
            "the message does not name {name}: {}",
            condition.message
        );
    }
    let object = cluster.get().await.unwrap();
    readiness::expect(&object, ConditionType::Ready, "False").unwrap();

    // The same is told where people look first: `kubectl describe`.
    eventually(NOTICED, "a Warning event", async || {
        cluster
            .told("Warning", reason.as_str())
            .await
            .map_err(|error| format!("{error:#}"))
    })
    .await;
}

/// Waits until it is ready without anything done to it, and serves.
async fn heals(cluster: &Handle, zone: &str) {
    let start = Instant::now();
    await_ready(cluster).await;
    eprintln!("{} healed after {:?}", cluster.name, start.elapsed());
    answers::make_zone(cluster, &cluster.pod_name(0), zone, 1)
        .await
        .unwrap();
    answers::everywhere(cluster, &format!("r0.{zone}"), "192.0.2.0", Instant::now())
        .await
        .unwrap();
}

#[tokio::test]
async fn missing_and_wrong_keys_and_an_unreachable_endpoint_show_their_remedy_and_heal() {
    Bench::run("bad-input", async |bench| {
        let bucket = bucket(bench).await;
        let [id, key] = [bucket.keys[0].as_str(), bucket.keys[1].as_str()];

        let cluster = bench
            .apply("keys", &bucket.spec(&bucket.endpoint, "e2e/keys", "bucket-keys"))
            .await;
        shows(&cluster, Reason::SecretMissing, &["bucket-keys"]).await;

        put_secret(bench, "bucket-keys", [id, &"0".repeat(key.len())])
            .await
            .unwrap();
        shows(&cluster, Reason::AccessDenied, &["bucket-keys"]).await;

        put_secret(bench, "bucket-keys", [id, key]).await.unwrap();
        heals(&cluster, "keys.example.").await;

        let nowhere = format!("http://nowhere.{}.svc:3900", bench.namespace);
        let cluster = bench
            .apply("far", &bucket.spec(&nowhere, "e2e/far", "bucket-keys"))
            .await;
        shows(&cluster, Reason::EndpointUnreachable, &[&nowhere]).await;
        cluster
            .patch(&json!({"spec": {"objectStore": {"s3": {"endpoint": bucket.endpoint}}}}))
            .await
            .unwrap();
        heals(&cluster, "far.example.").await;
    })
    .await;
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_shows_its_remedy() {
    Bench::run("no-bucket", async |bench| {
        let mut bucket = bucket(bench).await;
        put_secret(bench, "bucket-keys", [&bucket.keys[0], &bucket.keys[1]])
            .await
            .unwrap();
        bucket.name = "no-such-bucket".to_owned();
        let cluster = bench
            .apply("dns", &bucket.spec(&bucket.endpoint, "e2e", "bucket-keys"))
            .await;
        let missing = eventually(NOTICED, "a refusal that names the bucket", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            readiness::expect(&object, ConditionType::ObjectStoreReady, "False")
        })
        .await;
        eprintln!("{}: {}", missing.reason, missing.message);
        // Some stores tell a missing bucket from a forbidden one only to keys that may see it.
        let reasons = [Reason::BucketMissing.as_str(), Reason::AccessDenied.as_str()];
        assert!(reasons.contains(&missing.reason.as_str()), "{missing:?}");
        assert!(missing.message.contains("no-such-bucket"), "{missing:?}");
    })
    .await;
}
