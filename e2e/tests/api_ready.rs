//! Promise: whoever waits for `Ready` can write through the API Service at once.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use zonetide_e2e::bench::READY;
use zonetide_e2e::{Bench, Handle, loads, manifest, readiness};
use zonetide_testbed::poll::within_every;

/// For kube-proxy to do what the API server tells it in the same moment as us.
const AT_ONCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(20);

/// Waits as `kubectl wait` does, which learns of each change as it happens, until `wanted` says so.
async fn wait(cluster: &Handle, what: &str, wanted: impl Fn(bool) -> bool) {
    let only = watcher::Config::default().fields(&format!("metadata.name={}", cluster.name));
    let changes = watcher(cluster.clusters(), only)
        .applied_objects()
        .default_backoff();
    let right = changes.filter_map(|change| {
        let right = change.is_ok_and(|object| wanted(readiness::is_ready(&object).is_ok()));
        async move { right.then_some(()) }
    });
    tokio::pin!(right);
    let seen = tokio::time::timeout(READY, right.next()).await;
    seen.unwrap_or_else(|_| panic!("{what}: not within {READY:?}"));
}

async fn takes_a_write(cluster: &Handle, zone: &str) {
    let ready = Instant::now();
    let api = loads::through_service(cluster).await.unwrap();
    let taken = within_every(EVERY, AT_ONCE, async || {
        api.create_zone(zone).await.map_err(|error| error.to_string())
    });
    taken.await.expect("a write right after Ready");
    eprintln!("the first write was taken {:?} after Ready", ready.elapsed());
}

#[tokio::test]
async fn the_api_service_takes_a_write_as_soon_as_the_cluster_is_ready() {
    Bench::run("api-ready", async |bench| {
        let cluster = bench.apply("dns", &manifest::managed(1)).await;
        wait(&cluster, "it is ready", |ready| ready).await;
        takes_a_write(&cluster, "first.example.").await;

        cluster.delete_pod("dns-0").await.unwrap();
        wait(&cluster, "it is not ready", |ready| !ready).await;
        wait(&cluster, "it is ready again", |ready| ready).await;
        takes_a_write(&cluster, "second.example.").await;
    })
    .await;
}
