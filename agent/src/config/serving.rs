//! `serving`: when a server may answer though the store does not. Lightning Stream's file has no such section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Span, value_error};

/// Longest patience with a store: whoever wants to wait for longer turns the rest off.
const MOST_PATIENT: Duration = Duration::from_secs(3600);

/// When a server that starts may answer without the store.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serving {
    /// How old the own database may be, by when it was last in sync; 0: never without the store.
    pub stale_for: Span,
    /// How long to wait for the store first.
    pub store_patience: Span,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            stale_for: Span::seconds(168 * 3600),
            store_patience: Span::seconds(10),
        }
    }
}

impl Serving {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let patience = self.store_patience;
        if patience.0 > MOST_PATIENT {
            let reason = format!(
                "{patience} is too long: set at most 1h, or serving.stale_for to 0s to wait for the store for ever"
            );
            return Err(value_error("serving.store_patience", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_week_and_ten_seconds_unless_something_else_is_said() {
        let serving: Serving = serde_saphyr::from_str("{}").unwrap();
        assert_eq!(serving.stale_for.to_string(), "168h");
        assert_eq!(serving.store_patience.to_string(), "10s");
        let serving: Serving = serde_saphyr::from_str("{stale_for: 0s, store_patience: 500ms}").unwrap();
        assert!(serving.stale_for.0.is_zero());
        serving.check().unwrap();
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_the_remedy() {
        let text = "lmdbs: {main: {path: /a, schema_tracks_changes: true}}\nstorage: {type: memory}\nserving: {stale_fro: 1h}";
        let error = Config::parse(Path::new("agent.yaml"), text, |_| None).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("stale_fro") && error.contains("did you mean \"stale_for\"?"),
            "{error}"
        );
        let serving: Serving = serde_saphyr::from_str("{store_patience: 2h}").unwrap();
        let error = serving.check().unwrap_err().to_string();
        assert!(
            error.starts_with("serving.store_patience: 2h is too long") && error.contains("stale_for"),
            "{error}"
        );
    }
}
