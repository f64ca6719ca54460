//! What is to be restored.

use std::str::FromStr as _;

use domain::base::Name;
use jiff::Timestamp;
use serde::Deserialize;

const LONGEST_ID: usize = 64;
const MOST_ZONES: usize = 100;
const LONGEST_ZONE: usize = 255;

/// An order. One that says what this agent does not know is refused: it could be a restriction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Two orders of one ID are the same.
    pub id: String,
    /// As it was then (RFC 3339).
    pub at: String,
    #[serde(default)]
    pub zones: Vec<String>,
    #[serde(default)]
    pub all: bool,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub despite_gaps: bool,
}

impl Order {
    /// None where it is no order.
    pub fn checked(self) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let has_id = (1..=LONGEST_ID).contains(&self.id.len()) && self.id.bytes().all(is_plain);
        let is_zone = |zone: &String| zone.len() <= LONGEST_ZONE && Name::<Vec<u8>>::from_str(zone).is_ok();
        let has_scope = self.zones.is_empty() == self.all
            && self.zones.len() <= MOST_ZONES
            && self.zones.iter().all(is_zone);
        let at = Timestamp::from_str(&self.at);
        let has_time = at.is_ok_and(|at| at >= Timestamp::UNIX_EPOCH);
        (has_id && has_scope && has_time).then_some(self)
    }

    /// The command that does it. Each value is part of its option, so that none can pass for an option itself.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["restore".to_owned(), "--output=json".to_owned()];
        arguments.push(format!("--at={}", self.at));
        arguments.extend(self.zones.iter().map(|zone| format!("--zone={zone}")));
        for (is_set, option) in [
            (self.all, "--all"),
            (self.dry_run, "--dry-run"),
            (self.despite_gaps, "--despite-gaps"),
        ] {
            if is_set {
                arguments.push(option.to_owned());
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(change: &Value) -> Option<Order> {
        let mut text = json!({"id": "0a-1", "at": "2026-11-30T10:00:00Z", "zones": ["zone.example"]});
        for (key, value) in change.as_object().unwrap() {
            text[key] = value.clone();
        }
        serde_json::from_value::<Order>(text).ok()?.checked()
    }

    #[test]
    fn an_order_becomes_the_command_that_a_person_would_type() {
        let of_zones = order(&json!({"zones": ["-x", "b.example"], "dryRun": true})).unwrap();
        assert_eq!(
            of_zones.arguments(),
            [
                "restore",
                "--output=json",
                "--at=2026-11-30T10:00:00Z",
                "--zone=-x",
                "--zone=b.example",
                "--dry-run"
            ]
        );
        let of_all = order(&json!({"zones": [], "all": true, "despiteGaps": true})).unwrap();
        assert_eq!(of_all.arguments()[3..], ["--all", "--despite-gaps"]);
    }

    #[test]
    fn what_is_no_order_or_says_more_than_is_known_is_refused() {
        for change in [
            json!({"id": ""}),
            json!({"id": "../x"}),
            json!({"id": "a".repeat(65)}),
            json!({"at": "90m"}),
            json!({"at": "--all"}),
            json!({"zones": []}),
            json!({"zones": [""]}),
            json!({"zones": ["a..b"]}),
            json!({"at": "1969-12-31T23:59:59Z"}),
            json!({"zones": vec!["a"; 101]}),
            json!({"zones": ["a".repeat(256)]}),
            json!({"all": true}),
            json!({"onlyKeys": true}),
        ] {
            assert_eq!(order(&change), None, "{change}");
        }
    }
}
