//! The kind itself: its spec's top level, its columns and the rules on its name.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    DnsClusterStatus, HistorySpec, ObjectStoreSpec, PowerDnsSpec, ProtectionSpec, ReplicationSpec,
    SchedulingSpec, ServiceSpec, StorageSpec,
};

/// Set to `"true"` on a DnsCluster, the operator leaves everything of it as it is.
pub const PAUSED_ANNOTATION: &str = "zonetide.dev/paused";

/// Authoritative DNS servers that all accept writes and all serve every change, with an S3 bucket as all they share.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "zonetide.dev",
    version = "v1alpha1",
    kind = "DnsCluster",
    plural = "dnsclusters",
    shortname = "dnsc",
    namespaced,
    cel,
    status = "DnsClusterStatus",
    derive = "PartialEq",
    doc = "Authoritative PowerDNS servers that all accept writes and all serve every change, with an S3 bucket as the only thing they share.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether every server is as the spec says and serves, and API requests reach one"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".spec.replicas",
        description = "Servers wanted"
    ),
    printcolumn(
        name = "Serving",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Servers that serve"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why the cluster is ready or not; kubectl describe says more"
    ),
    printcolumn(
        name = "PowerDNS",
        type_ = "string",
        json_path = ".status.powerdnsVersion",
        description = "The release series of PowerDNS that the servers' data are of",
        priority = 1
    ),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".status.objectStore.source",
        description = "Where the keys to the bucket come from",
        priority = 1
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.objectStore.credentialsExpireAt",
        description = "When the keys end; they are renewed long before",
        priority = 1
    ),
    printcolumn(
        name = "Store",
        type_ = "string",
        json_path = ".status.objectStore.endpoint",
        description = "The S3 endpoint",
        priority = 1
    ),
    printcolumn(
        name = "Bucket",
        type_ = "string",
        json_path = ".status.objectStore.bucket",
        description = "The bucket that the servers share",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message(
        "metadata.name may have at most 40 characters, because names of pods and instances are made from it: choose a shorter one"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name must start with a letter and have only a-z, 0-9 and -, because Services are named after it: choose another one"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DnsClusterSpec {
    /// How many DNS servers to run. Each has its own volume with all zones, and each accepts writes.
    #[serde(default = "default_replicas")]
    #[x_kube(validation = Rule::new("self >= 1").message(
        "spec.replicas must be at least 1: to stop all servers set spec.objectStore.deletionPolicy to Retain and delete the DnsCluster, its volumes and its bucket stay"
    ))]
    pub replicas: i32,

    /// The PowerDNS servers: their image, settings and API key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub powerdns: PowerDnsSpec,

    /// The bucket that the servers share: one that the operator runs (`managed`), or any S3 service (`s3`).
    pub object_store: ObjectStoreSpec,

    /// How changes travel between the servers.
    // Always present, else the rule that the site stays would not see one appear.
    #[serde(default)]
    pub replication: ReplicationSpec,

    /// What was written before, kept in the bucket to be seen and taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub history: HistorySpec,

    /// What looks like a mistake is held back before other servers have it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protection: ProtectionSpec,

    /// The volume of each server, which holds its copy of all zones.
    #[serde(default)]
    pub storage: StorageSpec,

    /// The Service that answers DNS, `NAME-dns`.
    #[serde(default)]
    pub service: ServiceSpec,

    /// Where the servers may run. Without an affinity here they avoid sharing a node when they can.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scheduling: SchedulingSpec,

    /// How many servers a drain of nodes may take away at once.
    #[serde(default)]
    pub pod_disruption_budget: PodDisruptionBudgetSpec,
}

/// The PodDisruptionBudget of the DNS servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodDisruptionBudgetSpec {
    /// How many servers may be evicted at once, as a number or a percentage.
    #[serde(default = "default_max_unavailable")]
    pub max_unavailable: IntOrString,
}

impl Default for PodDisruptionBudgetSpec {
    fn default() -> Self {
        Self {
            max_unavailable: default_max_unavailable(),
        }
    }
}

fn default_replicas() -> i32 {
    2
}

fn default_max_unavailable() -> IntOrString {
    IntOrString::Int(1)
}

/// Keeps objects that we write as short as what a user would write.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
