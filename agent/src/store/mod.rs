//! Where snapshots are kept: a narrow interface over the crate object_store.

mod credentials;
mod object;
mod s3;

use async_trait::async_trait;
use bytes::Bytes;

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
    #[error("{0}")]
    Other(#[source] object_store::Error),
}

/// What an agent needs of a store. Names are relative to the configured prefix.
///
/// `list` promises to show every object whose `put` has ended before it began, in no particular order.
#[async_trait]
pub trait Store: Send + Sync {
    /// Names of all objects that start with `prefix` and are not below a further `/`.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
    /// The content of an object, `None` when there is none of that name.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError>;
    /// Stores an object as a whole or not at all; one of the same name is replaced.
    async fn put(&self, name: &str, content: Bytes) -> Result<(), StoreError>;
    /// Removes an object; that there is none is no error.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
}
