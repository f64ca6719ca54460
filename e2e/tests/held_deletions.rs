//! Promise: more zones than `protection.maxDeletedZonesPerMinute` that are deleted on one server stay on the others, the DnsCluster says so,
//! and they go once somebody lets them go.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use serde_json::json;
use zonetide_e2e::answers::REPLICATED;
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::names::AGENT_CONTAINER;
use zonetide_e2e::{Bench, Handle, exec, manifest};
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::eventually;

const MOST: usize = 2;
const ZONES: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

fn zones() -> impl Iterator<Item = String> {
    (0..ZONES).map(|number| format!("zone{number}.example."))
}

/// How many zones a server answers for.
async fn answered(cluster: &Handle, pod: &str) -> Result<usize, String> {
    let (dns, mut answered) = (cluster.dns(pod), 0);
    for zone in zones() {
        let answer = dns
            .ask(&zone, Type::SOA)
            .await
            .map_err(|error| error.to_string())?;
        match answer.code {
            Code::NoError => answered += 1,
            Code::Refused => {}
            code => return Err(format!("{zone}: {code}")),
        }
    }
    Ok(answered)
}

async fn comes_to_answer(cluster: &Handle, pod: &str, zones: usize) {
    eventually(REPLICATED, &format!("{pod} answers {zones} zones"), async || {
        let found = answered(cluster, pod).await?;
        (found == zones).then_some(()).ok_or(format!("{found}"))
    })
    .await;
}

/// What the conditions of the DnsCluster say of held deletions.
async fn said(cluster: &Handle) -> Result<Option<String>, String> {
    let object = cluster.get().await.map_err(|error| error.to_string())?;
    let conditions = object.status.unwrap_or_default().conditions;
    let messages = conditions.into_iter().map(|condition| condition.message);
    Ok(messages
        .into_iter()
        .find(|message| message.contains("zones were deleted here within a minute")))
}

#[tokio::test]
async fn an_avalanche_of_deleted_zones_stays_on_its_server_until_it_is_let_go() {
    Bench::run("held-deletions", async |bench| {
        let mut spec = manifest::managed(2);
        manifest::merge(
            &mut spec,
            &json!({"protection": {"maxDeletedZonesPerMinute": MOST}}),
        );
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        let api = cluster.powerdns("dns-0").await.unwrap();
        for zone in zones() {
            api.create_zone(&zone).await.unwrap();
        }
        for pod in ["dns-0", "dns-1"] {
            comes_to_answer(&cluster, pod, ZONES).await;
        }

        for zone in zones() {
            api.delete_zone(&zone).await.unwrap();
        }
        // The operator asks agents every half minute.
        let message = eventually(PATIENCE, "the DnsCluster tells of it", async || {
            said(&cluster).await?.ok_or_else(|| "nothing is said".to_owned())
        })
        .await;
        assert!(
            message.contains("dns-0") && !message.contains("dns-1"),
            "{message}"
        );
        comes_to_answer(&cluster, "dns-0", 0).await;
        let left = answered(&cluster, "dns-1").await.unwrap();
        assert!(left >= ZONES - MOST, "{left}");

        let run = async |what: &str| {
            let command = ["zonetide-agent", "deletions", what];
            exec::run_in(&cluster, "dns-0", AGENT_CONTAINER, &command)
                .await
                .unwrap()
        };
        let shown = run("show").await;
        assert!(shown.contains("zone5.example."), "{shown}");
        run("let-go").await;
        comes_to_answer(&cluster, "dns-1", 0).await;
        eventually(PATIENCE, "it is over", async || {
            said(&cluster).await?.map_or(Ok(()), Err)
        })
        .await;
    })
    .await;
}
