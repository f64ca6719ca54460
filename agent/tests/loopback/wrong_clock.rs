//! A server whose clock is an hour off: what it does to the others, and what becomes of it when the
//! clock is set right.

use serde_json::Value;
use zonetide_testbed::fault_proxy::FaultProxy;
use zonetide_testbed::{Clock, Garage, Version, eventually};

use crate::kills::differences;
use crate::node::{Node, SOON, ZONE};
use crate::told::in_contact;

const HOUR: f64 = 3600.0;

async fn quarantine(node: &Node) -> Value {
    node.agent.status().await["databases"]["shard"]["quarantine"].clone()
}

/// Both databases of all are the same in the end.
async fn converge(nodes: &[&Node]) {
    for pair in nodes.windows(2) {
        for file in ["pdns.lmdb", "pdns.lmdb-0"] {
            eventually(SOON, "both databases are the same", async || {
                differences([pair[0], pair[1]], file)
            })
            .await;
        }
    }
}

on_both_versions!(
    what_a_server_writes_that_takes_its_wrong_clock_for_right_is_kept_from_the_others_until_it_is_healed,
    a_server_that_knows_that_its_clock_is_wrong_disturbs_nobody,
    of_three_servers_without_a_store_that_tells_the_time_the_one_whose_clock_is_wrong_knows_it,
);

/// The store agrees with C, whose clock is an hour ahead, and tells the truth to A and B.
async fn what_a_server_writes_that_takes_its_wrong_clock_for_right_is_kept_from_the_others_until_it_is_healed(
    version: Version,
) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("clocks").await;
    let proxy = FaultProxy::start(&bucket);
    let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
    let mut c = Node::of(version, "c", &proxy.bucket(&bucket));
    for node in [&mut a, &mut b] {
        node.start().await;
    }
    a.api().create_zone(ZONE).await.unwrap();
    for label in ["www", "ftp", "gone"] {
        a.write(label, "192.0.2.1").await;
    }
    let clock = Clock::default();
    clock.set(HOUR);
    proxy.set_clock(3600);
    c.live_by(&clock);
    c.start().await;
    c.comes_to_say("gone", "192.0.2.1").await;

    c.write("www", "192.0.2.66").await;
    c.write("new", "192.0.2.66").await;
    c.api().delete(ZONE, &format!("gone.{ZONE}"), "A").await.unwrap();
    for node in [&a, &b] {
        eventually(SOON, "what C wrote has come", async || {
            let kept = quarantine(node).await;
            match kept["instances"]["c"].as_u64() {
                Some(entries) if entries >= 3 => Ok(()),
                _ => Err(kept.to_string()),
            }
        })
        .await;
        let kept = quarantine(node).await;
        let names: Vec<_> = kept["some"].as_array().unwrap().iter().collect();
        assert!(names.iter().any(|entry| entry["zone"] == ZONE), "{kept}");
        let metrics = node.agent.http().get_text("/metrics").await.unwrap();
        assert!(
            metrics.contains("condition{database=\"shard\",condition=\"quarantine\"} 1"),
            "{metrics}"
        );
        // They go on as if C had said nothing.
        node.says("www", "192.0.2.1").await.unwrap();
        node.says("gone", "192.0.2.1").await.unwrap();
    }
    b.write("ftp", "192.0.2.2").await;
    for node in [&a, &c] {
        node.comes_to_say("ftp", "192.0.2.2").await;
    }

    // Somebody sets the clocks right.
    c.agent.freeze();
    clock.set(0.0);
    proxy.set_clock(0);
    c.agent.thaw();
    for node in [&a, &b, &c] {
        node.comes_to_say("www", "192.0.2.66").await;
        node.comes_to_say("new", "192.0.2.66").await;
        node.comes_to_say("ftp", "192.0.2.2").await;
        node.comes_to_say_code(&format!("gone.{ZONE}"), zonetide_testbed::dns::Code::NXDomain)
            .await;
    }
    converge(&[&a, &b, &c]).await;
    for node in [&a, &b] {
        eventually(SOON, "nothing is kept any more", async || {
            match quarantine(node).await {
                kept if kept["entries"] == 0 => Ok(()),
                kept => Err(kept.to_string()),
            }
        })
        .await;
    }
    // What is written now is the last word.
    a.write("www", "192.0.2.3").await;
    for node in [&b, &c] {
        node.comes_to_say("www", "192.0.2.3").await;
    }
}

async fn a_server_that_knows_that_its_clock_is_wrong_disturbs_nobody(version: Version) {
    for ahead in [HOUR, -HOUR] {
        let garage = Garage::start().await;
        let bucket = garage.bucket("clocks").await;
        let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
        let urls = [a.agent.peer_url(), b.agent.peer_url()];
        let clock = Clock::default();
        clock.set(ahead);
        b.live_by(&clock);
        for node in [&mut a, &mut b] {
            node.agent.tell(&urls);
            node.start().await;
        }
        in_contact(&a, 1).await;
        in_contact(&b, 1).await;
        b.api().create_zone(ZONE).await.unwrap();
        for round in 1..6 {
            let (of_b, of_a) = (format!("192.0.2.{round}"), format!("192.0.2.1{round}"));
            b.write("www", &of_b).await;
            a.comes_to_say("www", &of_b).await;
            a.write("www", &of_a).await;
            b.comes_to_say("www", &of_a).await;
        }
        b.comes_to_warn("store_clock", "set the clock right").await;
        converge(&[&a, &b]).await;
        assert_eq!(quarantine(&a).await["entries"], 0);
        let log = a.agent.log();
        assert!(!log.contains("are too far ahead of the time"), "{log}");
        clock.set(0.0);
        b.write("www", "192.0.2.20").await;
        a.comes_to_say("www", "192.0.2.20").await;
        a.write("www", "192.0.2.21").await;
        b.comes_to_say("www", "192.0.2.21").await;
        converge(&[&a, &b]).await;
    }
}

async fn of_three_servers_without_a_store_that_tells_the_time_the_one_whose_clock_is_wrong_knows_it(
    version: Version,
) {
    let shared = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let mut nodes = ["a", "b", "c"].map(|name| Node::of(version, name, shared.path()));
    let urls = nodes.each_ref().map(|node| node.agent.peer_url());
    nodes[2].live_by(&clock);
    for node in &mut nodes {
        node.agent.tell(&urls);
        node.start().await;
    }
    for node in &nodes {
        in_contact(node, 2).await;
    }
    let [a, b, c] = &nodes;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    c.comes_to_say("www", "192.0.2.1").await;
    clock.set(HOUR);
    c.comes_to_warn("server_clocks", "ahead of most servers'").await;
    c.write("www", "192.0.2.2").await;
    for node in [a, b] {
        node.comes_to_say("www", "192.0.2.2").await;
    }
    b.write("www", "192.0.2.3").await;
    for node in [a, c] {
        node.comes_to_say("www", "192.0.2.3").await;
    }
    converge(&[a, b, c]).await;
    for node in [a, b] {
        assert_eq!(quarantine(node).await["entries"], 0);
        let conditions = node.agent.status().await["databases"]["main"]["conditions"].clone();
        assert!(conditions["server_clocks"].is_null(), "{conditions}");
    }
}
