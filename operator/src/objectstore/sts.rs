//! The one call to an STS that makes keys, and what its refusals mean.

use std::time::Duration;

use aws_sdk_sts::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use jiff::{SignedDuration, Timestamp};

use super::{Bucket, Keys, Minted, S3Http, StoreError};
use crate::{error::root_cause, secret::SecretText};

/// STS takes no longer name of a session.
const LONGEST_NAME: usize = 64;

/// An STS, and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct StsRequest {
    pub endpoint: String,
    pub region: String,
    pub role_arn: Option<String>,
    pub session_name: String,
    pub policy: String,
    pub lifetime: SignedDuration,
    /// Name of the Secret with the keys that ask, for messages.
    pub secret: String,
}

/// Where the STS for a bucket is, when the spec does not say: of AWS in the bucket's region, of others where the bucket is.
pub fn default_endpoint(bucket: &Bucket) -> String {
    let region = &bucket.region;
    // It becomes part of a host's name.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty() && region.bytes().all(plain) {
        for domain in ["amazonaws.com", "amazonaws.com.cn"] {
            if is_below(host(&bucket.endpoint), domain) {
                return format!("https://sts.{region}.{domain}");
            }
        }
    }
    bucket.endpoint.clone()
}

/// The region that requests to it are signed for: AWS' own says so in its name.
pub(super) fn region_of(endpoint: &str, bucket: &Bucket) -> String {
    let host = host(endpoint);
    if host == "sts.amazonaws.com" {
        return "us-east-1".to_owned();
    }
    let labels: Vec<&str> = host.split('.').collect();
    match labels[..] {
        ["sts" | "sts-fips", region, "amazonaws", "com"] | ["sts", region, "amazonaws", "com", "cn"] => {
            region.to_owned()
        }
        _ => bucket.region.clone(),
    }
}

/// What sessions are called, in the characters and the length that STS takes.
pub fn session_name(namespace: &str, name: &str) -> String {
    format!("zonetide-{namespace}-{name}")
        .chars()
        .map(|char| {
            let taken = char.is_ascii_alphanumeric() || "_+=,.@-".contains(char);
            if taken { char } else { '-' }
        })
        .take(LONGEST_NAME)
        .collect()
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Makes keys.
pub(super) async fn assume_role(
    http: S3Http,
    request: &StsRequest,
    admin: &Keys,
) -> Result<Minted, StoreError> {
    let seconds = i32::try_from(request.lifetime.as_secs()).unwrap_or(i32::MAX);
    let answer = client(http, request, admin)
        .assume_role()
        // MinIO wants none: the keys are those of the user who asks.
        .set_role_arn(request.role_arn.clone())
        .role_session_name(&request.session_name)
        .policy(&request.policy)
        .duration_seconds(seconds)
        .send()
        .await
        .map_err(|error| explain(request, &error))?;
    let keys = answer.credentials().ok_or_else(|| other(request, "no keys"))?;
    let expires = Timestamp::from_second(keys.expiration().secs());
    Ok(Minted {
        keys: Keys {
            access_key_id: keys.access_key_id().to_owned(),
            secret_access_key: SecretText::new(keys.secret_access_key()),
            session_token: Some(SecretText::new(keys.session_token())),
        },
        expires: Some(expires.map_err(|_| other(request, "an end that is no time"))?),
    })
}

fn client(http: S3Http, request: &StsRequest, admin: &Keys) -> Client {
    let credentials = Credentials::new(
        admin.access_key_id.as_str(),
        admin.secret_access_key.expose(),
        admin
            .session_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
        None,
        "the admin's Secret",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(&request.endpoint)
        .region(Region::new(request.region.clone()))
        .credentials_provider(credentials)
        // The reconcile comes again by itself.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

fn explain<E>(request: &StsRequest, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (endpoint, secret) = (request.endpoint.clone(), request.secret.clone());
    if let SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) = error {
        let cause = root_cause(error);
        return StoreError::untrusted(&endpoint, &cause)
            .unwrap_or(StoreError::StsUnreachable { endpoint, cause });
    }
    let answer = error.as_service_error().map(ProvideErrorMetadata::meta);
    let code = answer.and_then(|meta| meta.code()).map(str::to_owned);
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code =
        code.unwrap_or_else(|| status.map_or("no STS answer".to_owned(), |status| format!("HTTP {status}")));
    let message = answer.and_then(|meta| meta.message()).unwrap_or_default();
    match code.as_str() {
        "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "UnrecognizedClientException" => StoreError::AdminKeysRefused {
            endpoint,
            code,
            secret,
        },
        // MinIO has one code for all, and only the text tells them apart.
        "AccessDenied" if says_wrong_keys(message) => StoreError::AdminKeysRefused {
            endpoint,
            code,
            secret,
        },
        "AccessDenied" | "NoSuchEntity" | "NoSuchRole" => StoreError::NotAssumable {
            endpoint,
            code,
            secret,
            role: role(request),
        },
        "MalformedPolicyDocument" | "PackedPolicyTooLarge" => StoreError::PolicyRefused { endpoint, code },
        "ValidationError" | "InvalidParameterValue" | "InvalidArgument"
            if message.to_ascii_lowercase().contains("durationseconds") =>
        {
            StoreError::LifetimeRefused { endpoint, code }
        }
        "ValidationError" if message.contains("at 'policy'") => StoreError::PolicyRefused { endpoint, code },
        // Parameters that are missing or wrong: of those, only the role is the spec's.
        "ValidationError" | "MissingParameter" | "InvalidArgument" | "InvalidParameterValue" => {
            StoreError::RoleUnusable {
                endpoint,
                code,
                role: role(request),
            }
        }
        "RegionDisabledException" => StoreError::Sts {
            endpoint,
            answer: code,
            hint: "activate STS in that region, or name that of another in spec.objectStore.s3.credentials.assumeRole.stsEndpoint",
        },
        _ => other(request, &code),
    }
}

fn says_wrong_keys(message: &str) -> bool {
    message.contains("Access Key Id") || message.contains("signature we calculated")
}

fn role(request: &StsRequest) -> String {
    match &request.role_arn {
        Some(arn) => format!("the role {arn}"),
        None => "a role without a name".to_owned(),
    }
}

fn other(request: &StsRequest, answer: &str) -> StoreError {
    StoreError::Sts {
        endpoint: request.endpoint.clone(),
        answer: answer.to_owned(),
        hint: "check that there is an STS, and name it in spec.objectStore.s3.credentials.assumeRole.stsEndpoint",
    }
}

#[cfg(test)]
#[path = "sts_tests.rs"]
mod tests;
