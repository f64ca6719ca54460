//! `history`: what was written is kept, to be seen and taken back. Lightning Stream's file has no such section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Span, value_error};

/// What of the past is kept in the store.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// How far back; 0: nothing is kept.
    pub keep: Span,
}

impl Default for History {
    fn default() -> Self {
        Self {
            keep: Span::seconds(30 * 86_400),
        }
    }
}

impl History {
    /// How far back history is kept; `None`: there is none.
    pub fn keep(&self) -> Option<Duration> {
        Some(self.keep.0).filter(|keep| !keep.is_zero())
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.keep().is_some_and(|keep| keep < crate::sync::LEAST_HISTORY) {
            let reason = format!(
                "{} is too short for a mistake to be noticed: set at least 24h, or 0s to keep nothing",
                self.keep
            );
            return Err(value_error("history.keep", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_days_are_kept_unless_said_otherwise_and_nothing_at_0() {
        let history = |text: &str| serde_saphyr::from_str::<History>(text).unwrap();
        assert_eq!(history("{}").keep(), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(history("{keep: 0s}").keep(), None);
        history("{keep: 0s}").check().unwrap();
        history("{keep: 24h}").check().unwrap();
        let error = history("{keep: 1h}").check().unwrap_err().to_string();
        assert!(error.starts_with("history.keep: 1h is too short"), "{error}");
    }
}
