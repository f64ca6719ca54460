//! What the operator reports about a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator has seen and done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DnsClusterStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// How many servers exist.
    #[serde(default)]
    pub replicas: i32,

    /// How many servers are in sync and serving.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Label selector of the servers' pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// `Ready`, `ObjectStoreReady` and `Progressing`, and `Paused` while the annotation zonetide.dev/paused is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The bucket in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStoreStatus>,

    /// Each server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".to_owned()]))]
    pub instances: Vec<InstanceStatus>,

    /// The pod that the Service `NAME-api` sends API requests to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_pod: Option<String>,
}

/// The bucket in use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStoreStatus {
    /// URL of the S3 service.
    pub endpoint: String,
    /// Name of the bucket.
    pub bucket: String,
    /// What the names of this cluster's objects start with.
    pub prefix: String,
}

/// One server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Name of its pod.
    pub pod: String,
    /// Its name in the bucket.
    pub instance: String,
    /// Whether it is in sync and serving.
    pub ready: bool,
}
