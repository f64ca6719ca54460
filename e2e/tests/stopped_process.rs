//! Promise: the agent never takes DNS away, whatever becomes of it, and a PowerDNS that answers nobody leaves the Service until it
//! does again.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::pod_watch::PodWatch;
use zonetide_e2e::processes::{self, Program, Signal};
use zonetide_e2e::{Bench, Handle, contact, idle, loads, names};
use zonetide_testbed::eventually;

/// For a stopped PowerDNS to be out of the Service: ten seconds, and what a busy machine takes.
const OUT: Duration = Duration::from_secs(20);
/// For a process to be started again.
const AGAIN: Duration = Duration::from_mins(2);
/// Questions for twenty seconds, longer than any readiness probe takes to give up.
const A_WHILE: u32 = 2000;

/// While it acts, and for a while after it, no question is lost and no pod is anything but ready.
async fn harms_nobody(cluster: &Handle, what: &str, act: impl AsyncFnOnce()) {
    let watch = PodWatch::start(cluster).await.unwrap();
    let questions = loads::questions(cluster).await.unwrap();
    let start = Instant::now();
    act().await;
    questions.goes_on(A_WHILE).await.unwrap();
    let report = questions.finish().await.unwrap();
    let timeline = watch.finish().await.unwrap();
    eprintln!(
        "{what}: {} within {:?}, unready: {:?}",
        report.summary(),
        start.elapsed(),
        timeline.unready()
    );
    report.expect_hardly_any_lost(1000).unwrap();
    timeline.expect_always_ready().unwrap();
}

/// Asks the Service some questions, of which hardly any may be lost.
async fn all_answered(cluster: &Handle, questions: u32) -> Result<(), String> {
    let load = loads::questions(cluster)
        .await
        .map_err(|error| error.to_string())?;
    load.goes_on(questions).await.map_err(|error| error.to_string())?;
    let report = load.finish().await.map_err(|error| error.to_string())?;
    report.expect_hardly_any_lost(1000)
}

/// Waits until another process of the program runs in the pod.
async fn started_again(cluster: &Handle, pod: &str, program: Program, before: u32) {
    let what = format!("{program:?} of {pod} is started again");
    eventually(AGAIN, &what, async || {
        match processes::find(cluster, pod, program).await {
            Ok(Some(process)) if process != before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn serving_are(cluster: &Handle, deadline: Duration, wanted: &[&str]) {
    let what = format!("{wanted:?} are in the Service");
    eventually(deadline, &what, async || {
        match cluster.pods_behind(&names::dns_service(&cluster.name)).await {
            Ok(pods) if pods == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn three_servers(bench: &Bench) -> Handle {
    let cluster = bench.managed("dns", 3).await;
    loads::make_zones(&cluster).await.unwrap();
    contact::of_all(&cluster).await.unwrap();
    cluster
}

#[tokio::test]
async fn an_agent_that_is_killed_stopped_or_besieged_costs_no_query_and_no_pods_readiness() {
    Bench::run("agent-trouble", async |bench| {
        let cluster = three_servers(bench).await;
        harms_nobody(&cluster, "kill -9 of the agent", async || {
            let killed = processes::signal(&cluster, "dns-0", Program::Agent, Signal::Kill)
                .await
                .unwrap();
            started_again(&cluster, "dns-0", Program::Agent, killed).await;
        })
        .await;

        let mut stopped = 0;
        harms_nobody(&cluster, "STOP of the agent", async || {
            stopped = processes::signal(&cluster, "dns-1", Program::Agent, Signal::Stop)
                .await
                .unwrap();
        })
        .await;
        // It is ended some time, or goes on.
        let _ = processes::signal_process(&cluster, "dns-1", Program::Agent, stopped, Signal::Continue).await;
        contact::of_all(&cluster).await.unwrap();

        let mut idle = Vec::new();
        harms_nobody(&cluster, "idle connections to all agents", async || {
            idle = idle::to_agents(&cluster).await.unwrap();
        })
        .await;
        // Nor do they keep the agents from each other and the operator.
        contact::of_all(&cluster).await.unwrap();
        assert!(idle.len() >= idle::MANY, "only {} connections", idle.len());
    })
    .await;
}

#[tokio::test]
async fn a_powerdns_that_is_stopped_leaves_the_service_and_comes_back() {
    Bench::run("stopped-powerdns", async |bench| {
        let cluster = three_servers(bench).await;
        let start = Instant::now();
        let stopped = processes::signal(&cluster, "dns-1", Program::PowerDns, Signal::Stop)
            .await
            .unwrap();
        serving_are(&cluster, OUT, &["dns-0", "dns-2"]).await;
        eprintln!(
            "a stopped PowerDNS was out of the Service after {:?}",
            start.elapsed()
        );
        // The API server knows; kube-proxy learns of it, and collects what it learns for a second.
        eventually(OUT, "nobody is sent to it", async || {
            all_answered(&cluster, A_WHILE / 20).await
        })
        .await;
        all_answered(&cluster, A_WHILE / 4).await.unwrap();

        processes::signal_process(&cluster, "dns-1", Program::PowerDns, stopped, Signal::Continue)
            .await
            .unwrap();
        serving_are(&cluster, READY, &["dns-0", "dns-1", "dns-2"]).await;
        loads::answered_by(&cluster, "dns-1").await.unwrap();

        let killed = processes::signal(&cluster, "dns-2", Program::PowerDns, Signal::Kill)
            .await
            .unwrap();
        started_again(&cluster, "dns-2", Program::PowerDns, killed).await;
        await_ready(&cluster).await;
        serving_are(&cluster, READY, &["dns-0", "dns-1", "dns-2"]).await;
        loads::answered_by(&cluster, "dns-2").await.unwrap();
    })
    .await;
}
