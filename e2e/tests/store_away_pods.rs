//! Promise: with the store away, an agent that is killed and pods that are deleted cost no answer: the pods come back and serve, by
//! the word of a server that is up to date or by their own data, and the conditions say that the store is missing and nothing else.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use zonetide_crds::ConditionType;
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::processes::{self, Program, Signal};
use zonetide_e2e::{Bench, Handle, contact, loads, names, readiness, store_away};
use zonetide_testbed::eventually;

/// For the operator to look, and for an agent to have failed for as long as it takes to say so.
const NOTICED: Duration = Duration::from_mins(3);

async fn both_serve(cluster: &Handle) {
    let service = names::dns_service(&cluster.name);
    let servers = [cluster.pod_name(0), cluster.pod_name(1)];
    eventually(READY, "both servers are in the Service", async || {
        match cluster.pods_behind(&service).await {
            Ok(pods) if pods == servers => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for pod in servers {
        loads::answered_by(cluster, &pod).await.unwrap();
    }
}

/// Deletes pods, and waits until others have taken their places.
async fn delete(cluster: &Handle, pods: &[&str]) {
    let before = cluster.lives().await.unwrap();
    let start = Instant::now();
    for pod in pods {
        cluster.delete_pod(pod).await.unwrap();
    }
    eventually(READY, "there are other pods", async || {
        let after = cluster.lives().await.map_err(|error| format!("{error:#}"))?;
        let stayed = after
            .iter()
            .filter(|(uid, _)| before.iter().any(|(old, _)| old == uid));
        if after.len() == before.len() && stayed.count() == before.len() - pods.len() {
            Ok(())
        } else {
            Err(format!("{after:?}"))
        }
    })
    .await;
    both_serve(cluster).await;
    eprintln!("{pods:?} serve again after {:?}", start.elapsed());
}

async fn is_ready_without_a_store(cluster: &Handle) {
    eventually(NOTICED, "it is ready, and its store is not", async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        readiness::is_ready(&object)?;
        readiness::expect(&object, ConditionType::ObjectStoreReady, "False")?;
        let replicating = readiness::expect(&object, ConditionType::Replicating, "False")?;
        if replicating.reason == "ServingWithoutStore" {
            Ok(())
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await;
}

#[tokio::test]
async fn a_killed_agent_and_deleted_pods_cost_no_answer_while_the_store_is_away() {
    Bench::run("store-away-pods", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        loads::make_zones(&cluster).await.unwrap();
        contact::of_all(&cluster).await.unwrap();
        store_away::take_away(&cluster).await.unwrap();

        let questions = loads::questions(&cluster).await.unwrap();
        processes::signal(&cluster, "dns-0", Program::Agent, Signal::Kill)
            .await
            .unwrap();
        delete(&cluster, &["dns-1"]).await;
        is_ready_without_a_store(&cluster).await;
        let report = questions.finish().await.unwrap();
        report.expect_hardly_any_lost(1000).unwrap();

        // Nobody is left to ask: what they serve by is their own, of a moment ago.
        delete(&cluster, &["dns-0", "dns-1"]).await;
        is_ready_without_a_store(&cluster).await;

        store_away::bring_back(&cluster).await.unwrap();
        await_ready(&cluster).await;
        eventually(NOTICED, "all that is known is in the bucket again", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            readiness::expect(&object, ConditionType::ObjectStoreReady, "True")?;
            readiness::expect(&object, ConditionType::Replicating, "True")
        })
        .await;
        contact::settled(&cluster).await.unwrap();
    })
    .await;
}
