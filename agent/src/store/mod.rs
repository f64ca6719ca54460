//! Where snapshots are kept: a narrow interface over the crate object_store.

mod azure;
mod causes;
mod client;
mod create;
mod credentials;
mod folder;
mod gcs;
mod identity;
mod key;
mod marker;
mod object;
mod patience;
mod proxy;
mod refusal;
mod region;
mod restraint;
mod s3;
mod settings;
mod traffic;
mod upload;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use object_store::{ClientOptions, RetryConfig};
use tempfile::SpooledTempFile;

pub use crate::skew::Skew;
pub use azure::{AzureAccess, AzureOptions, open as open_azure};
pub use create::CreatedStore;
pub use folder::open as open_folder;
pub use gcs::{GcsOptions, open as open_gcs};
pub use identity::Identity;
pub use marker::{MarkedStore, UPDATE_MARKER};
pub use object::ObjectBackend;
pub use proxy::Proxies;
pub use s3::{S3Options, open as open_s3};
pub use settings::{ClientSettings, TlsSettings};
pub use traffic::Traffic;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("storage.options.{0} is not usable: {1}")]
    Option(&'static str, String),
    #[error("{0} in the environment names no proxy: write http://host:port or https://host:port there")]
    Proxy(&'static str),
    #[error("cannot use the storage options: {0}")]
    Build(#[from] object_store::Error),
}

/// What the crate itself wants to know of the connection; the rest is up to our own client.
fn client_options(url: &str) -> ClientOptions {
    ClientOptions::new().with_allow_http(url.starts_with("http://"))
}

/// The sync loops try again by themselves, with fresh keys and a fresh listing.
fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(20),
        ..RetryConfig::default()
    }
}

/// A failed request, with what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {name:?}: {reason}")]
pub struct StoreError {
    /// `list`, `read`, `write`, `remove` or `create`.
    pub operation: &'static str,
    /// The object, or the prefix of a listing.
    pub name: String,
    #[source]
    pub reason: StoreErrorReason,
}

/// Why a request failed. The remedy comes before what the store said, which can be long and is cut on the page.
#[derive(Debug, thiserror::Error)]
pub enum StoreErrorReason {
    #[error("the store refuses the keys: check the keys in storage.options, and what they may do ({0})")]
    Denied(#[source] object_store::Error),
    #[error(
        "the store does not let the keys remove it: let the keys in storage.options delete objects under the prefix, \
         else the store grows without end ({0})"
    )]
    NotDeletable(#[source] object_store::Error),
    #[error("the store refuses requests because {clock}: set the clock right, with NTP ({refusal})")]
    Skewed {
        /// What is known of the difference, as a sentence.
        clock: String,
        #[source]
        refusal: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the store has the bucket in another region: {remedy} ({refusal})")]
    Region {
        remedy: String,
        #[source]
        refusal: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the store wants the bucket in the name of the host: set storage.options.path_style to false ({0})"
    )]
    HostStyle(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the store sends requests elsewhere, which is not followed: name the store itself in storage.options.endpoint_url, with \
         https:// where it wants that ({0})"
    )]
    Redirected(#[source] object_store::Error),
    #[error("the bucket or folder does not exist: create it ({0})")]
    NoBucket(#[source] object_store::Error),
    #[error(
        "{0}: are the keys right? If they may not make it, make it beforehand and set create_bucket or \
         create_container to false, or give them that right"
    )]
    Create(String),
    #[error("the name is not a valid object key ({0})")]
    Name(#[source] object_store::path::Error),
    #[error("the folder {} is gone, or on another file system than at the start: is its volume mounted?", .0.display())]
    NoFolder(std::path::PathBuf),
    #[error("cannot use a temporary file: {0}; is the volume full?")]
    Spool(#[source] std::io::Error),
    #[error("{}", causes::with_causes(.0))]
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
    /// When it was stored, by the store's clock in ns since the epoch, if it says so.
    pub modified: Option<u64>,
}

/// What an agent needs of a store. Names are relative to the configured prefix.
///
/// `list` promises to show every object whose `put` has ended before it began, in no particular order.
#[async_trait]
pub trait Store: Send + Sync {
    /// All objects whose names start with `prefix` and that are not below a further `/`.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;
    /// The same for the objects whose names come after `after`, which begins with `prefix`.
    async fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.list(prefix).await?;
        listed.retain(|object| object.name.as_str() > after);
        Ok(listed)
    }
    /// Fills an empty `object` with the content; `None` when there is none of that name.
    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError>;
    /// The first bytes of an object, `most` at most; `None` when there is none of that name.
    async fn get_start(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        start_of_whole(self, name, most).await
    }
    /// Stores an object, from its beginning, as a whole or not at all; one of the same name is replaced.
    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError>;
    /// Removes an object; that there is none is no error.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
    /// How far the own clock is from the store's; `None` when nothing has been heard of it, as of a local directory.
    fn skew(&self) -> Option<Skew> {
        None
    }
    /// How much has been carried, where that is counted.
    fn traffic(&self) -> Option<Traffic> {
        None
    }
    /// The fingerprint of the access key with which the last request was signed that the store accepted; `None` before
    /// that, and where there are no such keys.
    fn key(&self) -> Option<String> {
        None
    }
}

/// The first bytes of an object that is fetched as a whole.
async fn start_of_whole<S: Store + ?Sized>(
    store: &S,
    name: &str,
    most: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(object) = store.get(name, spool(&std::env::temp_dir())).await? else {
        return Ok(None);
    };
    let mut start = Vec::new();
    let read = object.take(most).read_to_end(&mut start);
    read.map_err(|error| StoreError {
        operation: "read",
        name: name.to_owned(),
        reason: StoreErrorReason::Spool(error),
    })?;
    Ok(Some(start))
}
