//! Servers that start while the bucket is away: by their peers, by the age of their own data, or not at all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use zonetide_testbed::dns::Code;
use zonetide_testbed::fault_proxy::{Fault, FaultProxy, Refusal};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, SOON, ZONE};

/// Long enough for a store that is there, on a busy machine too.
const PATIENCE: &str = "3s";
const WEEK: &str = "168h";
/// A peer hands all over in milliseconds; the rest is room for a busy machine.
const HANDED: Duration = Duration::from_secs(40);
/// So old that nothing is served by it.
const OLD: Duration = Duration::from_secs(200 * 3600);

fn nodes(bucket: &Bucket, names: &[&str]) -> Vec<Node> {
    let mut nodes: Vec<_> = names.iter().map(|name| Node::new(name, bucket)).collect();
    let urls: Vec<_> = nodes.iter().map(|node| node.agent.peer_url()).collect();
    for node in &mut nodes {
        node.agent.serve_without_the_store(WEEK, PATIENCE);
        if names.len() > 1 {
            node.agent.tell(&urls);
        }
    }
    nodes
}

/// Two servers that have a zone and are in sync, and their bucket.
async fn pair() -> (Garage, Bucket, Node, Node) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut both = nodes(&bucket, &["a", "b"]);
    for node in &mut both {
        node.start().await;
    }
    let (b, a) = (both.pop().unwrap(), both.pop().unwrap());
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;
    (garage, bucket, a, b)
}

async fn serves_by(node: &Node, basis: &str) {
    let what = format!("it serves by {basis}");
    eventually(SOON, &what, async || {
        let status = node.agent.status().await;
        if status["serving"]["basis"] == json!(basis) {
            Ok(())
        } else {
            Err(status["serving"].to_string())
        }
    })
    .await;
    let metrics = node.agent.http().get_text("/metrics").await.unwrap();
    for other in ["bucket", "peers", "own-data"] {
        let sample = format!(
            "zonetide_agent_serving{{basis=\"{other}\"}} {}",
            i32::from(other == basis)
        );
        assert!(metrics.contains(&sample), "no {sample}:\n{metrics}");
    }
}

/// Waits until the agent says that it does not serve, and why.
async fn refuses(node: &Node, parts: &[&str]) {
    eventually(SOON, "it says why it does not serve", async || {
        let error = match node.agent.http().get_text("/readyz").await {
            Ok(_) => panic!("it is ready:\n{}", node.agent.log()),
            Err(error) => error.to_string(),
        };
        if parts.iter().all(|part| error.contains(part)) {
            Ok(())
        } else {
            Err(error)
        }
    })
    .await;
}

/// The other server has told it a change itself.
async fn was_told(node: &Node) {
    let sample = "zonetide_agent_deltas_taken_total{database=\"shard\"} 0";
    let metrics = node.agent.http().get_text("/metrics").await.unwrap();
    assert!(!metrics.contains(sample), "{metrics}");
}

/// Waits until it is written down that both databases are in sync.
async fn is_written_down(node: &Node) {
    for database in ["pdns.lmdb", "pdns.lmdb-0"] {
        let file = node.file(&format!("{database}.zonetide-in-sync.json"));
        eventually(SOON, "the file is there", async || {
            file.exists().then_some(()).ok_or("not yet")
        })
        .await;
    }
}

/// Makes it look as if the databases had last been in sync that long ago.
fn was_in_sync(node: &Node, ago: Duration) {
    let when = (SystemTime::now() - ago).duration_since(UNIX_EPOCH).unwrap();
    for database in ["pdns.lmdb", "pdns.lmdb-0"] {
        let file = node.file(&format!("{database}.zonetide-in-sync.json"));
        let mut known: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        known["time"] = json!(u64::try_from(when.as_nanos()).unwrap());
        std::fs::write(&file, known.to_string()).unwrap();
    }
}

/// Ends a server whose bucket is away: an agent that is told to end would try to store its last change.
fn kill(node: &mut Node) {
    node.dns.stop();
    node.agent.kill();
}

#[tokio::test]
async fn a_server_alone_serves_its_own_data_for_a_while_and_stores_what_it_took_once_the_bucket_is_back() {
    let mut garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut a = nodes(&bucket, &["a"]).pop().unwrap();
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    serves_by(&a, "bucket").await;
    is_written_down(&a).await;
    a.dns.kill();
    a.agent.kill();
    was_in_sync(&a, Duration::from_secs(3 * 3600));

    garage.crash();
    a.agent.launch();
    refuses(
        &a,
        &["the store does not answer yet; own data of 3h ago may be served in "],
    )
    .await;
    a.agent.await_ready(HANDED).await;
    serves_by(&a, "own-data").await;
    a.dns.start().await;
    a.says("www", "192.0.2.1").await.unwrap();
    let log = a.agent.log();
    assert!(log.contains("ready though neither the store"), "{log}");
    let health = a.agent.http().get_text("/healthz").await.unwrap();
    assert!(health.contains("own data"), "{health}");
    a.write("meanwhile", "192.0.2.2").await;
    // Killed once more before anything can be stored.
    a.dns.kill();
    a.agent.kill();
    a.agent.start().await;
    a.dns.start().await;

    garage.up().await;
    serves_by(&a, "bucket").await;
    let mut b = Node::new("b", &bucket);
    b.start().await;
    b.comes_to_say("meanwhile", "192.0.2.2").await;
    b.says("www", "192.0.2.1").await.unwrap();
}

#[tokio::test]
async fn too_old_data_an_empty_database_and_zero_wait_for_the_bucket() {
    let mut garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut a = nodes(&bucket, &["a"]).pop().unwrap();
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    is_written_down(&a).await;
    a.stop();
    garage.crash();

    a.agent.serve_without_the_store("0s", PATIENCE);
    a.agent.launch();
    a.agent.await_healthy(SOON).await;
    refuses(&a, &["serving.stale_for is 0s"]).await;
    a.agent.stop();

    a.agent.serve_without_the_store(WEEK, PATIENCE);
    was_in_sync(&a, OLD);
    a.agent.launch();
    a.agent.await_healthy(SOON).await;
    refuses(&a, &["no peer answers", "8d 8h", "raise serving.stale_for"]).await;
    let status = a.agent.status().await;
    assert_eq!(status["ready"], json!(false));
    assert_eq!(status["serving"]["basis"], Value::Null);
    assert!(status["serving"]["last_in_sync"].is_string(), "{status}");
    a.agent.stop();

    // With the time of the old database beside it.
    was_in_sync(&a, Duration::ZERO);
    a.wipe();
    assert!(a.file("pdns.lmdb.zonetide-in-sync.json").exists());
    a.agent.launch();
    a.agent.await_healthy(SOON).await;
    refuses(&a, &["the database is empty", "bring the bucket or a peer back"]).await;
    // PowerDNS makes its own tables in it, which are no data.
    a.dns.start().await;
    refuses(&a, &["the database is empty"]).await;
    a.dns.stop();

    garage.up().await;
    a.agent.await_ready(HANDED).await;
    serves_by(&a, "bucket").await;
    a.dns.start().await;
    a.says("www", "192.0.2.1").await.unwrap();
}

#[tokio::test]
async fn an_up_to_date_peer_gives_what_is_missing_also_into_an_empty_database() {
    let (mut garage, _bucket, mut a, mut b) = pair().await;
    kill(&mut b);
    garage.crash();
    // Nobody but a knows of this.
    a.write("news", "192.0.2.2").await;
    b.agent.launch();
    b.agent.await_ready(HANDED).await;
    serves_by(&b, "peers").await;
    b.dns.start().await;
    b.says("www", "192.0.2.1").await.unwrap();
    b.says("news", "192.0.2.2").await.unwrap();

    // The same without its volume.
    kill(&mut b);
    b.wipe();
    b.agent.launch();
    b.agent.await_ready(HANDED).await;
    serves_by(&b, "peers").await;
    b.dns.start().await;
    b.says("www", "192.0.2.1").await.unwrap();
    b.says("news", "192.0.2.2").await.unwrap();
    // What either takes, the other one answers, though nothing can be stored.
    a.write("on-a", "192.0.2.3").await;
    b.comes_to_say("on-a", "192.0.2.3").await;
    b.write("on-b", "192.0.2.4").await;
    a.comes_to_say("on-b", "192.0.2.4").await;
    for node in [&a, &b] {
        was_told(node).await;
    }

    garage.up().await;
    for node in [&a, &b] {
        serves_by(node, "bucket").await;
    }
    // The bucket alone has everything.
    eventually(SOON, "all is stored", async || {
        for node in [&a, &b] {
            let status = node.agent.status().await;
            for (name, database) in status["databases"].as_object().unwrap() {
                if database["unsynced"] == true {
                    return Err(format!("{name} has changes to store"));
                }
            }
        }
        Ok(())
    })
    .await;
    a.stop();
    b.stop();
    a.wipe();
    a.agent.tell(&[]);
    a.start().await;
    for (label, address) in [
        ("www", "192.0.2.1"),
        ("news", "192.0.2.2"),
        ("on-a", "192.0.2.3"),
        ("on-b", "192.0.2.4"),
    ] {
        a.comes_to_say(label, address).await;
    }
}

#[tokio::test]
async fn when_all_are_too_old_they_put_together_what_they_have_and_serve_it() {
    let (mut garage, _bucket, mut a, mut b) = pair().await;
    for node in [&a, &b] {
        is_written_down(node).await;
    }
    garage.crash();
    // Each has something that the other one lacks.
    kill(&mut b);
    a.write("on-a", "192.0.2.2").await;
    kill(&mut a);
    b.dns.start().await;
    b.write("on-b", "192.0.2.3").await;
    b.dns.stop();
    for node in [&a, &b] {
        was_in_sync(node, OLD);
    }

    a.agent.launch();
    a.agent.await_healthy(SOON).await;
    refuses(&a, &["no peer answers", "raise serving.stale_for"]).await;
    b.agent.launch();
    for node in [&mut a, &mut b] {
        node.agent.await_ready(HANDED).await;
        node.dns.start().await;
    }
    for node in [&a, &b] {
        serves_by(node, "own-data").await;
        for (label, address) in [("www", "192.0.2.1"), ("on-a", "192.0.2.2"), ("on-b", "192.0.2.3")] {
            node.comes_to_say(label, address).await;
        }
    }
    b.write("later", "192.0.2.4").await;
    a.comes_to_say("later", "192.0.2.4").await;
    was_told(&a).await;

    garage.up().await;
    for node in [&a, &b] {
        serves_by(node, "bucket").await;
        node.says("later", "192.0.2.4").await.unwrap();
    }
}

#[tokio::test]
async fn servers_that_serve_their_own_data_get_to_know_what_the_other_one_has() {
    let (mut garage, _bucket, mut a, mut b) = pair().await;
    for node in [&a, &b] {
        is_written_down(node).await;
    }
    garage.crash();
    kill(&mut b);
    a.write("on-a", "192.0.2.2").await;
    kill(&mut a);
    b.start().await;
    serves_by(&b, "own-data").await;
    b.says_code(&format!("on-a.{ZONE}"), Code::NXDomain)
        .await
        .unwrap();
    a.agent.launch();
    a.agent.await_ready(HANDED).await;
    a.dns.start().await;
    a.says("on-a", "192.0.2.2").await.unwrap();
    let what = "b takes what a has, of which nobody told it";
    eventually(HANDED, what, || b.says("on-a", "192.0.2.2")).await;
}

#[tokio::test]
async fn a_store_that_never_answers_and_one_that_gives_nothing_count_as_away() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let proxy = FaultProxy::start(&bucket);
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &proxy.bucket(&bucket)));
    let urls = [a.agent.peer_url(), b.agent.peer_url()];
    for node in [&mut a, &mut b] {
        node.agent.tell(&urls);
        node.agent.serve_without_the_store(WEEK, PATIENCE);
    }
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;

    proxy.always(&Fault::Hang);
    b.agent.launch();
    b.agent.await_ready(HANDED).await;
    serves_by(&b, "peers").await;
    b.dns.start().await;
    b.says("www", "192.0.2.1").await.unwrap();

    // It lists what it has, and no object can be had.
    kill(&mut b);
    b.wipe();
    proxy.plan(|request| {
        let is_object = request.method == "GET" && !request.target.contains("list-type");
        is_object.then_some(Fault::Refuse(Refusal::INTERNAL))
    });
    b.agent.launch();
    b.agent.await_ready(HANDED).await;
    serves_by(&b, "peers").await;
    b.dns.start().await;
    b.says("www", "192.0.2.1").await.unwrap();
    b.write("on-b", "192.0.2.2").await;
    // By word of the peer, or with its first snapshot: nothing of its own is in the store, so it may store one.
    a.comes_to_say("on-b", "192.0.2.2").await;

    proxy.heal();
    serves_by(&b, "bucket").await;
}

#[tokio::test]
async fn what_a_peer_gave_and_then_lost_with_its_volume_is_stored_by_who_took_it() {
    let (mut garage, bucket, mut a, mut b) = pair().await;
    kill(&mut b);
    garage.crash();
    a.write("precious", "192.0.2.2").await;
    b.agent.launch();
    b.agent.await_ready(HANDED).await;
    serves_by(&b, "peers").await;
    kill(&mut a);
    drop(a);

    garage.up().await;
    serves_by(&b, "bucket").await;
    let mut c = Node::new("c", &bucket);
    c.start().await;
    c.comes_to_say("precious", "192.0.2.2").await;
}
