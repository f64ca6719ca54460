//! A managed store with three nodes.

mod growing;
mod mending;

use std::collections::BTreeMap;

use super::*;
use crate::objectstore::{GarageApiError, KnownNode, NodeOrder, NodeView};

const NODES: &str = "{objectStore: {managed: {replicas: 3}}}";
const SERVICE: &str = "/api/v1/namespaces/shore/services/tide-garage";

/// What the nodes of a Garage know together, and what they were told. A pod's node is named after its address.
#[derive(Debug, Default)]
pub(super) struct FakeNodes {
    pub layout: u64,
    /// Pods by the ID of the node that has a role as this.
    pub roles: BTreeMap<String, String>,
    pub draining: Vec<String>,
    pub connected: bool,
    /// Entries in each table.
    pub entries: BTreeMap<String, u64>,
    pub blocks: BTreeMap<String, u64>,
    /// Nodes that answer.
    pub alive: Vec<String>,
    pub told: Vec<(String, NodeOrder)>,
}

pub(super) struct FakeNode {
    all: Arc<Mutex<FakeNodes>>,
    id: String,
}

impl FakeNode {
    pub(super) fn new(all: Arc<Mutex<FakeNodes>>, admin_url: &str) -> Self {
        let id = admin_url.trim_start_matches("http://").trim_end_matches(":3903");
        Self {
            all,
            id: id.to_owned(),
        }
    }
}

impl StoreNode for FakeNode {
    fn look(&self) -> BoxFuture<'_, Result<NodeView, GarageApiError>> {
        let all = self.all.lock().unwrap();
        if !all.alive.contains(&self.id) {
            return ready(Ok(NodeView::default()));
        }
        let mut ids: Vec<String> = all.roles.keys().cloned().collect();
        ids.extend(
            all.alive
                .iter()
                .filter(|id| !all.roles.contains_key(*id))
                .cloned(),
        );
        ids.extend(
            all.draining
                .iter()
                .filter(|id| !all.roles.contains_key(*id))
                .cloned(),
        );
        let known = ids.into_iter().map(|id| KnownNode {
            is_up: id == self.id || (all.connected && all.alive.contains(&id)),
            role: all.roles.get(&id).cloned(),
            draining: all.draining.contains(&id),
            id,
        });
        let count = all.entries.get(&self.id).copied().unwrap_or_default();
        let tables = [
            "admin_token",
            "bucket_alias",
            "bucket_v2",
            "key",
            "block_ref",
            "multipart_upload",
            "object",
            "version",
        ];
        ready(Ok(NodeView {
            id: self.id.clone(),
            layout: all.layout,
            known: known.collect(),
            entries: tables.map(|table| (table.to_owned(), count)).into(),
            blocks_to_see_to: all.blocks.get(&self.id).copied().unwrap_or_default(),
        }))
    }

    fn tell<'a>(&'a self, order: &'a NodeOrder) -> BoxFuture<'a, Result<(), GarageApiError>> {
        let mut all = self.all.lock().unwrap();
        all.told.push((self.id.clone(), order.clone()));
        match order {
            NodeOrder::Connect(_) => all.connected = true,
            NodeOrder::Layout {
                version,
                without,
                with,
            } => {
                all.layout = *version;
                for id in without {
                    all.roles.remove(id);
                    all.draining.push(id.clone());
                }
                all.roles.extend(with.iter().cloned());
            }
            NodeOrder::SkipDead(_) => all.draining.clear(),
            NodeOrder::SyncTables | NodeOrder::FetchBlocks { .. } => {}
        }
        ready(Ok(()))
    }
}

fn pod_path(number: u8) -> String {
    format!("/api/v1/namespaces/shore/pods/tide-garage-{number}")
}

/// A scene whose Kubernetes does nothing by itself.
struct Stage {
    scene: Scene,
}

impl Stage {
    fn new(spec: &str) -> Self {
        let scene = Scene::new(spec);
        scene.api.remove(GARAGE);
        scene.api.remove(GARAGE_POD);
        Self { scene }
    }

    fn nodes(&self) -> MutexGuard<'_, FakeNodes> {
        self.scene.store.1.lock().unwrap()
    }

    fn pod(&self, number: u8, single: bool, ready: bool) {
        let command = if single {
            json!(["/garage", "server", "--single-node"])
        } else {
            json!(["/garage", "server"])
        };
        let path = pod_path(number);
        let revision = if single { "single" } else { "new" };
        self.scene.api.put(
            &path,
            json!({
                "metadata": {"name": format!("tide-garage-{number}"), "annotations": {}, "labels": {
                    "app.kubernetes.io/name": "zonetide-garage", "controller-revision-hash": revision,
                }},
                "spec": {"containers": [{"name": "garage", "command": command}]},
                "status": {"podIP": format!("10.0.1.{number}"),
                    "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
            }),
        );
        let id = format!("10.0.1.{number}");
        let mut nodes = self.nodes();
        if !nodes.alive.contains(&id) {
            nodes.alive.push(id);
        }
    }

    /// What the `StatefulSet`'s controller says of it.
    fn seen(&self, current: &str) {
        let mut set = self.scene.api.get(GARAGE);
        set["metadata"]["generation"] = json!(1);
        set["metadata"]["name"] = json!("tide-garage");
        set["status"] = json!({"observedGeneration": 1, "replicas": 3, "updateRevision": "new", "currentRevision": current});
        self.scene.api.put(GARAGE, set);
    }

    fn annotation(&self, number: u8) -> Value {
        let pod = self.scene.api.get(&pod_path(number));
        pod["metadata"]["annotations"]["zonetide.dev/store-filled"].clone()
    }

    fn is_open(&self, number: u8) -> bool {
        let pod = self.scene.api.get(&pod_path(number));
        pod["metadata"]["labels"]["zonetide.dev/store"] == "open"
    }

    /// Replicas, partition, and whether the Service leads to open nodes only.
    fn shape(&self) -> (i64, i64, bool) {
        let set = self.scene.api.get(GARAGE);
        let service = self.scene.api.get(SERVICE);
        (
            set["spec"]["replicas"].as_i64().unwrap(),
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
                .as_i64()
                .unwrap_or(-1),
            service["spec"]["selector"]["zonetide.dev/store"] == "open",
        )
    }

    fn message(&self) -> String {
        let condition = self.scene.condition("ObjectStoreReady");
        format!(
            "{} {}",
            condition["status"].as_str().unwrap(),
            condition["message"].as_str().unwrap()
        )
    }

    async fn run(&self) -> Vec<Change> {
        self.scene.run().await
    }

    /// What is written on the pods was written a while ago.
    fn later(&self) {
        for number in 0..3 {
            let path = pod_path(number);
            let mut pod = self.scene.api.get(&path);
            let annotation = &mut pod["metadata"]["annotations"]["zonetide.dev/store-filled"];
            if let Some((word, _)) = annotation.as_str().and_then(|value| value.split_once(' ')) {
                *annotation = json!(format!("{word} 2026-01-01T00:00:00Z"));
                self.scene.api.put(&path, pod);
            }
        }
    }

    fn spec(&self, spec: &str) {
        let mut edited = self.scene.api.get(CLUSTER);
        edited["spec"] = serde_json::to_value(cluster(spec)).unwrap()["spec"].clone();
        self.scene.api.put(CLUSTER, edited);
    }

    /// A claim of a further node.
    fn claim(&self) {
        let labels =
            json!({"app.kubernetes.io/instance": "tide", "app.kubernetes.io/name": "zonetide-garage"});
        let claim = json!({"metadata": {"name": "data-tide-garage-1", "labels": labels}});
        let path = "/api/v1/namespaces/shore/persistentvolumeclaims/data-tide-garage-1";
        self.scene.api.put(path, claim);
    }

    fn pause(&self) {
        let mut edited = self.scene.api.get(CLUSTER);
        edited["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
        self.scene.api.put(CLUSTER, edited);
    }

    /// As many entries for each of these pods' nodes.
    fn entries(&self, numbers: impl IntoIterator<Item = u8>, count: u64) {
        let mut nodes = self.nodes();
        for number in numbers {
            nodes.entries.insert(format!("10.0.1.{number}"), count);
        }
    }

    fn was_told(&self, order: &NodeOrder) -> bool {
        self.nodes().told.iter().any(|(_, told)| told == order)
    }

    /// Three nodes that hold everything.
    async fn whole() -> Self {
        let stage = Self::new(NODES);
        stage.run().await;
        for number in 0..3 {
            stage.pod(number, false, true);
        }
        stage.seen("new");
        for _ in 0..3 {
            stage.run().await;
            stage.later();
        }
        for _ in 0..3 {
            stage.run().await;
            stage.later();
        }
        stage.nodes().told.clear();
        stage
    }
}
