//! Agents that tell each other changes, beside PowerDNS servers whose caches are all on.

use std::time::Duration;

use zonetide_testbed::fault_proxy::{Fault, FaultProxy, Hold};
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, SOON, ZONE};

/// So long that what arrives earlier did not come from the store.
const STORE_POLL: Duration = Duration::from_secs(3600);

pub(crate) async fn metric(node: &Node, name: &str) -> Result<f64, String> {
    let metrics = node.agent.http().get_text("/metrics").await;
    let metrics = metrics.map_err(|error| error.to_string())?;
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}

/// Waits until the agent is in contact with so many others.
pub(crate) async fn in_contact(node: &Node, others: usize) {
    eventually(SOON, "the agents are in contact", async || {
        let status = node.agent.status().await;
        let peers = status["peers"]["contacts"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let near = peers.values().filter(|peer| peer["in_contact"] == true).count();
        if near == others {
            Ok(())
        } else {
            Err(status["peers"].to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn what_one_server_writes_the_others_answer_without_a_look_at_the_store_and_with_their_caches_on() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("told").await;
    let mut nodes: Vec<_> = ["a", "b", "c"].map(|name| Node::new(name, &bucket)).into();
    let urls: Vec<_> = nodes.iter().map(|node| node.agent.peer_url()).collect();
    for node in &mut nodes {
        node.agent.tell(&urls);
        node.agent.look_at_the_store_every(STORE_POLL);
        node.dns.leave_caches_on();
        node.agent.flush_caches_over(node.dns.control_socket());
        node.start().await;
    }
    let [a, b, c] = &mut nodes[..] else { unreachable!() };
    for node in [&*a, &*b, &*c] {
        in_contact(node, 2).await;
    }
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    for node in [&*b, &*c] {
        node.comes_to_say("www", "192.0.2.1").await;
    }
    // The old answer is in every cache.
    for round in 2..6 {
        let address = format!("192.0.2.{round}");
        let writer = if round % 2 == 0 { &*b } else { &*a };
        writer.write("www", &address).await;
        for node in [&*a, &*b, &*c] {
            node.comes_to_say("www", &address).await;
        }
    }
    assert!(metric(c, "zonetide_agent_deltas_taken_total").await.unwrap() >= 5.0);
    // One that was away finds in the store what it was not told.
    c.agent.stop();
    a.write("meanwhile", "192.0.2.9").await;
    b.comes_to_say("meanwhile", "192.0.2.9").await;
    c.agent.start().await;
    c.comes_to_say("meanwhile", "192.0.2.9").await;
    in_contact(c, 2).await;
    in_contact(a, 2).await;
    a.write("again", "192.0.2.10").await;
    c.comes_to_say("again", "192.0.2.10").await;
}

#[tokio::test]
async fn what_is_too_large_to_be_told_is_announced_and_looked_for_until_it_is_stored() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("announced").await;
    let proxy = FaultProxy::start(&bucket);
    let mut nodes = [Node::new("a", &proxy.bucket(&bucket)), Node::new("b", &bucket)];
    let urls: Vec<_> = nodes.iter().map(|node| node.agent.peer_url()).collect();
    for node in &mut nodes {
        node.agent.tell(&urls);
        node.agent.tell_at_most("1KB");
        node.agent.look_at_the_store_every(STORE_POLL);
        node.start().await;
    }
    let [a, b] = &nodes;
    for node in [a, b] {
        in_contact(node, 1).await;
    }
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;
    // Addresses without any order, so that they do not get shorter.
    let address = |number: u32| {
        let [a, b, c, d] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        format!("{a}.{b}.{c}.{d}")
    };
    let many: Vec<_> = (0..1000)
        .map(|number| (format!("host{number}.{ZONE}"), address(number)))
        .collect();
    // Peers look for it before it is there.
    let hold = Hold::default();
    let mut once = Some(Fault::Hold(hold.clone()));
    proxy.plan(move |request| {
        once.take_if(|_| request.method == "PUT" && request.target.contains("/delta/shard/"))
    });
    let looks = async || {
        let looks = metric(b, "zonetide_agent_listings_total{database=\"shard\"}").await;
        looks.unwrap()
    };
    a.api().replace_many(ZONE, &many).await.unwrap();
    hold.arrived().await;
    let before = looks().await;
    eventually(SOON, "it is looked for in vain, again and again", async || {
        let now = looks().await;
        if now > before + 3.0 {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
    hold.let_go();
    b.comes_to_say("host999", &address(999)).await;
    assert!(metric(a, "zonetide_agent_deltas_stored_total").await.unwrap() >= 1.0);
}
