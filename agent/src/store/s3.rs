//! Opening an S3 bucket from Lightning Stream's options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, RetryConfig};

use super::ObjectBackend;
use super::credentials::FileCredentials;

/// The region that is asked for when none is configured, as in Lightning Stream.
const DEFAULT_REGION: &str = "us-east-1";

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
    /// For one request, transfer included.
    pub client_timeout: Duration,
    pub dial_timeout: Duration,
}

/// Why a bucket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("storage.options.{0} is not usable: {1}")]
    Option(&'static str, String),
    #[error("cannot use the storage options: {0}")]
    Build(#[from] object_store::Error),
}

/// Opens the bucket; nothing is sent yet.
///
/// # Errors
/// [`S3Error`] when the options contradict themselves.
pub fn open(options: &S3Options) -> Result<ObjectBackend, S3Error> {
    let prefix = &options.global_prefix;
    if prefix.starts_with('/') || prefix.contains("//") {
        let reason = "it must neither begin with '/' nor contain \"//\"".to_owned();
        return Err(S3Error::Option("global_prefix", reason));
    }
    let http = options.endpoint_url.starts_with("http://");
    if !http && !options.endpoint_url.starts_with("https://") && !options.endpoint_url.is_empty() {
        let reason = format!("{:?} must begin with http:// or https://", options.endpoint_url);
        return Err(S3Error::Option("endpoint_url", reason));
    }
    let client = ClientOptions::new()
        .with_allow_http(http)
        .with_timeout(options.client_timeout)
        .with_connect_timeout(options.dial_timeout);
    // The sync loops try again by themselves, with fresh keys and a fresh listing.
    let retry = RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(20),
        ..RetryConfig::default()
    };
    let region = if options.region.is_empty() {
        DEFAULT_REGION
    } else {
        &options.region
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(region)
        .with_client_options(client)
        .with_retry(retry);
    if !options.endpoint_url.is_empty() {
        builder = builder.with_endpoint(&options.endpoint_url);
    }
    builder = match &options.key_files {
        Some((access, secret)) => builder.with_credentials(Arc::new(FileCredentials::new(
            access.clone(),
            secret.clone(),
            options.secrets_refresh_interval,
        ))),
        None => builder
            .with_access_key_id(&options.access_key)
            .with_secret_access_key(&options.secret_key),
    };
    Ok(ObjectBackend::paginated(builder.build()?, prefix))
}
