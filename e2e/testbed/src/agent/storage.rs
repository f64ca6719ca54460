//! Where agents meet.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::garage::Bucket;

/// The part of a bucket that the tests' instances share.
pub const PREFIX: &str = "test/schema-5/";

/// Where agents meet.
#[derive(Clone)]
pub enum Storage {
    S3(Bucket),
    Directory(PathBuf),
    /// A whole section of the configuration.
    Section(Value),
}

impl From<&Bucket> for Storage {
    fn from(bucket: &Bucket) -> Self {
        Self::S3(bucket.clone())
    }
}

impl From<&Path> for Storage {
    fn from(directory: &Path) -> Self {
        Self::Directory(directory.to_owned())
    }
}

impl From<&Value> for Storage {
    fn from(section: &Value) -> Self {
        Self::Section(section.clone())
    }
}

impl Storage {
    /// Its section of the configuration.
    pub(super) fn section(&self) -> Value {
        match self {
            Self::S3(bucket) => json!({"type": "s3", "options": {
                "endpoint_url": bucket.endpoint,
                "region": bucket.region,
                "bucket": bucket.name,
                "global_prefix": PREFIX,
                "access_key": bucket.access_key,
                "secret_key": bucket.secret_key,
            }}),
            Self::Section(section) => section.clone(),
            Self::Directory(path) => json!({"type": "fs", "options": {"root_path": path}}),
        }
    }
}
