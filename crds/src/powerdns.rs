//! What a user may say about the PowerDNS servers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The PowerDNS servers: their image, settings and API key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PowerDnsSpec {
    /// The release series of PowerDNS, `"5.1"` or `"4.9"`, in quotes. It decides the default image, the settings that the operator
    /// writes, and the schema of the databases, so it cannot change once there are volumes.
    /// Default: "5.1" for a new DnsCluster; one whose volumes have data keeps what these are of, see `status.powerdnsVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<PowerDnsVersion>,

    /// An image of that version with `pdns_server` and its LMDB backend: 5.1.4 or a later 5.1, 4.9.7 or a later 4.9. It is asked for its
    /// version when it runs, and the condition Ready says what does not fit.
    /// Default: the image for the version that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// When to pull the image. Default: what the operator was installed with, else Kubernetes' own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Settings for pdns.conf, like `default-ttl: "3600"`. Settings that the operator owns, and values that PowerDNS would not
    /// read as written, are refused with a message that says what to do. A change restarts the servers one at a time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::owned_settings::config_schema")]
    pub config: BTreeMap<String, String>,

    /// The key for PowerDNS' HTTP API. Default: the operator makes one and keeps it in the Secret `NAME-api-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<ApiKeySecretRef>,

    /// CPU and memory of the PowerDNS container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// A release series of PowerDNS that servers can run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerDnsVersion {
    #[serde(rename = "5.1")]
    V5_1,
    #[serde(rename = "4.9")]
    V4_9,
}

impl PowerDnsVersion {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::V5_1, Self::V4_9];

    /// As in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V5_1 => "5.1",
            Self::V4_9 => "4.9",
        }
    }

    /// The schema of its LMDB databases.
    pub fn schema(self) -> u32 {
        match self {
            Self::V5_1 => 6,
            Self::V4_9 => 5,
        }
    }
}

/// A key of a Secret in the namespace of the DnsCluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Which of its keys holds the API key.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// When the kubelet pulls an image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

fn default_key() -> String {
    "api-key".to_owned()
}
