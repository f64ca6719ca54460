//! Opening an S3 bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;

use super::client::StoreClient;
use super::create::{CreatedStore, S3Bucket};
use super::credentials::{Renewable, s3_keys};
use super::identity::{Identity, keys_of};
use super::settings::ClientSettings;
use super::{ObjectBackend, OpenError, Store, client_options, retries};

/// Lightning Stream's default. AWS has most buckets at the endpoint of their region only, and its clients look for that by themselves.
const ANY_REGION_OF_AWS: &str = "https://s3.amazonaws.com";

/// How to reach a bucket.
#[derive(Clone, Default)]
pub struct S3Options {
    pub bucket: String,
    /// Empty for AWS.
    pub endpoint_url: String,
    /// The bucket is in the name of the host, and not in the path.
    pub bucket_in_host: bool,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// With temporary keys; else empty.
    pub session_token: String,
    /// Files that hold the keys, instead of `access_key` and `secret_key`.
    pub key_files: Option<(PathBuf, PathBuf)>,
    /// The session token's, which may be empty or missing.
    pub session_token_file: Option<PathBuf>,
    /// Who is asked for keys, if there are none of all these.
    pub identity: Option<Identity>,
    pub secrets_refresh_interval: Duration,
    /// Put before every name, as it is.
    pub global_prefix: String,
    /// Given with every object; empty: the store's default.
    pub storage_class: String,
    /// Make the bucket at the first use, in this time.
    pub create_bucket: Option<Duration>,
    pub client: ClientSettings,
}

impl S3Options {
    /// Where requests go, if not to AWS' of the region: the crate wants the bucket to be in it already, where it belongs into the
    /// host's name.
    fn endpoint(&self) -> Option<String> {
        match self.endpoint_url.trim_end_matches('/') {
            "" | ANY_REGION_OF_AWS => None,
            url => Some(match url.split_once("://") {
                Some((scheme, host)) if self.bucket_in_host => format!("{scheme}://{}.{host}", self.bucket),
                _ => self.endpoint_url.clone(),
            }),
        }
    }
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
        .with_virtual_hosted_style_request(options.bucket_in_host)
        .with_client_options(client_options(&options.endpoint_url))
        .with_http_connector(client.clone())
        // One object at a time is what is asked for here, and what every store takes.
        .with_disable_bulk_delete(true)
        .with_retry(retries());
    if let Some(endpoint) = options.endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    let keys = options.key_files.as_ref().map(|(access, secret)| {
        Arc::new(s3_keys(
            access.clone(),
            secret.clone(),
            options.session_token_file.clone(),
            options.secrets_refresh_interval,
        ))
    });
    builder = match (&keys, &options.identity) {
        (Some(keys), _) => builder.with_credentials(keys.clone()),
        (None, Some(identity)) => builder.clone().with_credentials(keys_of(identity, builder)?),
        (None, None) => {
            let builder = builder
                .with_access_key_id(&options.access_key)
                .with_secret_access_key(&options.secret_key);
            if options.session_token.is_empty() {
                builder
            } else {
                builder.with_token(&options.session_token)
            }
        }
    };
    let s3 = Arc::new(builder.build()?);
    let mut backend = ObjectBackend::paginated(s3.clone(), &options.global_prefix)
        .with_offsets()
        .with_region(&options.region)
        .with_client(client.clone());
    if !options.storage_class.is_empty() {
        backend = backend.with_storage_class(&options.storage_class);
    }
    let keys = keys.map(|keys| keys as Arc<dyn Renewable>);
    if let Some(keys) = keys.clone() {
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
    Ok(Arc::new(created.with_renewable(keys)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_put_before_the_host_and_the_endpoint_of_all_regions_stands_for_that_of_the_region() {
        let endpoint = |url: &str, bucket_in_host: bool| {
            let options = S3Options {
                bucket: "zones".into(),
                endpoint_url: url.into(),
                bucket_in_host,
                ..S3Options::default()
            };
            options.endpoint()
        };
        for aws in ["", "https://s3.amazonaws.com", "https://s3.amazonaws.com/"] {
            assert_eq!(endpoint(aws, false), None, "{aws}");
            assert_eq!(endpoint(aws, true), None, "{aws}");
        }
        let url = "https://s3.eu-west-1.amazonaws.com";
        assert_eq!(endpoint(url, false).as_deref(), Some(url));
        let hosted = endpoint("http://s3.test:9000/", true);
        assert_eq!(hosted.as_deref(), Some("http://zones.s3.test:9000"));
    }
}
