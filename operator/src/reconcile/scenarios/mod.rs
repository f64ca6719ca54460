//! Whole reconciles against a fake API server: which requests are sent, in which order, and when none are.

mod apart;
mod certificates;
mod claims;
mod expose;
mod grants;
mod identities;
mod keys;
mod ownership;
mod removal;
mod servers;
mod store_nodes;
mod versions;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use futures::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;
use kube::runtime::events::Reporter;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use zonetide_crds::DnsCluster;

use self::store_nodes::{FakeNode, FakeNodes};
use super::*;
use crate::{
    agents::{AgentStatus, Agents, Silences},
    context::Backoff,
    events::Events,
    fake_api::{Change, FakeApi},
    metrics::Metrics,
    objectstore::{
        BucketRemoval, Keys, Minted, Own, Removed, Source, SourceRequest, Sources, StoreNode, Supply, Way,
    },
    secret::SecretText,
    testing::{MANAGED, S3, cluster, keys, pod, settings},
};

const CLUSTER: &str = "/apis/zonetide.dev/v1alpha1/namespaces/shore/dnsclusters/tide";
const SERVERS: &str = "/apis/apps/v1/namespaces/shore/statefulsets/tide";
const API_SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/shore/endpointslices/tide-api-x";
const GARAGE: &str = "/apis/apps/v1/namespaces/shore/statefulsets/tide-garage";
const GARAGE_POD: &str = "/api/v1/namespaces/shore/pods/tide-garage-0";
const KEYS: &str = "/api/v1/namespaces/shore/secrets/moon-keys";

/// A store that answers what the test says.
#[derive(Debug)]
struct FakeStore {
    /// What is wrong with it.
    trouble: Option<StoreError>,
    /// What is wrong with making keys.
    minting: Option<StoreError>,
    /// Keys that it accepts, made by `mint` in this order.
    alive: Vec<String>,
    made: usize,
    lifetime: SignedDuration,
    /// Objects of the cluster's own servers, and of others.
    own: u64,
    others: u64,
    /// How many are removed in one go.
    batch: u64,
    /// Whether the bucket is there.
    bucket: bool,
    /// What it says of the bucket.
    warnings: Vec<String>,
    /// Names of objects.
    stored: Vec<String>,
}

impl Default for FakeStore {
    fn default() -> Self {
        Self {
            trouble: None,
            minting: None,
            alive: vec![],
            made: 0,
            lifetime: SignedDuration::from_hours(24),
            own: 0,
            others: 0,
            batch: 1000,
            bucket: true,
            warnings: vec![],
            stored: vec![],
        }
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    std::future::ready(value).boxed()
}

#[derive(Clone, Default)]
struct FakeSources(Arc<Mutex<FakeStore>>, Arc<Mutex<FakeNodes>>);

impl FakeSources {
    fn state(&self) -> MutexGuard<'_, FakeStore> {
        self.0.lock().unwrap()
    }
}

impl Sources for FakeSources {
    fn store_node(&self, admin_url: String, _admin_token: SecretText) -> Box<dyn StoreNode> {
        Box::new(FakeNode::new(self.1.clone(), &admin_url))
    }

    fn reached(&self, _way: &Way, request: &SourceRequest) -> Result<Box<dyn Source>, StoreError> {
        Ok(self.source(request))
    }

    fn source(&self, request: &SourceRequest) -> Box<dyn Source> {
        let given = match request {
            SourceRequest::Given(request) => Some(request.keys.clone()),
            _ => None,
        };
        let broken = match request {
            SourceRequest::AssumeRole(request) => request.keys.clone().err(),
            SourceRequest::Unusable { error, .. } => Some(error.clone()),
            _ => None,
        };
        let store = self.clone();
        Box::new(FakeSource { given, broken, store })
    }
}

struct FakeSource {
    given: Option<Result<Keys, StoreError>>,
    /// What is wrong with the admin's Secret.
    broken: Option<StoreError>,
    store: FakeSources,
}

impl Source for FakeSource {
    fn supply(&self) -> Supply {
        let lifetime = self.store.state().lifetime;
        self.given
            .clone()
            .map_or(Supply::Minted { lifetime }, Supply::Given)
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let trouble = match &self.given {
            Some(Err(error)) => Some(error.clone()),
            _ => self.broken.clone().or(self.store.state().trouble.clone()),
        };
        ready(trouble.map_or(Ok(false), Err))
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        let mut store = self.store.state();
        if let Some(error) = self.broken.clone().or(store.minting.clone()) {
            return ready(Err(error));
        }
        store.made += 1;
        let id = format!("made-{}", store.made);
        store.alive.push(id.clone());
        let keys = Keys {
            access_key_id: id,
            ..keys()
        };
        let expires = Some(Timestamp::now() + store.lifetime);
        ready(Ok(Minted { keys, expires }))
    }

    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        let store = self.store.state();
        if self.given.is_some() || store.alive.contains(&keys.access_key_id) {
            return ready(store.trouble.clone().map_or(Ok(()), Err));
        }
        ready(Err(StoreError::WrongKeys {
            endpoint: "http://fake".into(),
            code: "InvalidAccessKeyId".into(),
            secret: "s".into(),
        }))
    }

    fn revoke_others<'a>(&'a self, keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let mut store = self.store.state();
        if let Some(error) = store.trouble.clone() {
            return ready(Err(error));
        }
        let (kept, ended) = store.alive.drain(..).partition(|id| Some(id.as_str()) == keep);
        store.alive = kept;
        ready(Ok(ended))
    }

    fn remove_own<'a>(&'a self, keys: &'a Keys, own: &'a Own) -> BoxFuture<'a, Result<Removed, StoreError>> {
        assert_eq!(own.instances, "0a1b2c3d-shore-tide-");
        let check = self.check(keys).now_or_never().unwrap();
        let mut store = self.store.state();
        ready(check.map(|()| {
            let objects = store.own.min(store.batch);
            store.own -= objects;
            let done = store.own == 0;
            Removed {
                objects,
                uploads: u64::from(done),
                done,
            }
        }))
    }

    fn remove_bucket<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Result<BucketRemoval, StoreError>> {
        let mut store = self.store.state();
        if store.own + store.others > 0 {
            return ready(Ok(BucketRemoval::NotEmpty));
        }
        store.bucket = false;
        ready(Ok(BucketRemoval::Removed))
    }

    fn has_objects<'a>(
        &'a self,
        _keys: &'a Keys,
        prefix: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let store = self.store.state();
        ready(Ok(store.stored.iter().any(|name| name.starts_with(prefix))))
    }

    fn warnings<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Vec<String>> {
        ready(self.store.state().warnings.clone())
    }
}

/// Agents that all say the same, or nothing.
#[derive(Clone, Default)]
struct FakeAgents(Arc<Mutex<AgentStatus>>, Arc<Mutex<Option<String>>>);

impl Agents for FakeAgents {
    fn status(&self, _address: IpAddr) -> BoxFuture<'_, Result<AgentStatus, String>> {
        let error = self.1.lock().unwrap().clone();
        ready(error.map_or_else(|| Ok(self.0.lock().unwrap().clone()), Err))
    }
}

struct Scene {
    api: FakeApi,
    store: FakeSources,
    agents: FakeAgents,
    context: Context,
}

impl Scene {
    fn new(spec: &str) -> Self {
        let api = FakeApi::default();
        api.put(CLUSTER, serde_json::to_value(cluster(spec)).unwrap());
        api.put(
            "/api/v1/namespaces/kube-system",
            json!({"metadata": {"name": "kube-system", "uid": "0a1b2c3d-4e5f"}}),
        );
        api.put(
            GARAGE,
            json!({"metadata": {"generation": 1, "ownerReferences": [owner()]}, "status": {
            "observedGeneration": 1, "replicas": 1, "updateRevision": "new"}}),
        );
        api.put(
            SERVERS,
            json!({"metadata": {"name": "tide", "generation": 1, "ownerReferences": [owner()]}, "status": {
            "observedGeneration": 1, "replicas": 0, "updateRevision": "new"}}),
        );
        api.put(GARAGE_POD, store_pod());
        let store = FakeSources::default();
        let agents = FakeAgents::default();
        let client = api.client();
        let context = Context {
            events: Events::new(
                client.clone(),
                Reporter {
                    controller: "test".into(),
                    instance: None,
                },
            ),
            client,
            settings: settings(),
            sources: Arc::new(store.clone()),
            agents: Arc::new(agents.clone()),
            metrics: Metrics::new(&mut Registry::default()),
            kubernetes_uid: tokio::sync::OnceCell::new(),
            backoff: Backoff::default(),
            handing_over: Backoff::default(),
            choosing: Backoff::default(),
            restorers: Arc::new(crate::restores::RealRestorers),
            restoring: Backoff::default(),
            turns: crate::restores::Turns::default(),
            silences: Silences::default(),
        };
        Self {
            api,
            store,
            agents,
            context,
        }
    }

    fn pod(&self, name: &str, ready: bool) {
        let path = format!("/api/v1/namespaces/shore/pods/{name}");
        self.api
            .put(&path, serde_json::to_value(pod(name, ready, "new")).unwrap());
    }

    /// A server whose agent can be asked.
    fn server(&self, name: &str) {
        let mut server = serde_json::to_value(pod(name, true, "new")).unwrap();
        server["status"]["podIP"] = json!("10.0.0.9");
        self.api
            .put(&format!("/api/v1/namespaces/shore/pods/{name}"), server);
    }

    fn label(&self, pod: &str) -> Value {
        let object = self.api.get(&format!("/api/v1/namespaces/shore/pods/{pod}"));
        object["metadata"]["labels"]["zonetide.dev/api"].clone()
    }

    /// Reconciles, and gives the changes that were asked for.
    async fn run(&self) -> Vec<Change> {
        self.try_run().await.unwrap();
        self.api.take_changes()
    }

    /// Both controllers, one after the other.
    async fn try_run(&self) -> Result<Action, Error> {
        api_service::keep(&self.context, "shore", "tide").await?;
        self.api.put(API_SLICE, self.api_slice());
        Box::pin(run(&self.context, "shore", "tide")).await
    }

    /// What new servers read from their `ConfigMap`.
    fn mounted_file(&self, name: &str) -> String {
        let pod = &self.api.get(SERVERS)["spec"]["template"]["spec"];
        let volumes = pod["volumes"].as_array().unwrap();
        let config = volumes.iter().find(|volume| volume["name"] == "config").unwrap();
        let config = config["configMap"]["name"].as_str().unwrap();
        let config = self
            .api
            .get(&format!("/api/v1/namespaces/shore/configmaps/{config}"));
        config["data"][name].as_str().unwrap().to_owned()
    }

    /// What the `EndpointSlice` controller makes of labels and readiness.
    fn api_slice(&self) -> Value {
        let ready = |pod: &Value| pod["status"]["conditions"][0]["status"] == "True";
        let pods = (0..3).map(|number| {
            self.api
                .get(&format!("/api/v1/namespaces/shore/pods/tide-{number}"))
        });
        let active = pods.filter(|pod| pod["metadata"]["labels"]["zonetide.dev/api"] == "active");
        let endpoints: Vec<Value> = active
            .map(|pod| {
                json!({"addresses": ["10.0.0.9"], "conditions": {"ready": ready(&pod)},
                    "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]}})
            })
            .collect();
        json!({"metadata": {"name": "tide-api-x"}, "addressType": "IPv4", "endpoints": endpoints})
    }

    fn condition(&self, type_: &str) -> Value {
        let cluster = self.api.get(CLUSTER);
        let list = cluster["status"]["conditions"].as_array().unwrap();
        list.iter()
            .find(|condition| condition["type"] == type_)
            .cloned()
            .unwrap()
    }
}

/// As objects of the `DnsCluster` have it.
fn owner() -> Value {
    json!({"apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsCluster", "name": "tide", "uid": "cluster-uid", "controller": true})
}

fn store_pod() -> Value {
    json!({
        "metadata": {"name": "tide-garage-0", "labels": {
            "app.kubernetes.io/name": "zonetide-garage", "controller-revision-hash": "new",
        }},
        "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// `secrets/tide-garage` and the like.
fn short(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let parts: Vec<&str> = change.path.split('/').collect();
            let from = parts.iter().position(|part| *part == "shore").unwrap() + 1;
            parts[from..].join("/")
        })
        .collect()
}

fn events(changes: &[Change]) -> Vec<&str> {
    changes
        .iter()
        .filter_map(|change| change.body["reason"].as_str())
        .collect()
}
