//! Ends of the agent and of its supervisor.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::json;
use zonetide_testbed::{Agent, Garage, eventually};

use super::pod::{Pod, probe, send};
use crate::node::{Node, SOON, ZONE};

#[tokio::test]
async fn an_agent_that_is_killed_is_started_again_and_nobody_who_asks_powerdns_or_a_probe_notices() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut pod, mut other) = (Pod::new("a", &bucket), Node::new("b", &bucket));
    pod.start().await;
    pod.node.api().create_zone(ZONE).await.unwrap();

    let memory = pod.memory();
    assert!(memory < 8 << 10, "the supervisor takes {memory} KiB");
    let watch = pod.watch();
    let agent = pod.agent().unwrap();
    send(agent, Signal::SIGKILL);
    pod.comes_back(agent).await;
    watch.saw_nothing_amiss().await;
    let (_, said) = pod.probe("/livez").await;
    assert!(
        said.contains("the agent ended once, last: signal SIGKILL; the agent runs"),
        "{said}"
    );

    // It replicates again, and stores its last change when the supervisor is told to stop.
    other.start().await;
    pod.node.write("www", "192.0.2.1").await;
    other.comes_to_say("www", "192.0.2.1").await;
    pod.node.write("www", "192.0.2.2").await;
    pod.node.dns.stop();
    assert_eq!(pod.node.agent.stop(), Some(0));
    other.comes_to_say("www", "192.0.2.2").await;
}

#[tokio::test]
async fn an_agent_that_is_stopped_by_a_signal_is_started_anew_and_dns_goes_on() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut pod = Pod::new("a", &bucket).with_patience("2s");
    pod.start().await;
    pod.node.api().create_zone(ZONE).await.unwrap();
    let watch = pod.watch();
    let agent = pod.agent().unwrap();
    send(agent, Signal::SIGSTOP);
    pod.comes_back(agent).await;
    watch.saw_nothing_amiss().await;
    assert!(
        pod.node
            .agent
            .log()
            .contains("the agent hangs, it is started anew")
    );
}

#[tokio::test]
async fn an_agent_that_ends_at_every_start_takes_neither_dns_nor_its_container_away() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut pod = Pod::new("a", &bucket);
    pod.start().await;
    pod.node.api().create_zone(ZONE).await.unwrap();
    let good = std::fs::read(pod.node.agent.config_path()).unwrap();

    let watch = pod.watch();
    let agent = pod.agent().unwrap();
    std::fs::write(pod.node.agent.config_path(), "lmdbs: [").unwrap();
    let begin = Instant::now();
    send(agent, Signal::SIGKILL);
    pod.comes_to_answer(
        "/livez",
        200,
        "the agent ended 3 times, last: exit code 1; next start in",
    )
    .await;
    assert!(
        begin.elapsed() >= Duration::from_secs(3),
        "1 s and 2 s after the first two ends"
    );
    watch.saw_nothing_amiss().await;

    // So it is for a supervisor that finds it so, even before PowerDNS ever answered.
    pod.node.dns.stop();
    pod.node.agent.kill();
    pod.node.agent.set_store_option("no_such_option", json!(true));
    pod.node.agent.launch();
    pod.comes_to_answer("/startup", 503, "the agent ended 2 times, last: exit code 1")
        .await;
    assert_eq!(pod.probe("/livez").await.0, 200);

    std::fs::write(pod.node.agent.config_path(), good).unwrap();
    pod.comes_to_answer("/startup", 200, "").await;
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_agent_along_and_the_next_one_holds_nothing_back_while_powerdns_answers()
 {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut pod = Pod::new("a", &bucket);
    pod.start().await;
    pod.node.api().create_zone(ZONE).await.unwrap();
    let agent = pod.agent().unwrap();
    pod.node.agent.kill();
    eventually(SOON, "the agent has ended as well", async || {
        match kill(agent, None) {
            Err(_) => Ok(()),
            Ok(()) => Err("it runs"),
        }
    })
    .await;

    // An agent that will not be ready, for want of a store.
    pod.node
        .agent
        .set_store_option("endpoint_url", json!("http://127.0.0.1:1"));
    pod.node.agent.launch();
    pod.comes_to_answer("/startup", 200, "").await;
    pod.comes_to_answer("/dns", 200, "UDP and answers over TCP").await;
    pod.node.agent.await_healthy(SOON).await;
    assert!(!pod.node.agent.is_ready().await);

    // Without an answer of PowerDNS it is held back, with the agent's own words.
    pod.node.dns.kill();
    pod.node.agent.kill();
    pod.node.agent.launch();
    pod.comes_to_answer("/startup", 503, "main: ").await;
    pod.comes_to_answer("/dns", 503, "cannot be reached over UDP")
        .await;
}

#[tokio::test]
async fn a_second_supervisor_of_a_server_starts_its_agent_when_the_first_one_has_ended() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut pod = Pod::new("a", &bucket);
    pod.start().await;
    let socket = pod.node.dns.control_socket();
    let mut second = Agent::new(
        env!("CARGO_BIN_EXE_zonetide-agent"),
        "a",
        &pod.node.file("pdns.lmdb"),
        &bucket,
    );
    second.supervise(&["--socket-dir", socket.parent().unwrap().to_str().unwrap()]);
    second.launch();
    let probes = zonetide_testbed::http::HttpClient::new(std::sync::Arc::new(second.probes()));
    let comes_to_say = async |words: &str| {
        eventually(SOON, words, async || {
            let (status, said) = probe(&probes, "/livez").await;
            if status == 200 && said.contains(words) {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await;
    };
    comes_to_say("an earlier agent has not ended yet").await;
    assert!(pod.agent().is_some());
    assert_eq!(pod.node.agent.stop(), Some(0));
    comes_to_say("the agent runs as process").await;
    second.await_healthy(SOON).await;
    assert_eq!(second.stop(), Some(0));
}
