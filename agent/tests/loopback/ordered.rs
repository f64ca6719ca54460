//! A restore that the operator orders, on real agents with a real S3 server.

use std::time::{Duration, Instant, SystemTime};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use zonetide_testbed::agent::{PEERS_TOKEN, PREFIX};
use zonetide_testbed::authority::{Authority, Files};
use zonetide_testbed::dns::Type;
use zonetide_testbed::fault_proxy::{Fault, FaultProxy};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, SOON, ZONE};
use crate::told::in_contact;

const DAY: Duration = Duration::from_secs(86_400);

fn storage(bucket: &Bucket) -> Value {
    json!({
        "type": "s3",
        "options": {
            "endpoint_url": bucket.endpoint, "region": bucket.region, "bucket": bucket.name, "global_prefix": PREFIX,
            "access_key": bucket.access_key, "secret_key": bucket.secret_key,
        },
        "cleanup": {"enabled": true, "interval": "1s", "must_keep_interval": "1s"},
    })
}

/// Whoever this URI names, with a certificate of the agents' authority.
fn client(name: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let files = Files::within(dir.path());
    files.write(Authority::shared(), &[name], SystemTime::now() + DAY);
    let read = |name: &str| std::fs::read(files.path(name)).unwrap();
    let identity = reqwest::Identity::from_pem(&[read("cert"), read("key")].concat());
    Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&read("ca")).unwrap()])
        .tls_danger_accept_invalid_hostnames(true)
        .identity(identity.unwrap())
        .build()
        .unwrap()
}

struct Fleet {
    nodes: [Node; 2],
    operator: Client,
    _garage: Garage,
}

impl Fleet {
    async fn start() -> Self {
        let garage = Garage::start().await;
        let storage = storage(&garage.bucket("ordered").await);
        Self::of(["a", "b"].map(|name| Node::new(name, &storage)), garage).await
    }

    async fn of(mut nodes: [Node; 2], garage: Garage) -> Self {
        let urls: Vec<_> = nodes.iter().map(|node| node.agent.peer_url()).collect();
        for node in &mut nodes {
            node.agent.tell(&urls);
            node.dns.leave_caches_on();
            node.agent.flush_caches_over(node.dns.control_socket());
            node.start().await;
        }
        for node in &nodes {
            in_contact(node, 1).await;
        }
        eventually(SOON, "the history begins", async || {
            let (is_there, text) = nodes[0].agent.run(&["history"]);
            is_there.then_some(()).ok_or(text)
        })
        .await;
        Self {
            nodes,
            operator: client("urn:zonetide:operator:zonetide-operator"),
            _garage: garage,
        }
    }

    async fn order(&self, who: &Client, order: &Value) -> StatusCode {
        let url = format!("{}/operator/v1/restores", self.nodes[0].agent.peer_url());
        let request = who.post(url).bearer_auth(PEERS_TOKEN).body(order.to_string());
        request.send().await.unwrap().status()
    }

    async fn look(&self, id: &str) -> Result<Option<Value>, String> {
        let url = format!("{}/operator/v1/restores/{id}", self.nodes[0].agent.peer_url());
        let request = self.operator.get(url).bearer_auth(PEERS_TOKEN);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    /// What came of an order, once it has ended.
    async fn outcome(&self, order: &Value) -> Value {
        assert_eq!(self.order(&self.operator, order).await, StatusCode::ACCEPTED);
        let id = order["id"].as_str().unwrap();
        eventually(SOON, "the restore ends", async || {
            let account = self.look(id).await?.ok_or("it is not known")?;
            let has_ended = account["finishedAt"].is_string();
            if has_ended {
                Ok(account)
            } else {
                Err(account.to_string())
            }
        })
        .await
    }

    async fn keys(node: &Node) -> Vec<String> {
        let answer = node.dns.dns().ask(ZONE, Type::DNSKEY).await.unwrap();
        let mut keys = answer.values();
        keys.sort();
        keys
    }

    async fn come_to_have(&self, keys: &[String]) {
        for node in &self.nodes {
            eventually(SOON, "the server has these keys", async || {
                let found = Self::keys(node).await;
                if found == keys {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })
            .await;
        }
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[tokio::test]
async fn a_deleted_signed_zone_is_back_when_the_operator_orders_it_and_no_peer_can() {
    let mut fleet = Fleet::start().await;
    let [a, b] = &fleet.nodes;
    let begin = now();
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    a.dns.pdnsutil(&[], &["secure-zone", ZONE]);
    b.comes_to_say("www", "192.0.2.1").await;
    let keys = eventually(SOON, "the zone is signed", async || {
        let keys = Fleet::keys(b).await;
        if keys.is_empty() { Err("no keys") } else { Ok(keys) }
    })
    .await;
    fleet.come_to_have(&keys).await;
    eventually(SOON, "the history has the record", async || {
        let (is_there, shown) = a.agent.run(&["zone", "show", ZONE]);
        (is_there && shown.contains("www.zone.example."))
            .then_some(())
            .ok_or(shown)
    })
    .await;
    let at = now();
    b.api().delete_zone(ZONE).await.unwrap();
    fleet.come_to_have(&[]).await;

    let order = json!({"id": "1", "at": at, "zones": ["zone.example"]});
    let peer = client("urn:zonetide:instance:b");
    assert_eq!(fleet.order(&peer, &order).await, StatusCode::FORBIDDEN);
    // The zone goes before its records.
    let plan = eventually(SOON, "what is planned has the record", async || {
        let mut plan = order.clone();
        plan["id"] = json!(format!("plan-{}", jiff::Timestamp::now().as_nanosecond()));
        plan["dryRun"] = json!(true);
        let plan = fleet.outcome(&plan).await;
        let is_whole = plan["lines"].to_string().contains("+ www.zone.example. ");
        if is_whole { Ok(plan) } else { Err(plan.to_string()) }
    })
    .await;
    assert_eq!(
        (&plan["state"], &plan["result"]["written"]),
        (&json!("done"), &json!(0))
    );
    assert_eq!(plan["plan"]["zones"], 1);
    assert_eq!(Fleet::keys(a).await, Vec::<String>::new(), "nothing was changed");
    // Nothing that is still to be flushed for the deletion may help.
    for node in &fleet.nodes {
        node.rests().await;
    }

    let start = Instant::now();
    let done = fleet.outcome(&order).await;
    assert_eq!(
        (&done["state"], &done["result"]["left"]),
        (&json!("done"), &json!(0))
    );
    assert_eq!(done["plan"]["rrsets"], plan["plan"]["rrsets"]);
    fleet.come_to_have(&keys).await;
    println!("ordered and answered on both servers after {:?}", start.elapsed());
    // Asked again it is not done again.
    assert_eq!(fleet.outcome(&order).await, done);

    // Nor after a restart of the agent, when what was written since would be taken back.
    fleet.nodes[0].agent.stop();
    fleet.nodes[0].agent.start().await;
    fleet.nodes[1].write("www", "192.0.2.2").await;
    fleet.nodes[0].comes_to_say("www", "192.0.2.2").await;
    assert_eq!(fleet.outcome(&order).await, done);
    fleet.nodes[0].says("www", "192.0.2.2").await.unwrap();
    let again = json!({"id": "2", "at": at, "zones": ["zone.example"]});
    let again = fleet.outcome(&again).await;
    assert_eq!(again["plan"]["rrsets"], 2, "the record and the serial: {again}");
    for node in &fleet.nodes {
        node.comes_to_say("www", "192.0.2.1").await;
    }

    for (zone, at, reason) in [
        ("none.example", at.as_str(), "UnknownZone"),
        ("zone.example", "2020-01-01T00:00:00Z", "BeforeHistory"),
        ("zone.example", "2100-01-01T00:00:00Z", "NotPast"),
    ] {
        let order = json!({"id": reason, "at": at, "zones": [zone]});
        let failed = fleet.outcome(&order).await;
        assert_eq!(failed["failed"]["reason"], reason, "{failed}");
    }
    let log = fleet.nodes[0].agent.log();
    assert!(
        log.contains("the restore has ended") && !log.contains(PEERS_TOKEN),
        "{log}"
    );
    assert!(begin < at);
}

/// The process of a command that this agent has started.
fn command_of(node: &Node) -> Option<u32> {
    let config = node.agent.config_path();
    let all = std::fs::read_dir("/proc").unwrap();
    let mut ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.find(|id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains(&*config.to_string_lossy()) && line.contains("restore")
    })
}

#[tokio::test]
async fn a_restore_ends_with_its_agent_and_is_done_when_it_is_ordered_again() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("ordered").await;
    let proxy = FaultProxy::start(&bucket);
    let storage = storage(&proxy.bucket(&bucket));
    let mut fleet = Fleet::of([Node::new("a", &storage), Node::new("b", &storage)], garage).await;
    let a = &fleet.nodes[0];
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    eventually(SOON, "the history has the record", async || {
        let (is_there, shown) = a.agent.run(&["zone", "show", ZONE]);
        (is_there && shown.contains("www.zone.example."))
            .then_some(())
            .ok_or(shown)
    })
    .await;
    let at = now();
    a.write("www", "192.0.2.2").await;

    // The store does not answer, and the agent is killed.
    proxy.always(&Fault::Hang);
    let order = json!({"id": "1", "at": at, "zones": ["zone.example"]});
    assert_eq!(fleet.order(&fleet.operator, &order).await, StatusCode::ACCEPTED);
    let command = eventually(SOON, "the command runs", async || {
        command_of(&fleet.nodes[0]).ok_or("there is none")
    })
    .await;
    let account = fleet.look("1").await.unwrap().unwrap();
    assert_eq!(account["state"], "planning");
    let other = json!({"id": "2", "at": at, "all": true});
    assert_eq!(
        fleet.order(&fleet.operator, &other).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    fleet.nodes[0].agent.kill();
    eventually(SOON, "the command has ended", async || {
        let runs = std::path::Path::new("/proc").join(command.to_string()).exists();
        (!runs).then_some(()).ok_or("it runs")
    })
    .await;
    proxy.heal();
    fleet.nodes[0].agent.start().await;
    assert_eq!(fleet.look("1").await.unwrap(), None);
    let done = fleet.outcome(&order).await;
    assert_eq!(done["state"], "done", "{done}");
    for node in &fleet.nodes {
        node.comes_to_say("www", "192.0.2.1").await;
    }
}

#[tokio::test]
async fn where_there_is_no_history_a_restore_says_so() {
    let garage = Garage::start().await;
    let mut storage = storage(&garage.bucket("ordered").await);
    storage["cleanup"] = json!({"enabled": false});
    let mut node = Node::new("a", &storage);
    node.agent.tell(&[node.agent.peer_url()]);
    node.start().await;
    let fleet = Fleet {
        nodes: [node, Node::new("b", &storage)],
        operator: client("urn:zonetide:operator:zonetide-operator"),
        _garage: garage,
    };
    let failed = fleet
        .outcome(&json!({"id": "1", "at": "2026-01-01T00:00:00Z", "all": true}))
        .await;
    assert_eq!(failed["failed"]["reason"], "NoHistory", "{failed}");
}
