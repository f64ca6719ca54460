//! One node of the managed Garage with three: what it says of itself and of the others, and what it is told to do.

use std::collections::BTreeMap;

use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use super::garage_api::{GarageApi, GarageApiError};

/// All have the same, whatever it is.
const CAPACITY: u64 = 1 << 30;
const NODE: &[(&str, &str)] = &[("node", "self")];

/// What a node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    pub id: String,
    /// Of the layout that it knows; 0: of none.
    pub layout: u64,
    /// Every node that it knows, itself too.
    pub known: Vec<KnownNode>,
    /// How many entries it holds, by table.
    pub entries: BTreeMap<String, u64>,
    /// Blocks that it has to look after: to fetch, or to see whether they are still needed.
    pub blocks_to_see_to: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    pub id: String,
    pub is_up: bool,
    /// The pod that it has a role as.
    pub role: Option<String>,
    /// It has a role in an older layout, which some node still goes by.
    pub draining: bool,
}

/// What a node is told to do. All of it is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeOrder {
    /// Connects to others: `ID@HOST:PORT`.
    Connect(Vec<String>),
    /// Makes the layout of this version, in which these have no role any more, and those with their pods have one.
    Layout {
        version: u64,
        without: Vec<String>,
        with: Vec<(String, String)>,
    },
    /// Waits no longer for nodes that are gone to learn of the layout.
    SkipDead(u64),
    /// Tells the others what they lack.
    SyncTables,
    /// Fetches what it lacks. One that was empty does so at once.
    FetchBlocks { empty: bool },
}

/// A node that can be asked.
pub trait StoreNode: Send + Sync {
    fn look(&self) -> BoxFuture<'_, Result<NodeView, GarageApiError>>;

    fn tell<'a>(&'a self, order: &'a NodeOrder) -> BoxFuture<'a, Result<(), GarageApiError>>;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterStatus {
    layout_version: u64,
    nodes: Vec<StatusNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusNode {
    id: String,
    is_up: bool,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    draining: bool,
}

#[derive(Deserialize)]
struct Role {
    zone: String,
}

/// By node, of which there is one.
#[derive(Deserialize)]
struct OfNodes<T> {
    success: BTreeMap<String, T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    table_stats: Vec<TableStatistics>,
    block_manager_stats: BlockStatistics,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableStatistics {
    table_name: String,
    items: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStatistics {
    resync_queue_len: u64,
}

impl GarageApi {
    async fn look_around(&self) -> Result<NodeView, GarageApiError> {
        let status: ClusterStatus = self.get("GetClusterStatus", &[]).await?;
        let statistics: OfNodes<Statistics> = self.get("GetNodeStatistics", NODE).await?;
        let known = status.nodes.into_iter().map(|node| KnownNode {
            id: node.id,
            is_up: node.is_up,
            role: node.role.map(|role| role.zone),
            draining: node.draining,
        });
        let mut view = NodeView {
            layout: status.layout_version,
            known: known.collect(),
            ..NodeView::default()
        };
        for (id, statistics) in statistics.success {
            let tables = statistics.table_stats.into_iter();
            view.entries = tables.map(|table| (table.table_name, table.items)).collect();
            view.blocks_to_see_to = statistics.block_manager_stats.resync_queue_len;
            view.id = id;
        }
        Ok(view)
    }

    async fn carry_out(&self, order: &NodeOrder) -> Result<(), GarageApiError> {
        match order {
            NodeOrder::Connect(peers) => self.post::<Value>("ConnectClusterNodes", &json!(peers)).await,
            NodeOrder::Layout {
                version,
                without,
                with,
            } => {
                // What an attempt before this one has left.
                self.post::<Value>("RevertClusterLayout", &json!({})).await?;
                let removed = without.iter().map(|id| json!({"id": id, "remove": true}));
                // Each is a zone of its own: what is stored is stored by all three anyway.
                let added = with
                    .iter()
                    .map(|(id, pod)| json!({"id": id, "zone": pod, "capacity": CAPACITY, "tags": []}));
                let roles: Vec<Value> = removed.chain(added).collect();
                self.post::<Value>("UpdateClusterLayout", &json!({"roles": roles}))
                    .await?;
                // Refused when another layout of this version was made meanwhile.
                self.post("ApplyClusterLayout", &json!({"version": version}))
                    .await
            }
            NodeOrder::SkipDead(version) => {
                let body = json!({"version": version, "allowMissingData": false});
                match self.post("ClusterLayoutSkipDeadNodes", &body).await {
                    // Nobody goes by an older layout any more.
                    Err(error) if error.is_bad_request() => Ok(Value::Null),
                    other => other,
                }
            }
            NodeOrder::SyncTables => self.repair("tables").await,
            NodeOrder::FetchBlocks { empty } => {
                // Blocks that a table told it of wait in a queue for minutes, and stay there when they are put into it again.
                if *empty {
                    self.repair("clearResyncQueue").await?;
                }
                self.repair("blocks").await
            }
        }
        .map(drop)
    }

    async fn repair(&self, what: &str) -> Result<Value, GarageApiError> {
        self.post_to("LaunchRepairOperation", NODE, &json!({"repairType": what}))
            .await
    }
}

impl StoreNode for GarageApi {
    fn look(&self) -> BoxFuture<'_, Result<NodeView, GarageApiError>> {
        self.look_around().boxed()
    }

    fn tell<'a>(&'a self, order: &'a NodeOrder) -> BoxFuture<'a, Result<(), GarageApiError>> {
        self.carry_out(order).boxed()
    }
}
