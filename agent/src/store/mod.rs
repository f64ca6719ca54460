//! Where snapshots are kept: a narrow interface over the crate object_store.

mod credentials;
mod object;
mod s3;

use std::path::Path;

use async_trait::async_trait;
use tempfile::SpooledTempFile;

pub use object::ObjectBackend;
pub use s3::{S3Error, S3Options, open as open_s3};

/// A failed request, with what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {name:?}: {reason}")]
pub struct StoreError {
    /// `list`, `read`, `write` or `remove`.
    pub operation: &'static str,
    /// The object, or the prefix of a listing.
    pub name: String,
    #[source]
    pub reason: StoreErrorReason,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreErrorReason {
    #[error("the store refuses the keys ({0}): check access_key and secret_key, and what they may do")]
    Denied(#[source] object_store::Error),
    #[error("the bucket or folder does not exist ({0}): create it")]
    NoBucket(#[source] object_store::Error),
    #[error("the name is not a valid object key ({0})")]
    Name(#[source] object_store::path::Error),
    #[error("cannot use a temporary file: {0}; is the volume full?")]
    Spool(#[source] std::io::Error),
    #[error("{0}")]
    Other(#[source] object_store::Error),
}

/// Objects up to this size stay in memory on their way, larger ones go through a temporary file.
const SPOOL_MEMORY: usize = 1 << 20;

/// An empty object to be filled; where it outgrows memory, its temporary file is in `folder` and has no name.
pub fn spool(folder: &Path) -> SpooledTempFile {
    tempfile::spooled_tempfile_in(SPOOL_MEMORY, folder)
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// What an agent needs of a store. Names are relative to the configured prefix.
///
/// `list` promises to show every object whose `put` has ended before it began, in no particular order.
#[async_trait]
pub trait Store: Send + Sync {
    /// All objects whose names start with `prefix` and that are not below a further `/`.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;
    /// Fills an empty `object` with the content; `None` when there is none of that name.
    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError>;
    /// Stores an object, from its beginning, as a whole or not at all; one of the same name is replaced.
    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError>;
    /// Removes an object; that there is none is no error.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
}
