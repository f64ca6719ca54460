//! `sweeper`: the removal of old deletion marks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Span, value_error};

/// Removal of old deletion marks.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweeper {
    pub enabled: bool,
    pub retention_days: f64,
    pub interval: Span,
    pub first_interval: Span,
    pub lock_duration: Span,
    pub release_duration: Span,
    /// How long before their removal marks in snapshots are already left out; 0: 1 % of the retention.
    pub retention_load_cutoff_duration: Span,
}

impl Default for Sweeper {
    fn default() -> Self {
        Self {
            enabled: false,
            retention_days: 370.0,
            interval: Span::seconds(6 * 3600),
            first_interval: Span::seconds(10 * 60),
            lock_duration: Span::milliseconds(50),
            release_duration: Span::milliseconds(50),
            retention_load_cutoff_duration: Span::seconds(0),
        }
    }
}

impl Sweeper {
    /// Age from which marks are removed.
    pub fn retention(&self) -> Duration {
        Duration::try_from_secs_f64(self.retention_days * 86_400.0).unwrap_or(Duration::MAX)
    }

    /// Age from which marks in snapshots are left out; never less than a quarter of the retention.
    pub fn load_cutoff(&self) -> Duration {
        let retention = self.retention();
        let before = match self.retention_load_cutoff_duration.0 {
            Duration::ZERO => retention / 100,
            configured => configured.min(retention / 4 * 3),
        };
        retention.saturating_sub(before)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let days = self.retention_days;
        if self.enabled && (days < 1.0 || !days.is_finite()) {
            let reason = format!(
                "{days} is too short: a server that was away for longer would bring deleted records back; set at least 1"
            );
            return Err(value_error("sweeper.retention_days", reason));
        }
        for (key, span) in [
            ("sweeper.interval", self.interval),
            ("sweeper.lock_duration", self.lock_duration),
        ] {
            if self.enabled && span.0.is_zero() {
                return Err(value_error(
                    key,
                    "0 would never let go: remove it or set a longer one",
                ));
            }
        }
        Ok(())
    }
}
