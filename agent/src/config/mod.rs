//! Lightning Stream's configuration file, as far as this agent supports it. An unknown key is an error.

mod expand;
mod health;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::lmdb::OpenOptions;

pub use expand::{ExpandError, expand};
pub use health::{Check, Health, Start};
pub use units::{Size, Span};

/// Why a configuration is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {error}; name another with --config", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    Expand { path: PathBuf, error: ExpandError },
    #[error("{}: {error}", path.display())]
    Parse {
        path: PathBuf,
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

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this instance; no other agent may have it.
    #[serde(default)]
    pub instance: String,
    pub lmdbs: BTreeMap<String, Lmdb>,
    #[serde(default = "one_second")]
    pub lmdb_poll_interval: Span,
    #[serde(default = "one_second")]
    pub storage_poll_interval: Span,
    #[serde(default = "five_seconds")]
    pub storage_retry_interval: Span,
    /// Failures in a row after which the agent ends; not set: it never gives up.
    pub storage_retry_count: Option<u32>,
    #[serde(default)]
    pub storage_retry_forever: bool,
    #[serde(default = "four_hours")]
    pub storage_force_snapshot_interval: Span,
    #[serde(default)]
    pub sweeper: Sweeper,
    pub storage: Storage,
    #[serde(default)]
    pub http: Http,
    #[serde(default)]
    pub health: Health,
    #[serde(default)]
    pub log: Log,
}

/// One LMDB file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lmdb {
    pub path: PathBuf,
    #[serde(default)]
    pub schema_tracks_changes: bool,
    #[serde(default)]
    pub options: LmdbOptions,
}

impl Lmdb {
    /// How to open the file.
    pub fn open_options(&self) -> OpenOptions {
        let LmdbOptions {
            no_subdir,
            create,
            map_size,
            max_dbs,
        } = self.options;
        OpenOptions {
            map_size: map_size.0,
            max_dbs,
            create,
            no_subdir,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LmdbOptions {
    pub no_subdir: bool,
    pub create: bool,
    pub map_size: Size,
    pub max_dbs: u32,
}

impl Default for LmdbOptions {
    fn default() -> Self {
        Self {
            no_subdir: false,
            create: false,
            map_size: Size::mebibytes(1024),
            max_dbs: 64,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    S3,
    Fs,
    Memory,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    #[serde(rename = "type")]
    pub kind: StorageType,
    #[serde(default)]
    pub options: StorageOptions,
    #[serde(default)]
    pub cleanup: Cleanup,
}

/// The options of all kinds of storage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageOptions {
    /// `fs`: the directory.
    pub root_path: PathBuf,
    pub access_key: String,
    pub secret_key: String,
    pub access_key_file: PathBuf,
    pub secret_key_file: PathBuf,
    pub secrets_refresh_interval: Span,
    pub region: String,
    pub bucket: String,
    pub create_bucket: bool,
    pub global_prefix: String,
    pub endpoint_url: String,
    pub client_timeout: Span,
    pub dial_timeout: Span,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            root_path: PathBuf::new(),
            access_key: String::new(),
            secret_key: String::new(),
            access_key_file: PathBuf::new(),
            secret_key_file: PathBuf::new(),
            secrets_refresh_interval: Span::seconds(15),
            region: String::new(),
            bucket: String::new(),
            create_bucket: false,
            global_prefix: String::new(),
            endpoint_url: String::new(),
            client_timeout: Span::seconds(15 * 60),
            dial_timeout: Span::seconds(10),
        }
    }
}

// The derived form would print the keys.
impl std::fmt::Debug for StorageOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageOptions")
            .field("endpoint_url", &self.endpoint_url)
            .field("bucket", &self.bucket)
            .field("global_prefix", &self.global_prefix)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cleanup {
    pub enabled: bool,
    pub interval: Span,
    pub must_keep_interval: Span,
    pub remove_old_instances_interval: Span,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Span::seconds(5 * 60),
            must_keep_interval: Span::seconds(10 * 60),
            remove_old_instances_interval: Span::seconds(168 * 3600),
        }
    }
}

/// Removal of old deletion marks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweeper {
    pub enabled: bool,
    pub retention_days: f64,
    pub interval: Span,
    pub first_interval: Span,
    pub lock_duration: Span,
    pub release_duration: Span,
    /// Age from which marks in snapshots are left out; not set: 1 % less than the retention.
    pub retention_load_cutoff_duration: Option<Span>,
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
            retention_load_cutoff_duration: None,
        }
    }
}

impl Sweeper {
    /// Age from which marks are removed.
    pub fn retention(&self) -> Duration {
        Duration::try_from_secs_f64(self.retention_days * 86_400.0).unwrap_or(Duration::MAX)
    }

    /// Age from which marks in snapshots are left out.
    pub fn load_cutoff(&self) -> Duration {
        let retention = self.retention();
        self.retention_load_cutoff_duration
            .map_or(retention.mul_f64(0.99), |cutoff| cutoff.0)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where the endpoints are served, `:8500` or `127.0.0.1:8500`; empty: nowhere.
    pub address: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub level: Option<String>,
    pub format: LogFormat,
}

fn one_second() -> Span {
    Span::seconds(1)
}

fn five_seconds() -> Span {
    Span::seconds(5)
}

fn four_hours() -> Span {
    Span::seconds(4 * 3600)
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
        let text = expand(&text, |name| std::env::var(name).ok()).map_err(|error| ConfigError::Expand {
            path: path.to_owned(),
            error,
        })?;
        let config: Self = serde_saphyr::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.lmdbs.is_empty() {
            return Err(value_error("lmdbs", "name at least one database"));
        }
        for (name, lmdb) in &self.lmdbs {
            if name.is_empty() || name.contains("__") || name.contains(['/', '.']) {
                let reason = "the name of a database has no \"__\", '/' or '.' in it";
                return Err(value_error(format!("lmdbs.{name}"), reason));
            }
            if !lmdb.schema_tracks_changes {
                return Err(value_error(
                    format!("lmdbs.{name}.schema_tracks_changes"),
                    "only native databases are supported, such as PowerDNS writes from 4.8 on: set it to true",
                ));
            }
        }
        let sweeper = &self.sweeper;
        if sweeper.enabled && (sweeper.retention_days < 1.0 || !sweeper.retention_days.is_finite()) {
            let reason =
                "must be at least 1: a server that was away for longer would bring deleted records back";
            return Err(value_error("sweeper.retention_days", reason));
        }
        if sweeper.enabled && sweeper.load_cutoff() > sweeper.retention() {
            let reason = "must not be longer than the retention, or swept marks come back";
            return Err(value_error("sweeper.retention_load_cutoff_duration", reason));
        }
        self.check_storage()
    }

    fn check_storage(&self) -> Result<(), ConfigError> {
        let options = &self.storage.options;
        let need = |key: &str, given: bool| {
            let reason = format!("is needed for type {:?}", self.storage.kind).to_lowercase();
            if given {
                Ok(())
            } else {
                Err(value_error(format!("storage.options.{key}"), reason))
            }
        };
        match self.storage.kind {
            StorageType::Memory => Ok(()),
            StorageType::Fs => need("root_path", !options.root_path.as_os_str().is_empty()),
            StorageType::S3 => {
                need("bucket", !options.bucket.is_empty())?;
                if options.create_bucket {
                    let reason = "the agent's keys need not be able to make buckets: make it beforehand";
                    return Err(value_error("storage.options.create_bucket", reason));
                }
                let files = [&options.access_key_file, &options.secret_key_file];
                if files.iter().any(|file| !file.as_os_str().is_empty()) {
                    need("access_key_file", !options.access_key_file.as_os_str().is_empty())?;
                    return need("secret_key_file", !options.secret_key_file.as_os_str().is_empty());
                }
                need("access_key", !options.access_key.is_empty())?;
                need("secret_key", !options.secret_key.is_empty())
            }
        }
    }

    /// Failures in a row after which the agent ends, `None`: never. Unlike Lightning Stream, which gives up after 100,
    /// never is the default: an agent that ended cannot heal when the store comes back.
    pub fn retry_limit(&self) -> Option<u32> {
        self.storage_retry_count.filter(|_| !self.storage_retry_forever)
    }
}

#[cfg(test)]
mod tests;
