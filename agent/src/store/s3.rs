//! Opening an S3 bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;

use super::client::{ClientSettings, StoreClient};
use super::create::{CreatedStore, S3Bucket};
use super::credentials::s3_keys;
use super::{ObjectBackend, OpenError, Store, client_options, retries};

/// How to reach a bucket.
#[derive(Clone, Default)]
pub struct S3Options {
    pub bucket: String,
    /// Empty for AWS.
    pub endpoint_url: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// Files that hold the keys, instead of `access_key` and `secret_key`.
    pub key_files: Option<(PathBuf, PathBuf)>,
    pub secrets_refresh_interval: Duration,
    /// Put before every name, as it is.
    pub global_prefix: String,
    /// Given with every object; empty: the store's default.
    pub storage_class: String,
    /// Make the bucket at the first use, in this time.
    pub create_bucket: Option<Duration>,
    pub client: ClientSettings,
}

/// Opens the bucket; nothing is sent yet.
///
/// # Errors
/// [`OpenError`] when the options contradict themselves.
pub fn open(options: &S3Options) -> Result<Arc<dyn Store>, OpenError> {
    let client = StoreClient::new(options.client.clone())?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_client_options(client_options(&options.endpoint_url))
        .with_http_connector(client.clone())
        .with_retry(retries());
    if !options.endpoint_url.is_empty() {
        builder = builder.with_endpoint(&options.endpoint_url);
    }
    let keys = options.key_files.as_ref().map(|(access, secret)| {
        Arc::new(s3_keys(
            access.clone(),
            secret.clone(),
            options.secrets_refresh_interval,
        ))
    });
    builder = match &keys {
        Some(keys) => builder.with_credentials(keys.clone()),
        None => builder
            .with_access_key_id(&options.access_key)
            .with_secret_access_key(&options.secret_key),
    };
    let s3 = Arc::new(builder.build()?);
    let mut backend = ObjectBackend::paginated(s3.clone(), &options.global_prefix);
    if !options.storage_class.is_empty() {
        backend = backend.with_storage_class(&options.storage_class);
    }
    if let Some(keys) = keys {
        backend = backend.with_renewable(keys);
    }
    let Some(timeout) = options.create_bucket else {
        return Ok(Arc::new(backend));
    };
    let bucket = S3Bucket {
        store: s3,
        client,
        region: options.region.clone(),
    };
    let created = CreatedStore::new(Arc::new(backend), Box::new(bucket), &options.bucket, timeout);
    Ok(Arc::new(created))
}
