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
use crate::objectstore::bucket;

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

async fn create_key(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Reply {
    enter(&shared, &headers, "CreateKey")?;
    let expiration: Timestamp = body["expiration"].as_str().unwrap().parse().unwrap();
    assert!(expiration > Timestamp::now());
    let mut fake = shared.lock().unwrap();
    let id = format!("GK{}", fake.keys.len() + 1);
    fake.keys.push(json!({"id": id, "name": body["name"]}));
    Ok(Json(
        json!({"accessKeyId": id, "secretAccessKey": format!("secret-of-{id}")}),
    ))
}

async fn delete_key(State(shared): State<Shared>, headers: HeaderMap, query: Query<Value>) -> Reply {
    enter(&shared, &headers, "DeleteKey")?;
    shared
        .lock()
        .unwrap()
        .keys
        .retain(|key| key["id"] != query.0["id"]);
    Ok(Json(Value::Null))
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

fn source(url: String, token: &str) -> GarageSource {
    let request = GarageRequest {
        admin_url: url,
        admin_token: SecretText::new(token),
        bucket: Bucket {
            path_style: true,
            endpoint: "http://unused".into(),
            region: "moon".into(),
            name: "zones".into(),
            prefix: "a/schema-5/".into(),
        },
        key_name: "ours".into(),
        key_lifetime: SignedDuration::from_hours(1),
        managed: true,
        create_bucket: true,
        token_secret: "tide-garage".into(),
    };
    let http = crate::http_client::builder().build().unwrap();
    GarageSource::new(http, bucket::http_client(), request)
}

/// Starts it, and gives a source that talks to it.
async fn start(token: &str) -> (Shared, GarageSource) {
    let shared = Shared::default();
    let router = Router::new()
        .route("/v2/GetBucketInfo", get(bucket_info))
        .route("/v2/CreateBucket", post(create_bucket))
        .route("/v2/ListKeys", get(list_keys))
        .route("/v2/CreateKey", post(create_key))
        .route("/v2/DeleteKey", post(delete_key))
        .route("/v2/AllowBucketKey", post(allow))
        .with_state(shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (shared, source(url, token))
}

fn calls(shared: &Shared) -> Vec<&'static str> {
    std::mem::take(&mut shared.lock().unwrap().calls)
}

#[tokio::test]
async fn the_bucket_is_made_once() {
    let (shared, source) = start(TOKEN).await;
    assert_eq!(source.prepare().await, Ok(true));
    assert_eq!(source.prepare().await, Ok(false));
    assert_eq!(calls(&shared), ["GetBucketInfo", "CreateBucket", "GetBucketInfo"]);
}

#[tokio::test]
async fn each_key_is_a_new_one_that_ends_and_may_use_the_bucket() {
    let (shared, source) = start(TOKEN).await;
    source.prepare().await.unwrap();
    calls(&shared);
    let minted = source.mint().await.unwrap();
    assert_eq!(
        (
            minted.keys.access_key_id.as_str(),
            minted.keys.secret_access_key.expose()
        ),
        ("GK1", "secret-of-GK1")
    );
    let left = minted.expires.unwrap().duration_since(Timestamp::now());
    assert!(left <= SignedDuration::from_hours(1) && left > SignedDuration::from_mins(50));
    assert_eq!(calls(&shared), ["GetBucketInfo", "CreateKey", "AllowBucketKey"]);
    assert_eq!(source.mint().await.unwrap().keys.access_key_id, "GK2");
    assert_eq!(
        shared.lock().unwrap().allowed,
        [("b1".into(), "GK1".into()), ("b1".into(), "GK2".into())]
    );
}

#[tokio::test]
async fn all_keys_of_our_name_but_the_one_in_use_are_ended() {
    let (shared, source) = start(TOKEN).await;
    shared.lock().unwrap().keys = vec![
        json!({"id": "GK0", "name": "other"}),
        json!({"id": "GK3", "name": "ours"}),
        json!({"id": "GK2", "name": "ours"}),
    ];
    assert_eq!(source.revoke_others(Some("GK2")).await.unwrap(), ["GK3"]);
    assert_eq!(source.revoke_others(None).await.unwrap(), ["GK2"]);
    assert_eq!(
        shared.lock().unwrap().keys,
        [json!({"id": "GK0", "name": "other"})]
    );
}

#[tokio::test]
async fn a_wrong_token_is_an_error_that_says_what_failed() {
    let (_shared, source) = start("wrong").await;
    let error = source.prepare().await.unwrap_err();
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
    let error = source(url.clone(), TOKEN).prepare().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "EndpointUnreachable");
    assert!(
        error.to_string().contains(&url) && error.to_string().contains("refused"),
        "{error}"
    );
}

/// One that the operator does not run.
fn existing(url: String, token: &str) -> GarageSource {
    let mut source = source(url, token);
    source.request.managed = false;
    source.request.create_bucket = false;
    source.request.token_secret = "moon".into();
    source
}

#[tokio::test]
async fn in_an_existing_garage_a_bucket_is_not_made_unasked() {
    let (shared, managed) = start(TOKEN).await;
    let source = existing(managed.api.url().to_owned(), TOKEN);
    let error = source.prepare().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "BucketMissing");
    assert_eq!(calls(&shared), ["GetBucketInfo"]);
    managed.prepare().await.unwrap();
    assert_eq!(source.prepare().await, Ok(false));
}

#[tokio::test]
async fn a_garage_without_version_2_of_the_api_is_told_from_a_wrong_token() {
    let old = Router::new().fallback(async || {
        let body = json!({"code": "InvalidRequest", "message": "Unknown API endpoint"});
        (StatusCode::BAD_REQUEST, Json(body))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, old).await });
    let error = existing(url, TOKEN).prepare().await.unwrap_err();
    assert!(
        error.to_string().contains("it takes Garage 2.0 or newer"),
        "{error}"
    );

    let (_shared, managed) = start(TOKEN).await;
    let error = existing(managed.api.url().to_owned(), "wrong")
        .prepare()
        .await
        .unwrap_err();
    assert_eq!(error.reason().as_str(), "AccessDenied");
    let text = error.to_string();
    assert!(
        text.contains(
            "does not let the token find the bucket (AccessDenied): put a valid one into the Secret moon"
        ),
        "{text}"
    );
}
