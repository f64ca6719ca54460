//! A client for the few calls of Cloudflare's API that a bucket of R2 and its temporary keys need.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use thiserror::Error;

use crate::secret::SecretText;

/// Cloudflare's codes for what we react to.
const NO_SUCH_BUCKET: u64 = 10006;
const BUCKET_NOT_EMPTY: u64 = 10008;
const BUCKET_EXISTS: [u64; 2] = [10004, 10073];
const NO_SUBSCRIPTION: u64 = 10042;

#[derive(Debug, Error)]
pub(super) enum CloudflareError {
    /// No answer.
    #[error("no answer to {call}")]
    Connect {
        call: &'static str,
        source: reqwest::Error,
    },
    /// An answer that says no.
    #[error("{call} answered {}: {}", status.as_u16(), list(codes))]
    Refused {
        call: &'static str,
        status: StatusCode,
        codes: Vec<u64>,
    },
    /// An answer of another kind than documented.
    #[error("{call} answered something unexpected")]
    Unexpected { call: &'static str },
}

impl CloudflareError {
    pub(super) fn has_code(&self, code: u64) -> bool {
        matches!(self, Self::Refused { codes, .. } if codes.contains(&code))
    }

    pub(super) fn is_no_subscription(&self) -> bool {
        self.has_code(NO_SUBSCRIPTION)
    }

    /// The token is not let do this.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403))
    }

    /// The token is none, or not of the kind that was asked for.
    fn is_about_token(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if matches!(status.as_u16(), 400 | 401 | 403 | 404))
    }

    /// Its codes as text.
    pub(super) fn codes(&self) -> String {
        match self {
            Self::Refused { codes, .. } => list(codes),
            other => other.to_string(),
        }
    }
}

/// Codes only: messages may quote what was asked.
fn list(codes: &[u64]) -> String {
    if codes.is_empty() {
        return "no code".to_owned();
    }
    let codes: Vec<String> = codes.iter().map(|code| format!("code {code}")).collect();
    codes.join(", ")
}

/// Temporary keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemporaryKeys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: SecretText,
    pub(super) session_token: SecretText,
}

/// What they shall be good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) bucket: &'a str,
    pub(super) prefix: &'a str,
    pub(super) ttl_seconds: i64,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default = "Vec::new")]
    errors: Vec<ApiError>,
    result: Option<T>,
}

#[derive(Deserialize)]
struct ApiError {
    code: u64,
}

#[derive(Deserialize)]
struct Token {
    id: String,
    status: String,
}

/// Of a bucket nothing is of use to us.
#[derive(Deserialize)]
struct BucketInfo {}

/// The address below `r2.dev` that a bucket can have.
#[derive(Deserialize)]
struct ManagedDomain {
    domain: String,
    enabled: bool,
}

/// Those of people's own zones.
#[derive(Deserialize)]
struct CustomDomains {
    domains: Vec<ManagedDomain>,
}

/// The API, with a token and for one account.
pub(super) struct CloudflareApi {
    http: reqwest::Client,
    url: String,
    account: String,
    token: SecretText,
}

impl CloudflareApi {
    pub(super) fn new(http: reqwest::Client, url: &str, account: String, token: SecretText) -> Self {
        Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            account,
            token,
        }
    }

    /// Where it is, for messages.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The ID of the token, which is the ID of the S3 key that belongs to it. None when it is not active. A token is the
    /// account's or a user's, and each kind is known at another place only.
    pub(super) async fn token_id(&self) -> Result<Option<String>, CloudflareError> {
        let call = "VerifyToken";
        let account = self.account_request(Method::GET, "tokens/verify");
        let found = match self.send::<Token>(call, account).await {
            Err(error) if error.is_about_token() => {
                let user = self.request(Method::GET, "user/tokens/verify");
                self.send::<Token>(call, user).await
            }
            other => other,
        };
        found.map(|token| (token.status == "active").then_some(token.id))
    }

    /// Whether there is such a bucket.
    pub(super) async fn has_bucket(
        &self,
        name: &str,
        jurisdiction: Option<&str>,
    ) -> Result<bool, CloudflareError> {
        let request = self.account_request(Method::GET, &format!("r2/buckets/{name}"));
        let found = self.send::<BucketInfo>("GetBucket", within(request, jurisdiction));
        match found.await {
            Ok(_) => Ok(true),
            Err(error) if error.has_code(NO_SUCH_BUCKET) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a bucket. False when there was one.
    pub(super) async fn create_bucket(
        &self,
        name: &str,
        jurisdiction: Option<&str>,
    ) -> Result<bool, CloudflareError> {
        let request = self.account_request(Method::POST, "r2/buckets");
        let request = within(request, jurisdiction).json(&json!({"name": name}));
        match self.send::<BucketInfo>("CreateBucket", request).await {
            Ok(_) => Ok(true),
            Err(error) if BUCKET_EXISTS.iter().any(|code| error.has_code(*code)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a bucket. False when something is in it.
    pub(super) async fn delete_bucket(
        &self,
        name: &str,
        jurisdiction: Option<&str>,
    ) -> Result<bool, CloudflareError> {
        let request = self.account_request(Method::DELETE, &format!("r2/buckets/{name}"));
        match self
            .send::<BucketInfo>("DeleteBucket", within(request, jurisdiction))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.has_code(NO_SUCH_BUCKET) => Ok(true),
            Err(error) if error.has_code(BUCKET_NOT_EMPTY) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The addresses at which everybody can read the bucket.
    pub(super) async fn public_domains(
        &self,
        name: &str,
        jurisdiction: Option<&str>,
    ) -> Result<Vec<String>, CloudflareError> {
        let request = |kind: &str| {
            let path = format!("r2/buckets/{name}/domains/{kind}");
            within(self.account_request(Method::GET, &path), jurisdiction)
        };
        let managed = self.send::<ManagedDomain>("GetManagedDomain", request("managed"));
        let custom = self.send::<CustomDomains>("ListCustomDomains", request("custom"));
        let mut domains = custom.await?.domains;
        domains.push(managed.await?);
        let enabled = domains.into_iter().filter(|domain| domain.enabled);
        Ok(enabled.map(|domain| domain.domain).collect())
    }

    /// Makes keys that read and write objects of the scope, and nothing else. `parent` is the token's ID: they end with it too.
    pub(super) async fn temporary_keys(
        &self,
        parent: &str,
        scope: Scope<'_>,
    ) -> Result<TemporaryKeys, CloudflareError> {
        let mut body = json!({
            "bucket": scope.bucket,
            "parentAccessKeyId": parent,
            "permission": "object-read-write",
            "ttlSeconds": scope.ttl_seconds,
        });
        // Without one they are for the whole bucket.
        if !scope.prefix.is_empty() {
            body["prefixes"] = json!([scope.prefix]);
        }
        let request = self.account_request(Method::POST, "r2/temp-access-credentials");
        self.send("CreateTemporaryCredentials", request.json(&body)).await
    }

    fn account_request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("accounts/{}/{path}", self.account))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/{path}", self.url))
            .bearer_auth(self.token.expose())
    }

    async fn send<T: DeserializeOwned>(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<T, CloudflareError> {
        let sent = request.send().await;
        let response = sent.map_err(|source| CloudflareError::Connect { call, source })?;
        let status = response.status();
        let envelope = response.json::<Envelope<T>>().await;
        match envelope {
            Ok(Envelope {
                success: true,
                result: Some(result),
                ..
            }) if status.is_success() => Ok(result),
            Ok(envelope) if !envelope.success => Err(CloudflareError::Refused {
                call,
                status,
                codes: envelope.errors.iter().map(|error| error.code).collect(),
            }),
            // Not by the API itself.
            _ if !status.is_success() => Err(CloudflareError::Refused {
                call,
                status,
                codes: Vec::new(),
            }),
            _ => Err(CloudflareError::Unexpected { call }),
        }
    }
}

/// Buckets of a jurisdiction are not seen without its name.
fn within(request: RequestBuilder, jurisdiction: Option<&str>) -> RequestBuilder {
    match jurisdiction {
        Some(name) => request.header("cf-r2-jurisdiction", name),
        None => request,
    }
}
