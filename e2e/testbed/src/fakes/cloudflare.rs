//! The part of Cloudflare's API that makes buckets of R2 and temporary keys to them.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Journal, Server, policy};
use crate::minio::Minio;

pub const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
/// An API token, and its ID.
pub const TOKEN: &str = "v1.0-loopback-only";
pub const TOKEN_ID: &str = "fedcba9876543210fedcba9876543210";

/// What the one token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenKind {
    /// Of the account, which may edit R2 storage.
    #[default]
    Account,
    /// The same of a user.
    User,
    /// It has been switched off.
    Disabled,
    /// It may see R2 storage and not edit it.
    ReadOnly,
    /// The account has no R2.
    NoSubscription,
}

/// A running fake; R2 itself is a MinIO.
pub struct Cloudflare {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    r2: Minio,
    token: TokenKind,
    journal: Journal,
    /// Addresses at which everybody can read all buckets: the one below r2.dev, and one of the account's own zone.
    public: Mutex<(bool, bool)>,
}

/// An answer that says no.
struct Refusal(StatusCode, u64, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let errors = json!([{"code": code, "message": message}]);
        let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
        (status, axum::Json(body)).into_response()
    }
}

type Reply = Result<axum::Json<Value>, Refusal>;

const UNKNOWN_TOKEN: Refusal = Refusal(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token");
const UNAUTHENTICATED: Refusal = Refusal(StatusCode::FORBIDDEN, 10000, "Authentication error");
const BAD_JSON: Refusal = Refusal(
    StatusCode::BAD_REQUEST,
    10040,
    "The JSON you provided was not well formed.",
);
const UNAUTHORIZED: Refusal = Refusal(StatusCode::UNAUTHORIZED, 10002, "Unauthorized");

#[allow(clippy::unnecessary_wraps)] // an end of handlers
fn success(result: &Value) -> Reply {
    let body = json!({"success": true, "errors": [], "messages": [], "result": result});
    Ok(axum::Json(body))
}

impl Cloudflare {
    /// # Panics
    /// When there is no port for it.
    pub async fn start(r2: Minio, token: TokenKind) -> Self {
        let shared = Arc::new(Shared {
            r2,
            token,
            journal: Journal::default(),
            public: Mutex::default(),
        });
        let account = "/client/v4/accounts/{account}";
        let router = Router::new()
            .route(&format!("{account}/tokens/verify"), get(verify_account_token))
            .route("/client/v4/user/tokens/verify", get(verify_user_token))
            .route(&format!("{account}/r2/buckets"), post(create_bucket))
            .route(
                &format!("{account}/r2/buckets/{{name}}"),
                get(get_bucket).delete(delete_bucket),
            )
            .route(
                &format!("{account}/r2/buckets/{{name}}/domains/{{kind}}"),
                get(domains),
            )
            .route(
                &format!("{account}/r2/temp-access-credentials"),
                post(temporary_keys),
            )
            .fallback(async || Refusal(StatusCode::NOT_FOUND, 7003, "Could not route to this path"))
            .with_state(shared.clone());
        let server = Server::start(router).await;
        Self { server, shared }
    }

    /// What clients take for `https://api.cloudflare.com/client/v4`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/client/v4", self.server.url())
    }

    /// What stands for R2.
    #[must_use]
    pub fn r2(&self) -> &Minio {
        &self.shared.r2
    }

    /// Opens buckets to everybody at an address below r2.dev, and at one of the account's own.
    pub fn publish(&self, managed: bool, custom: bool) {
        *self.shared.public.lock().unwrap_or_else(PoisonError::into_inner) = (managed, custom);
    }

    /// What was asked and granted since the last time.
    #[must_use]
    pub fn granted(&self) -> Vec<String> {
        self.shared.journal.take()
    }
}

/// That the request shows the token.
fn enter(headers: &HeaderMap) -> bool {
    let shown = headers.get("authorization").map(http::HeaderValue::as_bytes);
    shown == Some(format!("Bearer {TOKEN}").as_bytes())
}

/// That it may do something in this account.
fn enter_r2(shared: &Shared, headers: &HeaderMap, account: &str, edits: bool) -> Result<(), Refusal> {
    let active = shared.token != TokenKind::Disabled;
    let enough = !edits || shared.token != TokenKind::ReadOnly;
    if !enter(headers) || !active || !enough || account != ACCOUNT {
        return Err(UNAUTHENTICATED);
    }
    if shared.token == TokenKind::NoSubscription {
        let message = "Please enable R2 through the Cloudflare Dashboard.";
        return Err(Refusal(StatusCode::FORBIDDEN, 10042, message));
    }
    Ok(())
}

async fn verify_account_token(
    State(shared): State<Arc<Shared>>,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Reply {
    if !enter(&headers) || account != ACCOUNT || shared.token == TokenKind::User {
        return Err(UNKNOWN_TOKEN);
    }
    success(&json!({"id": TOKEN_ID, "status": status(&shared)}))
}

async fn verify_user_token(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Reply {
    if !enter(&headers) || shared.token != TokenKind::User {
        return Err(UNKNOWN_TOKEN);
    }
    success(&json!({"id": TOKEN_ID, "status": status(&shared)}))
}

fn status(shared: &Shared) -> &'static str {
    match shared.token {
        TokenKind::Disabled => "disabled",
        _ => "active",
    }
}

async fn get_bucket(
    State(shared): State<Arc<Shared>>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Reply {
    enter_r2(&shared, &headers, &account, false)?;
    if !shared.r2.has_bucket(&name).await {
        let message = "The specified bucket does not exist.";
        return Err(Refusal(StatusCode::NOT_FOUND, 10006, message));
    }
    success(&json!({"name": name, "creation_date": "2026-01-01T00:00:00Z", "location": "WEUR"}))
}

async fn domains(
    State(shared): State<Arc<Shared>>,
    Path((account, name, kind)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Reply {
    enter_r2(&shared, &headers, &account, false)?;
    if !shared.r2.has_bucket(&name).await {
        let message = "The specified bucket does not exist.";
        return Err(Refusal(StatusCode::NOT_FOUND, 10006, message));
    }
    let (managed, custom) = *shared.public.lock().unwrap_or_else(PoisonError::into_inner);
    match kind.as_str() {
        "managed" => {
            success(&json!({"bucketId": "b1", "domain": format!("pub-{name}.r2.dev"), "enabled": managed}))
        }
        "custom" => success(&json!({"domains": [
            {"domain": "zones.example.com", "enabled": custom, "status": {"ownership": "active", "ssl": "active"}},
        ]})),
        _ => Err(Refusal(
            StatusCode::NOT_FOUND,
            7003,
            "Could not route to this path",
        )),
    }
}

async fn delete_bucket(
    State(shared): State<Arc<Shared>>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Reply {
    enter_r2(&shared, &headers, &account, true)?;
    if !shared.r2.has_bucket(&name).await {
        let message = "The specified bucket does not exist.";
        return Err(Refusal(StatusCode::NOT_FOUND, 10006, message));
    }
    if !shared.r2.delete_bucket(&name).await {
        let message = "The bucket you tried to delete is not empty.";
        return Err(Refusal(StatusCode::CONFLICT, 10008, message));
    }
    shared.journal.note(format!("no bucket {name}"));
    success(&json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewBucket {
    name: String,
    location_hint: Option<String>,
}

async fn create_bucket(
    State(shared): State<Arc<Shared>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    enter_r2(&shared, &headers, &account, true)?;
    let bucket: NewBucket = parse(&headers, &body)?;
    let hints = ["apac", "eeur", "enam", "weur", "wnam", "oc"];
    let known = |hint: &String| hints.contains(&hint.as_str());
    if !bucket.location_hint.as_ref().is_none_or(known) {
        return Err(BAD_JSON);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=63).contains(&bucket.name.len()) || !bucket.name.bytes().all(plain) {
        let message = "The specified bucket name is not valid.";
        return Err(Refusal(StatusCode::BAD_REQUEST, 10005, message));
    }
    if shared.r2.has_bucket(&bucket.name).await {
        let message = "The bucket you tried to create already exists, and you own it.";
        return Err(Refusal(StatusCode::CONFLICT, 10004, message));
    }
    shared.r2.bucket(&bucket.name).await;
    shared.journal.note(format!("bucket {}", bucket.name));
    success(&json!({"name": bucket.name, "creation_date": "2026-01-01T00:00:00Z", "location": "WEUR"}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewKeys {
    bucket: String,
    parent_access_key_id: String,
    permission: String,
    ttl_seconds: u32,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    objects: Vec<String>,
}

async fn temporary_keys(
    State(shared): State<Arc<Shared>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    enter_r2(&shared, &headers, &account, true)?;
    let wanted: NewKeys = parse(&headers, &body)?;
    if wanted.parent_access_key_id != TOKEN_ID {
        return Err(UNAUTHORIZED);
    }
    // Other permissions are documented, and more than a server of ours may have; so is a scope of single objects.
    if wanted.permission != "object-read-write" || !wanted.objects.is_empty() {
        return Err(BAD_JSON);
    }
    if !(1..=604_800).contains(&wanted.ttl_seconds) {
        return Err(BAD_JSON);
    }
    let policy = policy(&wanted.bucket, &wanted.prefixes);
    let keys = shared.r2.assume_role(&policy, wanted.ttl_seconds).await;
    shared.journal.note(format!(
        "keys for {} under {:?} for {} s",
        wanted.bucket, wanted.prefixes, wanted.ttl_seconds
    ));
    success(&json!({
        "accessKeyId": keys.access_key,
        "secretAccessKey": keys.secret_key,
        "sessionToken": keys.session_token,
    }))
}

fn parse<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    let content = headers.get("content-type").map(http::HeaderValue::as_bytes);
    if content != Some(b"application/json") {
        return Err(BAD_JSON);
    }
    serde_json::from_slice(body).map_err(|_| BAD_JSON)
}
