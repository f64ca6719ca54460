//! Where a cluster's bucket and its keys come from: one source per file, all behind `Source`.

mod error;
mod garage;
mod garage_api;
mod s3;

use futures::future::BoxFuture;

pub use self::{error::StoreError, garage::GarageSource, garage_api::GarageApi, s3::S3Source};
use crate::secret::SecretText;

/// Where the objects of a cluster are. It follows from the spec alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// URL of the S3 service, without a slash at its end.
    pub endpoint: String,
    pub region: String,
    pub name: String,
    /// What object names start with; ends in the database schema and a slash.
    pub prefix: String,
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: SecretText,
}

/// One way to get a bucket and keys to it.
pub trait Source: Send + Sync {
    /// Sees to it that the bucket exists and that the keys open it. Safe to call again and again, also after having
    /// been interrupted anywhere.
    fn ensure(&self) -> BoxFuture<'_, Result<Keys, StoreError>>;
}

/// What a source needs, decided by validation.
#[derive(Clone, Debug)]
pub enum SourceRequest {
    /// The Garage that the operator runs.
    Garage {
        admin_url: String,
        admin_token: SecretText,
        bucket: String,
    },
    /// Given keys to any S3 service.
    S3 {
        bucket: Bucket,
        create_bucket: bool,
        keys: Result<Keys, StoreError>,
        /// Name of the Secret that the keys are from, for messages.
        secret: String,
    },
}

/// Makes sources from requests. Tests put their own in its place.
pub trait Sources: Send + Sync {
    fn source(&self, request: &SourceRequest) -> Box<dyn Source>;
}

/// The real ones.
#[derive(Clone)]
pub struct RealSources {
    http: reqwest::Client,
    s3_http: aws_sdk_s3::config::SharedHttpClient,
}

impl RealSources {
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: garage_api::http_client()?,
            s3_http: s3::http_client(),
        })
    }
}

impl Sources for RealSources {
    fn source(&self, request: &SourceRequest) -> Box<dyn Source> {
        match request {
            SourceRequest::Garage {
                admin_url,
                admin_token,
                bucket,
            } => Box::new(GarageSource::new(
                GarageApi::new(self.http.clone(), admin_url.clone(), admin_token.clone()),
                bucket.clone(),
            )),
            SourceRequest::S3 {
                bucket,
                create_bucket,
                keys,
                secret,
            } => Box::new(S3Source::new(
                self.s3_http.clone(),
                bucket.clone(),
                *create_bucket,
                keys.clone(),
                secret.clone(),
            )),
        }
    }
}
