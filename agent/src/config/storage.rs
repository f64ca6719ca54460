//! `storage`: which store, and the cleaner.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::identity::environment;
use super::options::StorageOptions;
use super::suggest::did_you_mean;
use super::{ConfigError, Span, value_error};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    S3,
    Azure,
    Gcs,
    Fs,
    Memory,
}

impl StorageType {
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "azure",
            Self::Gcs => "gcs",
            Self::Fs => "fs",
            Self::Memory => "memory",
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    #[serde(rename = "type")]
    pub kind: StorageType,
    #[serde(default)]
    pub options: StorageOptions,
    #[serde(default)]
    pub cleanup: Cleanup,
    /// The old place of `options.root_path`.
    #[serde(default, skip_serializing)]
    pub root_path: PathBuf,
}

/// The cleaner of superseded snapshots.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cleanup {
    pub enabled: bool,
    pub interval: Span,
    pub must_keep_interval: Span,
    pub remove_old_instances_interval: Span,
    /// Names instances that are gone for good; empty: there is no such file.
    pub retired_file: PathBuf,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Span::seconds(5 * 60),
            must_keep_interval: Span::seconds(10 * 60),
            remove_old_instances_interval: Span::seconds(168 * 3600),
            retired_file: PathBuf::new(),
        }
    }
}

impl Storage {
    /// Where the objects are, without secrets: two configurations of one place say the same.
    pub fn location(&self) -> String {
        let options = &self.options;
        let root = options.root_path.to_string_lossy();
        let parts = [
            self.kind.name(),
            &options.endpoint_url,
            &options.account_name,
            &options.bucket,
            &options.container,
            &root,
            &options.global_prefix,
        ];
        parts.join(" ")
    }

    /// Refuses options that another type of storage has: they would be silently without effect.
    pub(super) fn check_given<'o>(
        &self,
        given: impl IntoIterator<Item = &'o str>,
    ) -> Result<(), ConfigError> {
        let (kind, known) = (self.kind.name(), StorageOptions::of(self.kind));
        for option in given {
            if !known.contains(&option) {
                let hint = did_you_mean(option, known.iter().copied());
                let reason = format!(
                    "is no option of type {kind}{hint}, which has {}",
                    known.join(", ")
                );
                return Err(value_error(format!("storage.options.{option}"), reason));
            }
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let options = &self.options;
        let kind = self.kind.name();
        let need = |key: &str, given: bool| {
            let reason = format!("is needed for type {kind}");
            given
                .then_some(())
                .ok_or_else(|| value_error(format!("storage.options.{key}"), reason))
        };
        if self.cleanup.enabled && self.cleanup.interval.0.is_zero() {
            let reason = "0 would clean without a break: remove it or set a longer one";
            return Err(value_error("storage.cleanup.interval", reason));
        }
        match self.kind {
            StorageType::Memory => return Ok(()),
            StorageType::Fs => return need("root_path", !options.root_path.as_os_str().is_empty()),
            StorageType::S3 => {
                need("bucket", !options.bucket.is_empty())?;
                options.check_host_style()?;
                options.check_keys(environment)?;
            }
            StorageType::Azure => {
                need("container", !options.container.is_empty())?;
                need("account_name", !options.account_name.is_empty())?;
                if options.use_shared_key {
                    let file = !options.account_key_file.as_os_str().is_empty();
                    need("account_key", file || !options.account_key.is_empty())?;
                }
            }
            StorageType::Gcs => need("bucket", !options.bucket.is_empty())?,
        }
        options.check()
    }
}
