//! Promise: a roll-out, a drain and scaling in lose no query of a hundred a second and no API write: servers answer until
//! everybody knows that they go, and writes go to another one before theirs does.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use serde_json::json;
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::loads::{self, Writes};
use zonetide_e2e::{Bench, Handle, contact, drain};
use zonetide_testbed::eventually;

/// Does something under both loads, and loses nothing.
async fn loses_nothing(cluster: &Handle, what: &str, act: impl AsyncFnOnce()) {
    let questions = loads::questions(cluster).await.unwrap();
    let writes = Writes::start(cluster).await.unwrap();
    writes.goes_on(20).await.unwrap();
    let start = Instant::now();
    act().await;
    let took = start.elapsed();
    writes.goes_on(20).await.unwrap();
    let questions = questions.finish().await.unwrap();
    let written = writes.finish().await.unwrap();
    eprintln!(
        "{what} took {took:?}; questions: {}; writes: {}, longest gap {:?}",
        questions.summary(),
        written.report.summary(),
        written.report.longest_gap()
    );
    written.is_everywhere().await.unwrap();
    // Nothing is what it is on a machine that rests; `make faults` counts.
    questions.expect_hardly_any_lost(1000).unwrap();
    written.report.expect_hardly_any_lost(200).unwrap();
}

async fn roll_out(cluster: &Handle) {
    let before = cluster.lives().await.unwrap();
    cluster
        .patch(&json!({"spec": {"powerdns": {"config": {"default-ttl": "1234"}}}}))
        .await
        .unwrap();
    eventually(READY, "each pod is another one", async || {
        let after = cluster.lives().await.map_err(|error| format!("{error:#}"))?;
        let stayed = after
            .iter()
            .filter(|(uid, _)| before.iter().any(|(old, _)| old == uid));
        match stayed.count() {
            0 => Ok(()),
            stayed => Err(format!("{stayed} have stayed")),
        }
    })
    .await;
    await_ready(cluster).await;
}

async fn scale_in(cluster: &Handle) {
    cluster.patch(&json!({"spec": {"replicas": 2}})).await.unwrap();
    eventually(READY, "two servers are left", async || {
        match cluster.pod_names().await {
            Ok(pods) if pods.len() == 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    await_ready(cluster).await;
}

/// Has the server that scaling in takes away take API requests: it does when the others are gone for a moment.
async fn api_goes_to_the_last(cluster: &Handle) {
    for pod in ["dns-0", "dns-1"] {
        cluster.delete_pod(pod).await.unwrap();
    }
    eventually(
        READY,
        "API requests go to the last server",
        async || match cluster.api_pod().await {
            Ok(pod) if pod == "dns-2" => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    await_ready(cluster).await;
}

#[tokio::test]
async fn a_roll_out_a_drain_and_scaling_in_lose_no_query_and_no_write() {
    Bench::run("planned-ends", async |bench| {
        let cluster = bench.managed("dns", 3).await;
        loads::make_zones(&cluster).await.unwrap();
        contact::of_all(&cluster).await.unwrap();
        loses_nothing(&cluster, "the roll-out", async || roll_out(&cluster).await).await;
        loses_nothing(&cluster, "the drain", async || {
            drain::drain(&cluster).await.unwrap();
            await_ready(&cluster).await;
        })
        .await;
        api_goes_to_the_last(&cluster).await;
        loses_nothing(&cluster, "scaling in", async || scale_in(&cluster).await).await;
    })
    .await;
}
