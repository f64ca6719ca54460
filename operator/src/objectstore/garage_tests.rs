//! Against a small server that knows the admin API's few calls and keeps buckets and keys.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::*;
use crate::objectstore::garage_api::http_client;

#[derive(Default)]
struct Fake {
    bucket: Option<String>,
    keys: Vec<Value>,
    allowed: Vec<(String, String)>,
    calls: Vec<&'static str>,
}

type Shared = Arc<Mutex<Fake>>;
type Reply = Result<Json<Value>, (StatusCode, Json<Value>)>;

const TOKEN: &str = "token";

fn enter(shared: &Shared, headers: &HeaderMap, call: &'static str) -> Result<(), (StatusCode, Json<Value>)> {
    let given = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    if given != Some(format!("Bearer {TOKEN}")) {
        return Err((
            StatusCode::FORBIDDEN,
            Json(json!({"code": "AccessDenied", "message": "no"})),
        ));
    }
    shared.lock().unwrap().calls.push(call);
    Ok(())
}

fn full_key(fake: &Fake, id: &str, secret: bool) -> Value {
    let mut key = fake.keys.iter().find(|key| key["id"] == id).unwrap().clone();
    let buckets: Vec<Value> = fake
        .allowed
        .iter()
        .filter(|(_, key)| key == id)
        .map(
            |(bucket, _)| json!({"id": bucket, "permissions": {"read": true, "write": true, "owner": false}}),
        )
        .collect();
    key["accessKeyId"] = json!(id);
    key["buckets"] = json!(buckets);
    if secret {
        key["secretAccessKey"] = json!(format!("secret-of-{id}"));
    }
    key
}

async fn bucket_info(State(shared): State<Shared>, headers: HeaderMap, query: Query<Value>) -> Reply {
    enter(&shared, &headers, "GetBucketInfo")?;
    assert_eq!(query.0, json!({"globalAlias": "zones"}));
    match &shared.lock().unwrap().bucket {
        Some(id) => Ok(Json(json!({"id": id}))),
        None => Err((
            StatusCode::NOT_FOUND,
            Json(json!({"code": "NoSuchBucket", "message": "none"})),
        )),
    }
}

async fn create_bucket(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Reply {
    enter(&shared, &headers, "CreateBucket")?;
    assert_eq!(body, json!({"globalAlias": "zones"}));
    shared.lock().unwrap().bucket = Some("b1".into());
    Ok(Json(json!({"id": "b1"})))
}

async fn list_keys(State(shared): State<Shared>, headers: HeaderMap) -> Reply {
    enter(&shared, &headers, "ListKeys")?;
    Ok(Json(json!(shared.lock().unwrap().keys)))
}

async fn key_info(State(shared): State<Shared>, headers: HeaderMap, query: Query<Value>) -> Reply {
    enter(&shared, &headers, "GetKeyInfo")?;
    assert_eq!(query.0["showSecretKey"], "true");
    Ok(Json(full_key(
        &shared.lock().unwrap(),
        query.0["id"].as_str().unwrap(),
        true,
    )))
}

async fn create_key(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Reply {
    enter(&shared, &headers, "CreateKey")?;
    assert_eq!(body, json!({"name": "zonetide"}));
    let mut fake = shared.lock().unwrap();
    fake.keys
        .push(json!({"id": "GK1", "name": "zonetide", "created": "2026-01-02T00:00:00Z", "expired": false}));
    Ok(Json(full_key(&fake, "GK1", true)))
}

async fn allow(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Reply {
    enter(&shared, &headers, "AllowBucketKey")?;
    assert_eq!(
        body["permissions"],
        json!({"read": true, "write": true, "owner": false})
    );
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    shared
        .lock()
        .unwrap()
        .allowed
        .push((text("bucketId"), text("accessKeyId")));
    Ok(Json(json!({"id": "b1"})))
}

/// Starts it, and gives a source that talks to it.
async fn start(token: &str) -> (Shared, GarageSource) {
    let shared = Shared::default();
    let router = Router::new()
        .route("/v2/GetBucketInfo", get(bucket_info))
        .route("/v2/CreateBucket", post(create_bucket))
        .route("/v2/ListKeys", get(list_keys))
        .route("/v2/GetKeyInfo", get(key_info))
        .route("/v2/CreateKey", post(create_key))
        .route("/v2/AllowBucketKey", post(allow))
        .with_state(shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let api = GarageApi::new(http_client().unwrap(), url, SecretText::new(token));
    (shared, GarageSource::new(api, "zones".into()))
}

fn calls(shared: &Shared) -> Vec<&'static str> {
    std::mem::take(&mut shared.lock().unwrap().calls)
}

#[tokio::test]
async fn the_first_time_a_bucket_and_a_key_are_made_and_tied_together() {
    let (shared, source) = start(TOKEN).await;
    let keys = source.ensure().await.unwrap();
    assert_eq!(
        (keys.access_key_id.as_str(), keys.secret_access_key.expose()),
        ("GK1", "secret-of-GK1")
    );
    assert_eq!(
        calls(&shared),
        [
            "GetBucketInfo",
            "CreateBucket",
            "ListKeys",
            "CreateKey",
            "AllowBucketKey"
        ]
    );
}

#[tokio::test]
async fn the_next_times_the_same_key_is_read_and_nothing_made() {
    let (shared, source) = start(TOKEN).await;
    let first = source.ensure().await.unwrap();
    calls(&shared);
    assert_eq!(source.ensure().await.unwrap(), first);
    assert_eq!(calls(&shared), ["GetBucketInfo", "ListKeys", "GetKeyInfo"]);
}

#[tokio::test]
async fn a_key_that_was_made_but_not_allowed_yet_is_taken_up() {
    let (shared, source) = start(TOKEN).await;
    source.ensure().await.unwrap();
    shared.lock().unwrap().allowed.clear();
    calls(&shared);
    source.ensure().await.unwrap();
    assert_eq!(
        calls(&shared),
        ["GetBucketInfo", "ListKeys", "GetKeyInfo", "AllowBucketKey"]
    );
}

#[tokio::test]
async fn of_several_keys_the_oldest_of_our_name_that_lives_is_taken() {
    let (shared, source) = start(TOKEN).await;
    shared.lock().unwrap().keys = vec![
        json!({"id": "GK0", "name": "other", "created": "2025-01-01T00:00:00Z", "expired": false}),
        json!({"id": "GK3", "name": "zonetide", "created": "2025-01-01T00:00:00Z", "expired": true}),
        json!({"id": "GK2", "name": "zonetide", "created": "2026-01-03T00:00:00Z", "expired": false}),
        json!({"id": "GK9", "name": "zonetide", "created": "2026-01-02T00:00:00Z", "expired": false}),
    ];
    assert_eq!(source.ensure().await.unwrap().access_key_id, "GK9");
}

#[tokio::test]
async fn a_wrong_token_is_an_error_that_says_what_failed() {
    let (_shared, source) = start("wrong").await;
    let error = source.ensure().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "StoreError");
    let text = error.to_string();
    assert!(
        text.contains("failed to find the bucket: GetBucketInfo answered 403 Forbidden: AccessDenied"),
        "{text}"
    );
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unreachable() {
    // A port that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let api = GarageApi::new(http_client().unwrap(), url.clone(), SecretText::new(TOKEN));
    let error = GarageSource::new(api, "zones".into()).ensure().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "EndpointUnreachable");
    assert!(
        error.to_string().contains(&url) && error.to_string().contains("refused"),
        "{error}"
    );
}
