//! `clocks`: what a wrong clock may do. Lightning Stream's file has no such section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Span, value_error};

/// Clocks that are right differ by less, and what was written needs time to arrive.
const LEAST: Duration = Duration::from_secs(10);

/// What a wrong clock may do.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clocks {
    /// Go by the time that the store and the other servers tell where the own clock is certainly wrong, and keep what is too far
    /// ahead of it out of the zones.
    pub fleet_time: bool,
    /// How far ahead of the time an entry may be that is merged; 0: any.
    pub max_ahead: Span,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            fleet_time: true,
            max_ahead: Span::seconds(crate::sync::MAX_AHEAD.as_secs()),
        }
    }
}

impl Clocks {
    /// How far ahead of the fleet's time an entry may be that is merged; `None`: nobody goes by that.
    pub fn max_ahead(&self) -> Option<Duration> {
        let most = Some(self.max_ahead.0).filter(|most| !most.is_zero());
        self.fleet_time.then_some(most.unwrap_or(Duration::MAX))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let most = self.max_ahead;
        if !most.0.is_zero() && most.0 < LEAST {
            let reason = format!("{most} is too short: set at least 10s, or 0s to merge whatever comes");
            return Err(value_error("clocks.max_ahead", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_unless_the_fleets_time_does_not_count_and_nothing_that_keeps_out_what_is_right() {
        let clocks = |text: &str| serde_saphyr::from_str::<Clocks>(text).unwrap();
        assert_eq!(clocks("{}").max_ahead(), Some(Duration::from_secs(300)));
        assert_eq!(clocks("{fleet_time: false}").max_ahead(), None);
        assert_eq!(clocks("{max_ahead: 0s}").max_ahead(), Some(Duration::MAX));
        clocks("{max_ahead: 0s}").check().unwrap();
        clocks("{max_ahead: 10s}").check().unwrap();
        let error = clocks("{max_ahead: 1s}").check().unwrap_err().to_string();
        assert!(error.starts_with("clocks.max_ahead: 1s is too short"), "{error}");
    }
}
