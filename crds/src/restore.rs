//! The kind `DnsRestore`: zones of a DnsCluster as they were at a time, written once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::is_default;

/// Lines of the difference that `status.plan` has at most.
pub const PLAN_LINES: usize = 50;

/// Zones of a DnsCluster as they were at a time, written as new changes. It is done once; for another one make another object.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "zonetide.dev",
    version = "v1alpha1",
    kind = "DnsRestore",
    plural = "dnsrestores",
    shortname = "dnsr",
    namespaced,
    cel,
    status = "DnsRestoreStatus",
    derive = "PartialEq",
    doc = "Zones of a DnsCluster as they were at a time, written as new changes, once.",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.cluster",
        description = "The DnsCluster"
    ),
    printcolumn(
        name = "At",
        type_ = "string",
        json_path = ".spec.at",
        description = "As it was then"
    ),
    printcolumn(
        name = "Zones",
        type_ = "string",
        json_path = ".status.zones",
        description = "What is restored"
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "How far it is; kubectl describe says more"
    ),
    printcolumn(
        name = "DryRun",
        type_ = "boolean",
        json_path = ".spec.dryRun",
        description = "Whether it only shows what would change",
        priority = 1
    ),
    printcolumn(
        name = "RRsets",
        type_ = "integer",
        json_path = ".status.result.rrsets",
        description = "RRsets that changed",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        description = "What is being done, or what came of it",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
// Columns of one type are no mistake.
#[allow(clippy::duplicated_attributes)]
#[x_kube(
    validation = Rule::new("self == oldSelf").message(
        "the spec of a DnsRestore cannot change, since it is done once: make another DnsRestore"
    ),
    validation = Rule::new("(has(self.zones) && size(self.zones) > 0) != (has(self.all) && self.all)").message(
        "spec needs either zones or all: name zones in spec.zones, or set spec.all to true for everything, TSIG keys included"
    )
)]
pub struct DnsRestoreSpec {
    /// Name of the DnsCluster, in the same namespace.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub cluster: String,

    /// As it was then, such as 2026-11-30T10:00:00Z: a time within the DnsCluster's `spec.history.keep`.
    pub at: Time,

    /// The zones to restore, with their DNSSEC keys and metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(
            length(min = 1, max = 255),
            regex(pattern = r"^([.]|([!-\-/-~]+[.])*[!-\-/-~]+[.]?)$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub zones: Vec<String>,

    /// Restore everything, TSIG keys included: zones that were made since are removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub all: bool,

    /// Only show in the status what would change.
    #[serde(default)]
    pub dry_run: bool,

    /// Go on though something is missing in the history: what is missing is taken back as well.
    #[serde(default)]
    pub despite_gaps: bool,
}

/// How far it is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestorePhase {
    /// It waits, or it is looked at what there was and what differs. Nothing is written.
    #[default]
    Planning,
    /// It is written.
    Running,
    /// It is as it was, or the plan is there if only that was asked for.
    Done,
    /// It was given up. The condition Ready says why and what to do.
    Failed,
}

/// What came of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DnsRestoreStatus {
    /// The generation of the spec that this status is about; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// How far it is. `Done` and `Failed` are for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,

    /// What is restored, as the column Zones shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<String>,

    /// The pod that does it, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,

    /// How often it was begun: again where the agent was restarted or the command was killed, three times at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub begun: i64,

    /// `Ready` once it is done, and `Stalled` once it has failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// What was to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RestorePlan>,

    /// What was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RestoreResult>,
}

/// The difference between now and then.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RestorePlan {
    /// Its first lines, at most 50: `-` before what goes, `+` before what comes, `~` before what changes in a way that is not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// How many lines there are.
    pub total_lines: i64,
    /// Zones of which something changes.
    pub zones: i64,
    /// RRsets that change, come or go.
    pub rrsets: i64,
    /// What is missing in the history, the first 10 of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What was changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RestoreResult {
    /// Zones of which something changed; 0 after a dry run. If something was left, at most so many.
    pub zones: i64,
    /// RRsets that changed, came or went; 0 after a dry run. If something was left, at most so many.
    pub rrsets: i64,
    /// Entries of the databases that were written, with keys, metadata and indexes: by the last run, if it was begun more than once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub written: i64,
    /// Entries that somebody else wrote meanwhile, and that stayed as they were.
    #[serde(default, skip_serializing_if = "is_default")]
    pub left: i64,
    /// The pod that did it.
    pub server: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}
