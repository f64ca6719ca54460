//! Whole reconciles against a fake API server and fake agents, and the real client against a real TLS server.

use std::sync::{Arc, Mutex};

use futures::{FutureExt, future::BoxFuture};
use kube::runtime::events::Reporter;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::{
    client::Denied,
    message::{Account, Order, State},
    *,
};
use crate::{
    agents::{RealAgents, Silences},
    context::Backoff,
    events::Events,
    fake_api::{Change, FakeApi},
    metrics::Metrics,
    objectstore::RealSources,
    peer_certificates::{PeerCertificates, Server},
    testing::{MANAGED, cluster, settings},
};

const RESTORE: &str = "/apis/zonetide.dev/v1alpha1/namespaces/shore/dnsrestores/back";
const CLUSTER: &str = "/apis/zonetide.dev/v1alpha1/namespaces/shore/dnsclusters/tide";
const SECRETS: &str = "/api/v1/namespaces/shore/secrets";

/// What agents are asked, and what they answer.
#[derive(Default)]
struct Agents {
    asked: Vec<String>,
    ordered: Vec<(String, Order)>,
    /// By instance, what they know; the first that is not there is away.
    account: Option<Account>,
    away: Vec<String>,
}

#[derive(Clone, Default)]
struct FakeRestorers(Arc<Mutex<Agents>>);

impl Restorers for FakeRestorers {
    fn order<'a>(&'a self, door: &'a Door, order: &'a Order) -> BoxFuture<'a, Result<Account, Denied>> {
        let mut agents = self.0.lock().unwrap();
        agents.ordered.push((door.instance.clone(), order.clone()));
        let account = agents.account.get_or_insert_default();
        std::future::ready(Ok(account.clone())).boxed()
    }

    fn account<'a>(&'a self, door: &'a Door, id: &'a str) -> BoxFuture<'a, Result<Option<Account>, Denied>> {
        assert_eq!(id, "restore-uid");
        assert_eq!(door.token.expose(), "token-of-the-peers");
        assert!(door.own.certificate.contains("BEGIN CERTIFICATE"));
        let mut agents = self.0.lock().unwrap();
        agents.asked.push(door.instance.clone());
        let answer = if agents.away.contains(&door.instance) {
            Err(Denied::Away("connection refused".to_owned()))
        } else {
            Ok(agents.account.clone())
        };
        std::future::ready(answer).boxed()
    }
}

struct Scene {
    api: FakeApi,
    agents: FakeRestorers,
    context: Context,
}

fn owner() -> Value {
    json!({"apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsCluster", "name": "tide", "uid": "cluster-uid", "controller": true})
}

/// Those of two servers.
fn certificates() -> PeerCertificates {
    let servers = ["tide-0", "tide-1"].map(|pod| Server {
        pod: pod.to_owned(),
        instance: format!("moon-shore-{pod}"),
    });
    let none = PeerCertificates::read(None, None);
    none.renewed("peers of shore/tide", &servers, Timestamp::now())
        .unwrap()
}

impl Scene {
    fn new() -> Self {
        let api = FakeApi::default();
        let (agents, client) = (FakeRestorers::default(), api.client());
        let reporter = Reporter {
            controller: "test".into(),
            instance: None,
        };
        let context = Context {
            events: Events::new(client.clone(), reporter),
            client,
            settings: settings(),
            sources: Arc::new(RealSources::new().unwrap()),
            agents: Arc::new(RealAgents::new().unwrap()),
            metrics: Metrics::new(&mut Registry::default()),
            kubernetes_uid: tokio::sync::OnceCell::new(),
            backoff: Backoff::default(),
            handing_over: Backoff::default(),
            choosing: Backoff::default(),
            restorers: Arc::new(agents.clone()),
            restoring: Backoff::default(),
            turns: Turns::default(),
            silences: Silences::default(),
        };
        let scene = Self { api, agents, context };
        scene.api.put(
            RESTORE,
            json!({
                "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsRestore",
                "metadata": {"name": "back", "namespace": "shore", "uid": "restore-uid", "generation": 1},
                "spec": {"cluster": "tide", "at": "2026-11-30T10:00:00Z", "zones": ["a.example"]},
                "status": {"observedGeneration": -1},
            }),
        );
        scene
    }

    /// The cluster with two servers, and what agents are shown.
    fn with_servers(self) -> Self {
        let mut found = serde_json::to_value(cluster(MANAGED)).unwrap();
        let server = |pod: &str| json!({"pod": pod, "instance": format!("moon-shore-{pod}"), "ready": true});
        found["status"] = json!({"instances": [server("tide-0"), server("tide-1")]});
        self.api.put(CLUSTER, found);
        for pod in ["tide-0", "tide-1"] {
            let object = json!({
                "metadata": {"name": pod, "labels": {"app.kubernetes.io/name": "zonetide-dns"}},
                "status": {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}]},
            });
            self.api
                .put(&format!("/api/v1/namespaces/shore/pods/{pod}"), object);
        }
        let certificates = certificates();
        self.secret("tide-peers", json!({"token": "token-of-the-peers\nanother"}));
        let authority = certificates.authority;
        self.secret(
            "tide-peers-ca",
            json!({"ca.crt": authority.certificate, "ca.key": authority.key.expose()}),
        );
        self.secret("tide-peers-tls", json!({"ca.crt": certificates.believed}));
        self
    }

    fn secret(&self, name: &str, texts: Value) {
        let object: k8s_openapi::api::core::v1::Secret =
            serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": [owner()]}}))
                .unwrap();
        let texts: std::collections::BTreeMap<String, String> = serde_json::from_value(texts).unwrap();
        let data = texts.into_iter();
        let data = data.map(|(key, text)| (key, k8s_openapi::ByteString(text.into_bytes())));
        let secret = k8s_openapi::api::core::v1::Secret {
            data: Some(data.collect()),
            ..object
        };
        self.api.put(
            &format!("{SECRETS}/{name}"),
            serde_json::to_value(secret).unwrap(),
        );
    }

    async fn run(&self) -> (Action, Vec<Change>) {
        let action = Box::pin(run(&self.context, "shore", "back", Timestamp::now())).await;
        (action.unwrap(), self.api.take_changes())
    }

    fn say(&self, state: State) {
        let mut account = Account {
            state,
            ..Account::default()
        };
        if state == State::Done {
            account.plan = Some(super::message::Amount { zones: 1, rrsets: 2 });
            account.total_lines = 2;
            account.result = Some(super::message::Written::default());
        }
        self.agents.0.lock().unwrap().account = Some(account);
    }

    fn status(&self) -> Value {
        self.api.get(RESTORE)["status"].clone()
    }
}

#[tokio::test]
async fn a_restore_is_ordered_once_watched_to_its_end_and_then_left_alone() {
    let scene = Scene::new().with_servers();
    let (action, changes) = scene.run().await;
    assert_ne!(action, Action::await_change());
    assert_eq!(changes[0].path, format!("{RESTORE}/status"));
    assert_eq!(changes[0].body["metadata"]["uid"], "restore-uid");
    assert_eq!(changes[1].body["reason"], "Planning");
    assert_eq!(
        (&scene.status()["phase"], &scene.status()["server"]),
        (&json!("Planning"), &json!("tide-0"))
    );
    let (_, changes) = scene.run().await;
    assert_eq!(changes, [], "nothing is new");
    scene.say(State::Done);
    let (action, changes) = scene.run().await;
    assert_eq!(action, Action::await_change());
    assert_eq!(changes[1].body["reason"], "Restored");
    assert_eq!(scene.status()["result"]["rrsets"], 2);
    {
        let mut agents = scene.agents.0.lock().unwrap();
        assert_eq!(agents.ordered.len(), 1);
        assert_eq!(agents.ordered[0].1.id, "restore-uid");
        // Not even an operator and an agent that know nothing of it do it again.
        agents.account = None;
        agents.asked.clear();
    }
    let (action, changes) = scene.run().await;
    assert_eq!((action, changes), (Action::await_change(), vec![]));
    assert_eq!(scene.agents.0.lock().unwrap().asked, Vec::<String>::new());
}

#[tokio::test]
async fn it_is_ordered_of_one_server_alone_and_again_where_that_was_restarted() {
    let scene = Scene::new().with_servers();
    // The first does not answer at all.
    scene.agents.0.lock().unwrap().away = vec!["moon-shore-tide-0".into()];
    scene.run().await;
    scene.agents.0.lock().unwrap().away = Vec::new();
    scene.agents.0.lock().unwrap().account = None;
    scene.run().await;
    let instances = |scene: &Scene| -> Vec<String> {
        let agents = scene.agents.0.lock().unwrap();
        agents
            .ordered
            .iter()
            .map(|(instance, _)| instance.clone())
            .collect()
    };
    assert_eq!(instances(&scene), ["moon-shore-tide-1"; 2]);
    assert_eq!(scene.status()["server"], "tide-1");
    // Whether it is done is known there alone.
    for state in [State::Planning, State::Running] {
        scene.agents.0.lock().unwrap().away = Vec::new();
        scene.say(state);
        scene.run().await;
        scene.agents.0.lock().unwrap().away = vec!["moon-shore-tide-1".into()];
        scene.run().await;
        assert_eq!(instances(&scene).len(), 2);
        assert_eq!(scene.status()["conditions"][0]["reason"], "ServerUnreachable");
    }
}

#[tokio::test]
async fn what_its_agent_forgets_three_times_is_not_ordered_a_fourth_time() {
    let scene = Scene::new().with_servers();
    for run in 1..=3 {
        scene.agents.0.lock().unwrap().account = None;
        scene.run().await;
        assert_eq!(scene.status()["begun"], run);
        scene.say(State::Running);
        scene.run().await;
    }
    scene.agents.0.lock().unwrap().account = None;
    let (action, changes) = scene.run().await;
    assert_eq!(action, Action::await_change());
    assert_eq!(scene.agents.0.lock().unwrap().ordered.len(), 3);
    assert_eq!(scene.status()["phase"], "Failed");
    assert_eq!(changes[1].body["reason"], "Interrupted");
    assert_eq!(changes[1].body["type"], "Warning");
}

#[tokio::test]
async fn what_is_killed_three_times_is_not_ordered_a_fourth_time_and_what_the_store_does_not_give_is() {
    for (reason, phase) in [("Ended", "Failed"), ("Store", "Planning")] {
        let scene = Scene::new().with_servers();
        scene.run().await;
        scene.agents.0.lock().unwrap().account = Some(
            serde_json::from_value(json!({"state": "failed", "failed": {"reason": reason, "message": "m"}}))
                .unwrap(),
        );
        for _ in 0..3 {
            scene.run().await;
        }
        let ordered = scene.agents.0.lock().unwrap().ordered.len();
        assert_eq!(ordered, if reason == "Ended" { 3 } else { 4 });
        assert_eq!(scene.status()["phase"], phase);
    }
}

#[tokio::test]
async fn of_several_of_a_cluster_one_is_done_at_a_time_whichever_server_does_it() {
    let scene = Scene::new().with_servers();
    let mut older = scene.api.get(RESTORE);
    older["metadata"]["name"] = json!("first");
    older["metadata"]["uid"] = json!("another-uid");
    older["metadata"]["creationTimestamp"] = json!("2026-11-30T10:00:00Z");
    older["status"] = json!({"server": "tide-1", "phase": "Running"});
    let path = RESTORE.replace("back", "first");
    scene.api.put(&path, older.clone());
    let (action, changes) = scene.run().await;
    assert_ne!(action, Action::await_change());
    assert_eq!(scene.agents.0.lock().unwrap().asked, Vec::<String>::new());
    assert_eq!(scene.status()["conditions"][0]["reason"], "AnotherRuns");
    let message = scene.status()["conditions"][0]["message"].to_string();
    assert!(message.contains("DnsRestore first"), "{message}");
    assert_eq!(changes[1].body["type"], "Normal");
    older["status"]["phase"] = json!("Failed");
    scene.api.put(&path, older);
    scene.run().await;
    assert_eq!(scene.agents.0.lock().unwrap().ordered.len(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_read_waits_for_a_change_and_keeps_no_other_waiting() {
    let scene = Scene::new().with_servers();
    let mut unreadable = scene.api.get(RESTORE);
    unreadable["metadata"]["name"] = json!("a-newer-one");
    unreadable["spec"]["at"] = json!({"serial": 7});
    scene
        .api
        .put(&RESTORE.replace("back", "a-newer-one"), unreadable.clone());
    scene.run().await;
    assert_eq!(scene.agents.0.lock().unwrap().ordered.len(), 1);
    let object: Arc<Guarded> = Arc::new(serde_json::from_value(unreadable).unwrap());
    let context = Arc::new(scene.context);
    let error = reconcile(object.clone(), context.clone()).await.unwrap_err();
    assert_eq!(error_policy(object, &error, context), Action::await_change());
}

#[tokio::test]
async fn what_is_late_is_asked_for_and_ordered_of_nobody() {
    let scene = Scene::new().with_servers();
    let mut late = scene.api.get(RESTORE);
    late["metadata"]["creationTimestamp"] = json!("2026-11-01T10:00:00Z");
    scene.api.put(RESTORE, late);
    scene.run().await;
    assert_eq!(scene.agents.0.lock().unwrap().ordered.len(), 0);
    assert_eq!(scene.agents.0.lock().unwrap().asked.len(), 1);
    assert_eq!(scene.status()["conditions"][0]["reason"], "GivenUp");
}

#[tokio::test]
async fn what_is_missing_is_waited_for_and_secrets_of_somebody_else_are_not_believed() {
    let scene = Scene::new();
    let reason = async |scene: &Scene| {
        let (action, _) = scene.run().await;
        assert_ne!(action, Action::await_change());
        scene.status()["conditions"][0]["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(reason(&scene).await, "ClusterMissing");
    scene
        .api
        .put(CLUSTER, serde_json::to_value(cluster(MANAGED)).unwrap());
    assert_eq!(reason(&scene).await, "NoServer");
    let scene = scene.with_servers();
    let mut secret = scene.api.get(&format!("{SECRETS}/tide-peers-ca"));
    secret["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    scene.api.put(&format!("{SECRETS}/tide-peers-ca"), secret.clone());
    assert_eq!(reason(&scene).await, "ServerUnreachable");
    assert_eq!(scene.agents.0.lock().unwrap().asked, Vec::<String>::new());
    secret["metadata"]["ownerReferences"][0]["uid"] = json!("cluster-uid");
    scene.api.put(&format!("{SECRETS}/tide-peers-ca"), secret);
    assert_eq!(reason(&scene).await, "Planning");
    let status = scene.status().to_string();
    assert!(
        !status.contains("token-of-the-peers") && !status.contains("PRIVATE KEY"),
        "{status}"
    );
}

#[tokio::test]
async fn one_that_is_gone_or_whose_cluster_goes_is_not_restored() {
    let scene = Scene::new().with_servers();
    let mut object = scene.api.get(CLUSTER);
    object["metadata"]["deletionTimestamp"] = json!("2026-11-30T10:00:00Z");
    scene.api.put(CLUSTER, object);
    let (action, _) = scene.run().await;
    assert_eq!(action, Action::await_change());
    assert_eq!(scene.status()["phase"], "Failed");
    scene.api.remove(RESTORE);
    let (action, changes) = scene.run().await;
    assert_eq!((action, changes), (Action::await_change(), vec![]));
    assert_eq!(scene.agents.0.lock().unwrap().asked, Vec::<String>::new());
}
