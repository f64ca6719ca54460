//! How changes travel between the servers.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How changes travel between the servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.site) == has(oldSelf.site) && (!has(self.site) || self.site == oldSelf.site)").message(
        "spec.replication.site cannot change, it is part of each server's identity in the bucket: set spec.objectStore.deletionPolicy to Retain, delete the DnsCluster, and apply it again with the new site; its volumes and its bucket stay"
    )
)]
pub struct ReplicationSpec {
    /// Names this Kubernetes cluster in instance IDs (`SITE-NAMESPACE-POD`), so that several can share a bucket.
    /// Default: 8 characters of the UID of the namespace kube-system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]+$')").message(
        "spec.replication.site may have only a-z and 0-9, because IDs are split at other characters: choose another one"
    ))]
    pub site: Option<String>,

    /// How often each server looks into the bucket for changes of others, like `1s` or `500ms`. Default: `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s|ms))+$') && self.matches('[1-9]')").message(
        "spec.replication.pollInterval must be a duration above zero, like 1s, 500ms or 1m30s"
    ))]
    pub poll_interval: Option<String>,

    /// How often each server stores a full snapshot even when nothing changed, like `4h`. Default: the agent's, 4h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s|ms))+$') && self.matches('[1-9]')").message(
        "spec.replication.fullSnapshotInterval must be a duration above zero, like 4h or 30m"
    ))]
    pub full_snapshot_interval: Option<String>,

    /// A server that starts while neither the bucket nor an up-to-date server answers serves what it has, if that was in sync
    /// no longer ago than this, like `24h`. `0s`: it waits for the bucket. Default: the agent's, 168h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s|ms))+$')").message(
        "spec.replication.serveStaleFor must be a duration, like 168h or 30m, or 0s to wait for the bucket"
    ))]
    pub serve_stale_for: Option<String>,

    /// CPU and memory of the agent, the container that replicates. A limit of memory that is exceeded ends the container as a whole, and
    /// the server is out of the Service until that runs again: leave room, or set none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}
