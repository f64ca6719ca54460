//! Promise: keys to the bucket are made, renewed and ended while the servers go on: nothing restarts, no write is lost.
//!
//! `ZONETIDE_RENEWALS` says how many renewals (3); ten take seven minutes.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::writer::Writer;
use zonetide_e2e::{Bench, Handle, contact, manifest, names};
use zonetide_testbed::eventually;

const ZONE: &str = "keys.example.";
/// For a renewal to be done by all: when it is due, plus what a busy machine takes.
const RENEWED: Duration = Duration::from_mins(3);

fn renewals() -> usize {
    let text = std::env::var("ZONETIDE_RENEWALS").ok();
    text.map_or(3, |text| text.parse().expect("ZONETIDE_RENEWALS is a number"))
}

async fn key_id(cluster: &Handle) -> String {
    let secret = names::object_store_secret(&cluster.name);
    cluster.secret_value(&secret, "access-key-id").await.unwrap()
}

/// Keys that were in use: their IDs, and what agents call them.
#[derive(Default)]
struct Former {
    ids: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Former {
    /// Waits until there is a key that is none of these, and all servers use it and no other.
    async fn next(&mut self, cluster: &Handle) {
        let fresh = eventually(RENEWED, "there is another key", async || {
            let id = key_id(cluster).await;
            if self.ids.contains(&id) {
                Err(format!("it is still {id}"))
            } else {
                Ok(id)
            }
        })
        .await;
        let used = eventually(RENEWED, "all servers use it", async || {
            let used = contact::keys_used(cluster)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let one = used.len() == 1 && !used.contains("none");
            if one && self.used.is_disjoint(&used) {
                Ok(used)
            } else {
                Err(format!("{used:?}"))
            }
        })
        .await;
        self.ids.insert(fresh);
        self.used.extend(used);
    }
}

/// Renews `renewals()` times under load. `ask` is what makes a renewal due, when it is not time.
async fn soak(bench: &Bench, spec: &Value, ask: impl AsyncFn(&Handle, usize)) {
    let cluster = bench.apply("dns", spec).await;
    await_ready(&cluster).await;
    let lived = cluster.lives().await.unwrap();
    let mut former = Former::default();
    former.next(&cluster).await;
    let writer = Writer::start(&cluster, ZONE).await.unwrap();
    let start = Instant::now();
    for number in 1..=renewals() {
        writer.goes_on().await.unwrap();
        let asked = Instant::now();
        ask(&cluster, number).await;
        former.next(&cluster).await;
        eprintln!("renewal {number}: all servers use it after {:?}", asked.elapsed());
    }
    writer.goes_on().await.unwrap();
    let written = writer.finish().await.unwrap();
    contact::settled(&cluster).await.unwrap();
    written.is_everywhere().await.unwrap();
    eprintln!(
        "{} changes in {:?}, {} renewals: each server answers them all",
        written.count,
        start.elapsed(),
        former.ids.len() - 1
    );
    assert_eq!(cluster.lives().await.unwrap(), lived, "something was restarted");
    let status = cluster.get().await.unwrap().status.unwrap();
    let store = status.object_store.unwrap();
    let end = store.credentials_expire_at.unwrap().0;
    assert!(end > Timestamp::now(), "{end}");
}

#[tokio::test]
async fn keys_of_a_garage_that_live_a_minute_are_renewed_in_time_under_load() {
    Bench::run("garage-keys", async |bench| {
        let mut spec = manifest::managed(2);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"managed": {"keyLifetime": "1m"}}}),
        );
        soak(bench, &spec, async |_, _| {}).await;
    })
    .await;
}

#[tokio::test]
async fn keys_of_a_minio_are_renewed_when_the_annotation_asks_for_it_under_load() {
    Bench::run("minio-keys", async |bench| {
        let mut spec = manifest::managed(2);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"managed": {"engine": "MinIO"}}}),
        );
        soak(bench, &spec, async |cluster, number| {
            let asked = json!({"metadata": {"annotations": {
                "zonetide.dev/renew-credentials": number.to_string(),
            }}});
            cluster.patch(&asked).await.unwrap();
        })
        .await;
    })
    .await;
}
