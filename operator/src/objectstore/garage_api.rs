//! A client for the few calls of Garage's admin API (version 2) that a bucket and its key need.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use thiserror::Error;

use crate::secret::SecretText;

#[derive(Debug, Error)]
pub enum GarageApiError {
    /// No answer.
    #[error("no answer to {call}")]
    Connect {
        call: &'static str,
        source: reqwest::Error,
    },
    /// An answer that says no.
    #[error("{call} answered {status}: {code}")]
    Refused {
        call: &'static str,
        status: StatusCode,
        code: String,
    },
    /// An answer of another kind than this version of Garage gives.
    #[error("{call} answered something unexpected")]
    Unexpected {
        call: &'static str,
        source: reqwest::Error,
    },
}

impl GarageApiError {
    /// Said by Garage itself: a bare 404 may come from anything that stands in its place.
    fn is_no_such_bucket(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "NoSuchBucket")
    }
}

/// An access key, as listed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyItem {
    pub id: String,
    pub name: String,
    /// RFC 3339, so that it sorts as text.
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub expired: bool,
}

/// An access key with what it may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyInfo {
    pub access_key_id: String,
    #[serde(default)]
    pub secret_access_key: Option<String>,
    #[serde(default)]
    pub buckets: Vec<KeyBucket>,
}

/// A bucket that a key may use.
#[derive(Clone, Debug, Deserialize)]
pub struct KeyBucket {
    pub id: String,
    pub permissions: Permissions,
}

/// What a key may do with a bucket.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Permissions {
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub write: bool,
}

#[derive(Deserialize)]
struct BucketInfo {
    id: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

/// The API of one Garage.
pub struct GarageApi {
    http: reqwest::Client,
    url: String,
    token: SecretText,
}

/// With time limits fit for a neighbour in the same cluster. Connections are not kept: behind a Service, a kept one may
/// lead to a pod that is no longer there, and we ask seldom.
pub(super) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    // Built together with the agent, reqwest has TLS in it without a provider, and then wants one for plain
    // HTTP as well. Whoever was first has set the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
}

impl GarageApi {
    pub fn new(http: reqwest::Client, url: String, token: SecretText) -> Self {
        Self { http, url, token }
    }

    /// Where it is, for messages.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The ID of the bucket with this name, if there is one.
    pub async fn bucket(&self, alias: &str) -> Result<Option<String>, GarageApiError> {
        match self
            .get::<BucketInfo>("GetBucketInfo", &[("globalAlias", alias)])
            .await
        {
            Ok(bucket) => Ok(Some(bucket.id)),
            Err(error) if error.is_no_such_bucket() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a bucket and gives its ID.
    pub async fn create_bucket(&self, alias: &str) -> Result<String, GarageApiError> {
        Ok(self
            .post::<BucketInfo>("CreateBucket", &json!({"globalAlias": alias}))
            .await?
            .id)
    }

    /// All keys, without their secrets.
    pub async fn keys(&self) -> Result<Vec<KeyItem>, GarageApiError> {
        self.get("ListKeys", &[]).await
    }

    /// One key, with its secret.
    pub async fn key(&self, id: &str) -> Result<KeyInfo, GarageApiError> {
        self.get("GetKeyInfo", &[("id", id), ("showSecretKey", "true")])
            .await
    }

    /// Makes a key that may not do anything yet.
    pub async fn create_key(&self, name: &str) -> Result<KeyInfo, GarageApiError> {
        self.post("CreateKey", &json!({"name": name})).await
    }

    /// Lets a key read and write a bucket, and nothing else.
    pub async fn allow(&self, bucket: &str, access_key_id: &str) -> Result<(), GarageApiError> {
        let body = json!({
            "bucketId": bucket,
            "accessKeyId": access_key_id,
            "permissions": {"read": true, "write": true, "owner": false},
        });
        self.post::<Value>("AllowBucketKey", &body).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        call: &'static str,
        query: &[(&str, &str)],
    ) -> Result<T, GarageApiError> {
        self.send(call, self.request(Method::GET, call).query(query))
            .await
    }

    async fn post<T: DeserializeOwned>(&self, call: &'static str, body: &Value) -> Result<T, GarageApiError> {
        self.send(call, self.request(Method::POST, call).json(body)).await
    }

    fn request(&self, method: Method, call: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}/v2/{call}", self.url))
            .bearer_auth(self.token.expose())
    }

    async fn send<T: DeserializeOwned>(
        &self,
        call: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, GarageApiError> {
        let response = request
            .send()
            .await
            .map_err(|source| GarageApiError::Connect { call, source })?;
        let status = response.status();
        if status.is_success() {
            return response
                .json()
                .await
                .map_err(|source| GarageApiError::Unexpected { call, source });
        }
        // Only the code: messages may quote what was asked.
        let code = response
            .json::<Refusal>()
            .await
            .map_or_else(|_| "no code".to_owned(), |body| body.code);
        Err(GarageApiError::Refused { call, status, code })
    }
}
