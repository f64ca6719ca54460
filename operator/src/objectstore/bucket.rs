//! What every source does with a bucket over S3: look whether it is there and open to keys, and make it.

use std::time::Duration;

use super::{Bucket, Keys, StoreError, Way, region};
use crate::error::root_cause;
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
    Builder, Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

/// What connections share.
pub type S3Http = SharedHttpClient;

/// One set of TLS roots for all clusters. Connections are not kept: we ask seldom, and a kept one may be dead by then.
pub(super) fn http_client() -> S3Http {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .pool_max_idle_per_host(0)
        .build_https()
}

/// The same with TLS roots and a proxy of a cluster's own.
pub(super) fn http_client_by(way: &Way) -> Result<S3Http, String> {
    let mut context = TlsContext::builder();
    if let Some(ca) = &way.ca {
        context = context.with_trust_store(TrustStore::empty().with_pem_certificate(ca.pem()));
    }
    let mut connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.build().map_err(|error| root_cause(&error))?)
        .pool_max_idle_per_host(0);
    if let Some(proxy) = &way.proxy {
        connector = connector.proxy_config(proxy.of_aws()?);
    }
    Ok(http_client_fn(move |settings, components| {
        let mut connector = connector.clone();
        connector.set_connector_settings(Some(settings.clone()));
        connector.set_sleep_impl(components.sleep_impl());
        SharedHttpConnector::new(connector.build())
    }))
}

/// A bucket, reached with keys from somewhere.
pub struct S3Bucket {
    http: S3Http,
    pub(super) bucket: Bucket,
    /// The Secret that the keys are from, for messages. Empty when a source of ours has made them.
    secret: String,
}

impl S3Bucket {
    pub fn new(http: S3Http, bucket: Bucket, secret: String) -> Self {
        Self { http, bucket, secret }
    }

    /// That the bucket is there and the keys open it.
    pub async fn check(&self, keys: &Keys) -> Result<(), StoreError> {
        self.list(&self.client(keys)).await
    }

    /// The same, and makes the bucket when there is none. True when it did.
    pub async fn ensure(&self, keys: &Keys) -> Result<bool, StoreError> {
        let client = self.client(keys);
        match self.list(&client).await {
            Err(StoreError::BucketMissing { .. }) => {
                self.create(&client).await?;
                self.list(&client).await?;
                Ok(true)
            }
            other => other.map(|()| false),
        }
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

    pub(super) fn explain<E>(&self, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let endpoint = self.bucket.endpoint.clone();
        let bucket = self.bucket.name.clone();
        if let SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) = error {
            let (endpoint, cause) = (self.bucket.host_url(), root_cause(error));
            return StoreError::untrusted(&endpoint, &cause)
                .unwrap_or(StoreError::Unreachable { endpoint, cause });
        }
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = code_of(error).unwrap_or_else(|| {
            status.map_or_else(|| "no S3 answer".to_owned(), |status| format!("HTTP {status}"))
        });
        let about_keys = matches!(
            code.as_str(),
            "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "ExpiredToken"
                | "AccessDenied"
                | "Forbidden"
        );
        if code == "SecondLevelDomainForbidden" {
            return StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "it wants the bucket in the name of the host: set spec.objectStore.s3.pathStyle to false",
            };
        }
        if self.secret.is_empty() && (about_keys || matches!(status, Some(401 | 403))) {
            return StoreError::MadeKeysRefused {
                endpoint,
                bucket,
                code,
            };
        }
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
            (_, Some(407)) => StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "the proxy on the way wants another user and password: whoever installed the operator names them in the chart value proxy",
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
            ) => region::elsewhere(&self.bucket, code, error.raw_response()),
            (_, Some(301 | 302 | 307 | 308)) => StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "it sends requests elsewhere, which is not followed: name the S3 service itself in spec.objectStore.s3.endpoint, with https:// where it wants that",
            },
            _ => StoreError::Other {
                endpoint,
                bucket,
                code,
                hint: "check that spec.objectStore.s3.endpoint is an S3 service, and look at its log",
            },
        }
    }

    pub(super) fn client(&self, keys: &Keys) -> Client {
        let credentials = Credentials::new(
            keys.access_key_id.as_str(),
            keys.secret_access_key.expose(),
            keys.session_token.as_ref().map(|token| token.expose().to_owned()),
            None,
            "the Secret of the DnsCluster",
        );
        Client::from_conf(self.config().credentials_provider(credentials).build())
    }

    /// As everybody can ask.
    pub(super) fn client_without_keys(&self) -> Client {
        Client::from_conf(self.config().allow_no_auth().build())
    }

    fn config(&self) -> aws_sdk_s3::config::Builder {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(10))
            .build();
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&self.bucket.endpoint)
            .region(Region::new(self.bucket.region.clone()))
            .force_path_style(self.bucket.path_style)
            // Many stores that speak S3 do not know the newer checksums.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // The reconcile comes again by itself.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
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

pub(super) fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<String> {
    error
        .as_service_error()
        .and_then(|service| service.code())
        .map(str::to_owned)
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
