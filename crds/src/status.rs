//! What the operator reports about a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::PowerDnsVersion;

/// What `status.observedGeneration` is before the operator has looked at an object for the first time: no generation.
pub const NEVER_OBSERVED: i64 = -1;

/// What the operator has seen and done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DnsClusterStatus {
    /// The generation of the spec that this status is about; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// How many servers exist.
    #[serde(default)]
    pub replicas: i32,

    /// How many servers serve.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Label selector of the servers' pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// `Ready`, `ObjectStoreReady`, `CredentialsReady`, `Replicating` and `Progressing`, `Paused` while the annotation
    /// zonetide.dev/paused is set, and `Exposed` while the spec asks for it.
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

    /// Servers of other DnsClusters or Kubernetes clusters, or Lightning Stream, that share the bucket and prefix. At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["instance".to_owned()]))]
    pub other_instances: Vec<OtherInstanceStatus>,

    /// Servers of this DnsCluster that are gone for good, since it was scaled in, and whose objects are still in the bucket: they
    /// are removed once all others have merged them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub retiring_instances: Vec<String>,

    /// The release series of PowerDNS that the servers' data are of. It stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub powerdns_version: Option<PowerDnsVersion>,

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
    /// Where the keys come from: `Garage` and `MinIO` for a managed store, else the field in `credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the keys end. Absent when they do not, or when that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_expire_at: Option<Time>,
    /// When the operator made the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_renewed_at: Option<Time>,
    /// Whether the operator made the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_created: Option<bool>,
    /// Where the managed store is reached from outside: URLs of its S3 API and console.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exposed: Vec<String>,
}

/// One server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Name of its pod.
    pub pod: String,
    /// Its name in the bucket.
    pub instance: String,
    /// Whether it serves.
    pub ready: bool,
    /// When it last stored something in the bucket, to the minute, as of the operator's last look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stored: Option<Time>,
    /// How many seconds the oldest change in the bucket that it has not merged yet is old, at the operator's last look. In whole
    /// minutes: 0 is less than one. Absent when it cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
}

/// A server of somebody else's in the same bucket and prefix.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OtherInstanceStatus {
    /// Its name in the bucket.
    pub instance: String,
    /// When it last stored something there, to the minute, as of the operator's last look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stored: Option<Time>,
}
