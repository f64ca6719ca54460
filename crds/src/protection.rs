//! `spec.protection`: what looks like a mistake is held back.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What looks like a mistake is held back before other servers have it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProtectionSpec {
    /// More zones than this that are deleted on a server within a minute are held back there, with all that is written there
    /// later, until somebody decides. Default: nothing is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_deleted_zones_per_minute: Option<u32>,
}
