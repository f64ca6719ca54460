//! `storage`: which store, and the cleaner.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

impl Storage {
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
        match self.kind {
            StorageType::Memory => return Ok(()),
            StorageType::Fs => return need("root_path", !options.root_path.as_os_str().is_empty()),
            StorageType::S3 => {
                need("bucket", !options.bucket.is_empty())?;
                let files = [&options.access_key_file, &options.secret_key_file];
                if files.iter().any(|file| !file.as_os_str().is_empty()) {
                    need("access_key_file", !options.access_key_file.as_os_str().is_empty())?;
                    need("secret_key_file", !options.secret_key_file.as_os_str().is_empty())?;
                } else {
                    need("access_key", !options.access_key.is_empty())?;
                    need("secret_key", !options.secret_key.is_empty())?;
                }
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
