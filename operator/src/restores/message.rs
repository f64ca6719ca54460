//! What the operator and an agent say to each other of a restore. Agents that say more are understood as far as it goes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use zonetide_crds::DnsRestoreSpec;

/// What an agent is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The UID of the `DnsRestore`: two orders of one ID are the same.
    pub id: String,
    pub at: String,
    pub zones: Vec<String>,
    pub all: bool,
    pub dry_run: bool,
    pub despite_gaps: bool,
}

impl Order {
    pub fn new(id: &str, spec: &DnsRestoreSpec) -> Self {
        Self {
            id: id.to_owned(),
            at: spec.at.0.to_string(),
            zones: spec.zones.clone(),
            all: spec.all,
            dry_run: spec.dry_run,
            despite_gaps: spec.despite_gaps,
        }
    }
}

/// What came of it so far.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Account {
    pub state: State,
    pub lines: Vec<String>,
    pub total_lines: i64,
    /// What is missing in the history.
    pub notes: Vec<String>,
    pub plan: Option<Amount>,
    pub result: Option<Written>,
    pub failed: Option<Failure>,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    #[default]
    Planning,
    Running,
    Done,
    Failed,
}

/// How much is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Amount {
    pub zones: i64,
    pub rrsets: i64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Written {
    /// Entries of the databases.
    pub written: i64,
    /// What somebody else wrote meanwhile.
    pub left: i64,
}

/// Why it could not be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    pub reason: Why,
    pub message: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Why {
    NotPast,
    UnknownZone,
    BeforeHistory,
    NoHistory,
    Gaps,
    Store,
    /// The command ended without saying why: it was killed.
    Ended,
    #[default]
    #[serde(other)]
    Other,
}

impl Why {
    /// Another try would come to the same.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Store | Self::Ended | Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_agent_says_is_understood_also_when_it_says_more() {
        let account: Account = serde_json::from_value(json!({
            "id": "1", "state": "failed", "lines": ["+ a"], "totalLines": 7, "notes": [], "more": 1,
            "plan": {"zones": 1, "rrsets": 2, "entries": 9}, "result": {"written": 3, "left": 4},
            "failed": {"reason": "Brandnew", "message": "m"}, "startedAt": "2026-11-30T10:00:00.5Z",
        }))
        .unwrap();
        assert_eq!(account.state, State::Failed);
        assert_eq!(account.plan, Some(Amount { zones: 1, rrsets: 2 }));
        assert_eq!(account.result, Some(Written { written: 3, left: 4 }));
        assert_eq!(account.failed.unwrap().reason, Why::Other);
        assert!(Why::Gaps.is_final() && !Why::Ended.is_final() && !Why::Other.is_final());
    }

    #[test]
    fn an_order_says_the_whole_spec_and_the_time_in_full() {
        let spec: DnsRestoreSpec = serde_json::from_value(json!({
            "cluster": "tide", "at": "2026-11-30T11:00:00.25+01:00", "zones": ["a.example"], "dryRun": true,
        }))
        .unwrap();
        assert_eq!(
            serde_json::to_value(Order::new("uid", &spec)).unwrap(),
            json!({"id": "uid", "at": "2026-11-30T10:00:00.25Z", "zones": ["a.example"], "all": false,
                "dryRun": true, "despiteGaps": false})
        );
    }
}
