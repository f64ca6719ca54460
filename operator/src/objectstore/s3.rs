//! A bucket of any S3 service, with keys that the user gives.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use futures::{FutureExt, future::BoxFuture};

use super::{Bucket, Keys, Source, StoreError};
use crate::error::root_cause;

/// One set of TLS roots for all clusters. Connections are not kept: we ask seldom, and a kept one may be dead by then.
pub(super) fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .pool_max_idle_per_host(0)
        .build_https()
}

pub struct S3Source {
    http: SharedHttpClient,
    bucket: Bucket,
    create_bucket: bool,
    keys: Result<Keys, StoreError>,
    secret: String,
}

impl S3Source {
    pub fn new(
        http: SharedHttpClient,
        bucket: Bucket,
        create_bucket: bool,
        keys: Result<Keys, StoreError>,
        secret: String,
    ) -> Self {
        Self {
            http,
            bucket,
            create_bucket,
            keys,
            secret,
        }
    }

    async fn ensure_all(&self) -> Result<Keys, StoreError> {
        let keys = self.keys.clone()?;
        let client = self.client(&keys);
        match self.list(&client).await {
            Err(StoreError::BucketMissing { .. }) if self.create_bucket => {
                self.create(&client).await?;
                self.list(&client).await?;
            }
            other => other?,
        }
        Ok(keys)
    }

    /// What the agents will do all the time. Unlike `HeadBucket` it also says in words what is wrong.
    async fn list(&self, client: &Client) -> Result<(), StoreError> {
        let listing = client
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .prefix(&self.bucket.prefix)
            .max_keys(1)
            .send()
            .await;
        match listing {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    async fn create(&self, client: &Client) -> Result<(), StoreError> {
        let location = needs_location(&self.bucket.region).then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.bucket.region.as_str()))
                .build()
        });
        let request = client
            .create_bucket()
            .bucket(&self.bucket.name)
            .set_create_bucket_configuration(location);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match code_of(&error).as_deref() {
                // Made by someone else between our two requests.
                Some("BucketAlreadyOwnedByYou") => Ok(()),
                Some(code @ ("AccessDenied" | "Forbidden")) => Err(StoreError::CreateDenied {
                    endpoint: self.bucket.endpoint.clone(),
                    bucket: self.bucket.name.clone(),
                    code: code.to_owned(),
                }),
                _ => Err(self.explain(&error)),
            },
        }
    }

    fn explain<E>(&self, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let endpoint = self.bucket.endpoint.clone();
        let bucket = self.bucket.name.clone();
        if let SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) = error {
            return StoreError::Unreachable {
                endpoint,
                cause: root_cause(error),
            };
        }
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = code_of(error).unwrap_or_else(|| {
            status.map_or_else(|| "no S3 answer".to_owned(), |status| format!("HTTP {status}"))
        });
        match (code.as_str(), status) {
            ("NoSuchBucket", _) => StoreError::BucketMissing { endpoint, bucket },
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken", _) => {
                StoreError::WrongKeys {
                    endpoint,
                    code,
                    secret: self.secret.clone(),
                }
            }
            ("AccessDenied" | "Forbidden", _) | (_, Some(401 | 403)) => StoreError::AccessDenied {
                endpoint,
                bucket,
                prefix: self.bucket.prefix.clone(),
                code,
                secret: self.secret.clone(),
            },
            ("RequestTimeTooSkewed", _) => StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "the clocks of the store and of this cluster's nodes differ: set them right",
            },
            (
                "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException",
                _,
            )
            | (_, Some(301)) => StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "the bucket is in another region: correct spec.objectStore.s3.region and endpoint",
            },
            _ => StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "check that spec.objectStore.s3.endpoint is an S3 service, and look at its log",
            },
        }
    }

    fn client(&self, keys: &Keys) -> Client {
        let credentials = Credentials::new(
            keys.access_key_id.as_str(),
            keys.secret_access_key.expose(),
            None,
            None,
            "the Secret of the DnsCluster",
        );
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(10))
            .build();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&self.bucket.endpoint)
            .region(Region::new(self.bucket.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(true)
            // Many stores that speak S3 do not know the newer checksums.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // The reconcile comes again by itself.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Client::from_conf(config)
    }
}

/// AWS wants the region of a new bucket said again, but for its first one; other stores' regions are made up.
fn needs_location(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let number = parts
        .last()
        .is_some_and(|part| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit()));
    region != "us-east-1" && parts.len() >= 3 && number
}

fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<String> {
    error
        .as_service_error()
        .and_then(|service| service.code())
        .map(str::to_owned)
}

impl Source for S3Source {
    fn ensure(&self) -> BoxFuture<'_, Result<Keys, StoreError>> {
        self.ensure_all().boxed()
    }
}

#[cfg(test)]
#[path = "s3_tests.rs"]
mod tests;
