//! Lightning Stream's configuration file. What it may say is in docs/agent-configuration.md; an unknown key is an error.

mod clocks;
mod expand;
mod health;
mod history;
mod identity;
mod lmdb;
mod log;
mod options;
mod peers;
mod powerdns;
mod protection;
mod read;
mod secret;
mod serving;
mod storage;
mod suggest;
mod sweeper;
mod tls;
mod tree;
mod units;
mod without;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use clocks::Clocks;
pub use expand::{ExpandError, Expanded, Unset, expand};
pub use health::{Check, Health, Start};
pub use history::History;
pub use identity::{Identity, environment};
pub use lmdb::{DbiFlags, DbiOptions, Lmdb, LmdbOptions, Mode};
pub use log::{Log, LogFormat, LogTimestamp, filter_of};
pub use options::StorageOptions;
pub use peers::{Peers, PeersTls};
pub use powerdns::PowerDns;
pub use protection::Protection;
pub use secret::Secret;
pub use serving::Serving;
pub use storage::{Cleanup, Storage, StorageType};
use suggest::did_you_mean;
pub use sweeper::Sweeper;
pub use tls::Tls;
pub use units::{Size, Span};

/// Why a configuration is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {error}; name another with --config", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    Expand { path: PathBuf, error: ExpandError },
    /// Without the lines around it, which may hold keys.
    #[error("{}: {key}{}{}", path.display(), error.without_snippet(), hint(error))]
    Parse {
        path: PathBuf,
        /// Where the value is, with `: ` behind it, or nothing.
        key: String,
        error: Box<serde_saphyr::Error>,
    },
    #[error("{key}: {reason}")]
    Value { key: String, reason: String },
}

fn value_error(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        key: key.into(),
        reason: reason.into(),
    }
}

/// What was probably meant by an unknown key or word.
fn hint(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::SerdeUnknownField {
            field: word,
            expected,
            ..
        }
        | serde_saphyr::Error::SerdeUnknownVariant {
            variant: word,
            expected,
            ..
        } => did_you_mean(word, expected.iter().copied()),
        _ => String::new(),
    }
}

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this instance; no other agent may have it.
    #[serde(default)]
    pub instance: String,
    #[serde(default)]
    pub lmdbs: BTreeMap<String, Lmdb>,
    #[serde(default = "one_second")]
    pub lmdb_poll_interval: Span,
    /// How often the size of the databases is logged; 0: never.
    #[serde(default = "half_an_hour")]
    pub lmdb_log_stats_interval: Span,
    /// Metrics of how much of the memory maps is in memory.
    #[serde(default)]
    pub lmdb_scrape_smaps: bool,
    #[serde(default = "one_second")]
    pub storage_poll_interval: Span,
    #[serde(default = "five_seconds")]
    pub storage_retry_interval: Span,
    /// Failures in a row after which the agent ends; not set: it never gives up.
    pub storage_retry_count: Option<u32>,
    #[serde(default)]
    pub storage_retry_forever: bool,
    /// 0: only changes make snapshots.
    #[serde(default = "four_hours")]
    pub storage_force_snapshot_interval: Span,
    /// No effect: snapshots are never in memory as a whole.
    #[serde(default = "two")]
    pub memory_downloaded_snapshots: u32,
    /// No effect: snapshots are never in memory as a whole.
    #[serde(default = "three")]
    pub memory_decompressed_snapshots: u32,
    /// End when everything is merged and stored once.
    #[serde(default)]
    pub only_once: bool,
    #[serde(default)]
    pub sweeper: Sweeper,
    pub storage: Storage,
    /// Ours: not in Lightning Stream.
    #[serde(default)]
    pub powerdns: PowerDns,
    #[serde(default)]
    pub http: Http,
    /// Not set: agents meet in the store only.
    #[serde(default)]
    pub peers: Option<Peers>,
    #[serde(default)]
    pub serving: Serving,
    /// Ours: not in Lightning Stream.
    #[serde(default)]
    pub clocks: Clocks,
    /// Ours: not in Lightning Stream.
    #[serde(default)]
    pub history: History,
    /// Ours: not in Lightning Stream.
    #[serde(default)]
    pub protection: Protection,
    #[serde(default)]
    pub health: Health,
    #[serde(default)]
    pub log: Log,
    /// What to tell who runs this, though it is no error: a variable that is not set.
    #[serde(skip)]
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where the endpoints are served, `:8500` or `127.0.0.1:8500`; empty: nowhere.
    pub address: String,
}

fn one_second() -> Span {
    Span::seconds(1)
}

fn five_seconds() -> Span {
    Span::seconds(5)
}

fn half_an_hour() -> Span {
    Span::seconds(30 * 60)
}

fn four_hours() -> Span {
    Span::seconds(4 * 3600)
}

fn two() -> u32 {
    2
}

fn three() -> u32 {
    3
}

impl Config {
    /// Reads a file, puts the environment's variables in and checks what can be checked without acting.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file and the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(path, &text, |name| std::env::var(name).ok())
    }

    /// The same for the text of a file, with `lookup` as the environment; errors name `path`.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file and the key.
    pub fn parse(
        path: &Path,
        text: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        read::read(path, text, lookup)
    }

    /// Where 0 is the default in Lightning Stream, it is here.
    fn take_zero_for_the_default(&mut self) {
        self.lmdbs
            .values_mut()
            .for_each(|lmdb| lmdb.options.take_zero_for_the_default());
        self.storage.options.take_zero_for_the_default();
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.lmdbs.is_empty() {
            return Err(value_error("lmdbs", "name at least one database"));
        }
        for (name, lmdb) in &self.lmdbs {
            lmdb.check(name)?;
        }
        for (key, interval) in [
            ("lmdb_poll_interval", self.lmdb_poll_interval),
            ("storage_poll_interval", self.storage_poll_interval),
            ("storage_retry_interval", self.storage_retry_interval),
        ] {
            if interval.0 < Duration::from_millis(10) {
                return Err(value_error(
                    key,
                    format!("{interval} is too short: set at least 10ms"),
                ));
            }
        }
        let force = self.storage_force_snapshot_interval;
        if !force.0.is_zero() && force.0 < Duration::from_secs(1) {
            let reason = format!("{force} is too short: set at least 1s, or 0s to turn it off");
            return Err(value_error("storage_force_snapshot_interval", reason));
        }
        if self.storage_retry_count == Some(0) {
            let reason = "0 would never try: set at least 1, or storage_retry_forever";
            return Err(value_error("storage_retry_count", reason));
        }
        let address = &self.http.address;
        let port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if !address.is_empty() && port.is_none() {
            let reason = format!("{address:?} is no address such as \":8500\" or \"127.0.0.1:8500\"");
            return Err(value_error("http.address", reason));
        }
        if let Some(level) = &self.log.level {
            filter_of(level)?;
        }
        if let Some(peers) = &self.peers {
            peers.check(&self.http.address)?;
        }
        self.serving.check()?;
        self.clocks.check()?;
        self.history.check()?;
        self.sweeper.check()?;
        self.powerdns.check()?;
        self.storage.check()
    }

    /// Failures in a row after which the agent ends, `None`: never. Unlike Lightning Stream, which gives up after 100,
    /// never is the default: an agent that ended cannot heal when the store comes back.
    pub fn retry_limit(&self) -> Option<u32> {
        self.storage_retry_count.filter(|_| !self.storage_retry_forever)
    }

    /// Keeps the named databases only; none named: all of them.
    ///
    /// # Errors
    /// That there is no database of a name.
    pub fn keep_only(&mut self, names: &[String]) -> Result<(), ConfigError> {
        for name in names {
            if !self.lmdbs.contains_key(name) {
                let known = self.lmdbs.keys().map(String::as_str);
                let hint = did_you_mean(name, known.clone());
                let known = known.collect::<Vec<_>>().join(", ");
                return Err(value_error(
                    "--only-db",
                    format!("there is no database {name:?}{hint}: the configuration has {known}"),
                ));
            }
        }
        if !names.is_empty() {
            self.lmdbs.retain(|name, _| names.contains(name));
        }
        Ok(())
    }

    /// The evaluated configuration with defaults as YAML, secrets masked, without options of other types of storage.
    ///
    /// # Errors
    /// Those of the serializers, which should not happen.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        let mut plain = serde_json::to_value(self)?;
        if let Some(options) = plain["storage"]["options"].as_object_mut() {
            let known = StorageOptions::of(self.storage.kind);
            options.retain(|option, _| known.contains(&option.as_str()));
        }
        Ok(serde_saphyr::to_string(&plain)?)
    }
}

#[cfg(test)]
mod tests;
