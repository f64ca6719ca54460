//! A client for the few calls of Garage's admin API (version 2) that a bucket and its key need.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use thiserror::Error;

use crate::secret::SecretText;

/// In place of the code where an answer has none.
pub(super) const NO_CODE: &str = "no code";

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

    pub(super) fn is_bucket_exists(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "BucketAlreadyExists")
    }

    pub(super) fn is_bad_request(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::BAD_REQUEST)
    }

    /// It would do it, but cannot.
    pub(super) fn is_server_error(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.is_server_error() && status.as_u16() != 501)
    }
}

/// An access key, as listed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyItem {
    pub id: String,
    pub name: String,
}

/// An access key as made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    pub access_key_id: String,
    #[serde(default)]
    pub secret_access_key: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketInfo {
    id: String,
    #[serde(default)]
    website_access: bool,
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

    /// Whether Garage serves the bucket as a website, to everybody.
    pub async fn is_website(&self, alias: &str) -> Result<bool, GarageApiError> {
        let query = [("globalAlias", alias)];
        let info: BucketInfo = self.get("GetBucketInfo", &query).await?;
        Ok(info.website_access)
    }

    /// Ends all uploads to a bucket that were begun so long ago and are not ended.
    pub async fn end_uploads(&self, bucket: &str, begun_before: Duration) -> Result<(), GarageApiError> {
        let body = json!({"bucketId": bucket, "olderThanSecs": begun_before.as_secs()});
        self.post::<Value>("CleanupIncompleteUploads", &body)
            .await
            .map(drop)
    }

    /// Makes a bucket and gives its ID.
    pub async fn create_bucket(&self, alias: &str) -> Result<String, GarageApiError> {
        Ok(self
            .post::<BucketInfo>("CreateBucket", &json!({"globalAlias": alias}))
            .await?
            .id)
    }

    /// Removes a bucket. False when something is in it.
    pub async fn delete_bucket(&self, id: &str) -> Result<bool, GarageApiError> {
        let request = self.request(Method::POST, "DeleteBucket").query(&[("id", id)]);
        match self.send_for_nothing("DeleteBucket", request).await {
            Err(GarageApiError::Refused { code, .. }) if code == "BucketNotEmpty" => Ok(false),
            Err(error) if error.is_no_such_bucket() => Ok(true),
            other => other.map(|()| true),
        }
    }

    /// All keys, without their secrets.
    pub async fn keys(&self) -> Result<Vec<KeyItem>, GarageApiError> {
        self.get("ListKeys", &[]).await
    }

    /// Makes a key that may not do anything yet.
    pub async fn create_key(&self, name: &str, expires: Timestamp) -> Result<NewKey, GarageApiError> {
        let body = json!({"name": name, "expiration": expires.to_string()});
        self.post("CreateKey", &body).await
    }

    /// Ends a key. One that is gone already is fine.
    pub async fn delete_key(&self, id: &str) -> Result<(), GarageApiError> {
        let request = self.request(Method::POST, "DeleteKey").query(&[("id", id)]);
        match self.send_for_nothing("DeleteKey", request).await {
            Err(GarageApiError::Refused { code, .. }) if code == "NoSuchAccessKey" => Ok(()),
            other => other,
        }
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

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        call: &'static str,
        query: &[(&str, &str)],
    ) -> Result<T, GarageApiError> {
        self.send(call, self.request(Method::GET, call).query(query))
            .await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        call: &'static str,
        body: &Value,
    ) -> Result<T, GarageApiError> {
        self.post_to(call, &[], body).await
    }

    pub(super) async fn post_to<T: DeserializeOwned>(
        &self,
        call: &'static str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<T, GarageApiError> {
        let request = self.request(Method::POST, call).query(query);
        self.send(call, request.json(body)).await
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
        let answer = self.answer(call, request).await?.json().await;
        answer.map_err(|source| GarageApiError::Unexpected { call, source })
    }

    async fn send_for_nothing(
        &self,
        call: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<(), GarageApiError> {
        self.answer(call, request).await.map(drop)
    }

    async fn answer(
        &self,
        call: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, GarageApiError> {
        let sent = request.send().await;
        let response = sent.map_err(|source| GarageApiError::Connect { call, source })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // Only the code: messages may quote what was asked.
        let code = response
            .json::<Refusal>()
            .await
            .map_or_else(|_| NO_CODE.to_owned(), |body| body.code);
        Err(GarageApiError::Refused { call, status, code })
    }
}
