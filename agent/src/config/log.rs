//! `log`: what is logged, and how.

use serde::{Deserialize, Serialize};

use super::{ConfigError, value_error};

/// How to log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

/// What time lines begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogTimestamp {
    /// Seconds since the start, for people; other formats have the whole time.
    Short,
    /// None: whoever collects the log adds it.
    Disable,
    /// Date and time.
    #[default]
    Full,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or filter directives; not set: `info` when replicating, `warn` for commands.
    pub level: Option<String>,
    pub format: LogFormat,
    pub timestamp: LogTimestamp,
}

/// A level as the log filter takes it: Lightning Stream has other names for some.
///
/// # Errors
/// That it is neither a level nor a directive.
pub fn filter_of(level: &str) -> Result<String, ConfigError> {
    let level = level.trim();
    let filter = match level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "fatal" | "panic" => "error".to_owned(),
        known @ ("trace" | "debug" | "info" | "warn" | "error" | "off") => known.to_owned(),
        // A bare word would be taken for the name of a module, and everything else be silent.
        _ if level.contains('=') => level.to_owned(),
        _ => {
            let reason = format!("{level:?} is no log level: use error, warn, info, debug or trace");
            return Err(value_error("log.level", reason));
        }
    };
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightning_streams_names_of_levels_are_known_and_others_named() {
        assert_eq!(filter_of("warning").unwrap(), "warn");
        assert_eq!(filter_of("Fatal").unwrap(), "error");
        assert_eq!(filter_of("info").unwrap(), "info");
        assert_eq!(
            filter_of("zonetide_agent=debug,info").unwrap(),
            "zonetide_agent=debug,info"
        );
        let error = filter_of("loud").unwrap_err().to_string();
        assert!(error.contains("log.level") && error.contains("loud"), "{error}");
    }
}
