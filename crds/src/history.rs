//! `spec.history`: what was written before.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What was written before.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HistorySpec {
    /// For how long every change can be seen and taken back, like `30d` or `48h`; `0d`: nothing is kept. Default: the agent's, 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 10))]
    #[x_kube(validation = Rule::new(
        "self.matches('^(0d|0h|[1-9][0-9]{0,4}d|(2[4-9]|[3-9][0-9]|[1-9][0-9]{2,5})h)$')"
    ).message(
        "spec.history.keep must be 0d, or a time of at least a day, like 30d or 48h"
    ))]
    pub keep: Option<String>,
}
