//! `health`: from when on `/healthz` warns, and from when on it fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;
use crate::status::{HealthRules, Limits};

/// Between two evaluations there is at least this.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Listing the store.
    pub storage_list: Check,
    /// Getting snapshots from the store into the database.
    pub storage_load: Check,
    /// Storing snapshots of the database.
    pub storage_store: Check,
    /// From the start until the database has all that the store had.
    pub start: Start,
}

/// How long something may fail.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// How often it is looked at for the log. `/healthz` itself always answers for the moment it is asked.
    pub interval: Span,
    pub warn_duration: Span,
    pub error_duration: Span,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            interval: Span::seconds(5),
            warn_duration: Span::seconds(60),
            error_duration: Span::seconds(5 * 60),
        }
    }
}

/// How long a start may take.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    pub interval: Span,
    pub warn_duration: Span,
    pub error_duration: Span,
    /// A start that takes too long shows in the status of `/healthz`.
    pub report_healthz: bool,
    /// `/healthz` has `startup_<database>` in its metadata: false until the start is done.
    pub report_metadata: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            interval: Span::seconds(1),
            warn_duration: Span::seconds(60),
            error_duration: Span::seconds(5 * 60),
            report_healthz: false,
            report_metadata: true,
        }
    }
}

fn limits(interval: Span, warn: Span, error: Span) -> Limits {
    Limits {
        interval: interval.0.max(SHORTEST_INTERVAL),
        warn: warn.0,
        error: error.0,
    }
}

impl Health {
    /// The rules as the status applies them.
    pub fn rules(&self) -> HealthRules {
        let check = |check: Check| limits(check.interval, check.warn_duration, check.error_duration);
        let start = self.start;
        HealthRules {
            list: check(self.storage_list),
            load: check(self.storage_load),
            store: check(self.storage_store),
            start: limits(start.interval, start.warn_duration, start.error_duration),
            report_start: start.report_healthz,
            start_in_metadata: start.report_metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_lightning_streams_default() {
        let text = "storage_list: {warn_duration: 10s}\nstart: {report_healthz: true, interval: 10ms}\n";
        let rules = serde_saphyr::from_str::<Health>(text).unwrap().rules();
        assert_eq!(rules.list.warn, Duration::from_secs(10));
        assert_eq!(rules.list.error, Duration::from_secs(300));
        assert_eq!(rules.store.warn, Duration::from_secs(60));
        assert_eq!(rules.load.interval, Duration::from_secs(5));
        assert!(rules.report_start && rules.start_in_metadata);
        assert_eq!(rules.start.interval, SHORTEST_INTERVAL);
        assert!(!Health::default().rules().report_start);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        for text in [
            "storage_lst: {}",
            "storage_list: {warn: 1s}",
            "start: {report: true}",
        ] {
            assert!(serde_saphyr::from_str::<Health>(text).is_err(), "{text}");
        }
    }
}
