//! Promise: a changed setting reaches every server, one server at a time, and DNS is answered rightly all along.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use serde_json::json;
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::witness::{Question, Witness};
use zonetide_e2e::{Bench, names, readiness};
use zonetide_testbed::eventually;

const ZONE: &str = "steady.example.";
const RECORDS: u8 = 5;

#[tokio::test]
async fn a_changed_setting_reaches_one_server_after_the_other_and_dns_is_answered_all_along() {
    Bench::run("rollout", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        answers::make_zone(&cluster, "dns-0", ZONE, RECORDS)
            .await
            .unwrap();
        let last = format!("r{}.{ZONE}", RECORDS - 1);
        answers::everywhere(&cluster, &last, &address(RECORDS - 1), Instant::now())
            .await
            .unwrap();
        let questions: Vec<Question> = (0..RECORDS)
            .map(|number| Question {
                name: format!("r{number}.{ZONE}"),
                address: address(number),
            })
            .collect();
        let pods = cluster.pod_names().await.unwrap();
        let witness = Witness::of_pods(&cluster, &pods, &questions);

        let start = Instant::now();
        cluster
            .patch(&json!({"spec": {"powerdns": {"config": {"default-ttl": "1234"}}}}))
            .await
            .unwrap();
        let dns_service = names::dns_service(&cluster.name);
        let mut fewest = pods.len();
        eventually(READY, "both servers have the new setting", async || {
            let serving = cluster
                .pods_behind(&dns_service)
                .await
                .map_err(|error| error.to_string())?;
            fewest = fewest.min(serving.len());
            for pod in &pods {
                let api = cluster.powerdns(pod).await.map_err(|error| error.to_string())?;
                let ttl = api
                    .setting("default-ttl")
                    .await
                    .map_err(|error| error.to_string())?;
                if ttl.as_deref() != Some("1234") {
                    return Err(format!("{pod} has {ttl:?}"));
                }
            }
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            readiness::is_ready(&object)
        })
        .await;
        eprintln!(
            "both servers have it after {:?}; at least {fewest} served",
            start.elapsed()
        );
        assert!(fewest >= 1, "no server was left to answer");
        await_ready(&cluster).await;
        witness.finish().await;
    })
    .await;
}
