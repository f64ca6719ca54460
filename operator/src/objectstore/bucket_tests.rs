//! Against a server that answers like S3 stores do.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::IntoResponse,
};

use super::*;
use crate::{
    objectstore::{GivenRequest, GivenSource, Source},
    secret::SecretText,
};

/// What the next LIST and PUT answer: a status and an error code, or success.
#[derive(Clone, Copy)]
struct Behaviour {
    list: Option<(u16, &'static str)>,
    create: Option<(u16, &'static str)>,
}

#[derive(Default)]
struct Seen {
    list: Option<(u16, &'static str)>,
    create: Option<(u16, &'static str)>,
    requests: Vec<String>,
}

const FINE: Behaviour = Behaviour {
    list: None,
    create: None,
};

async fn answer(State(seen): State<Arc<Mutex<Seen>>>, method: Method, uri: Uri) -> impl IntoResponse {
    let mut seen = seen.lock().unwrap();
    seen.requests.push(format!("{method} {uri}"));
    let refusal = if method == Method::PUT {
        // A bucket that was made is there.
        if seen.create.is_none() {
            seen.list = None;
        }
        seen.create
    } else {
        seen.list
    };
    match refusal {
        Some((status, code)) => (
            StatusCode::from_u16(status).unwrap(),
            format!("<Error><Code>{code}</Code><Message>m</Message><RequestId>r</RequestId></Error>"),
        ),
        None if method == Method::GET => (
            StatusCode::OK,
            "<ListBucketResult><Name>crater</Name><KeyCount>0</KeyCount></ListBucketResult>".to_owned(),
        ),
        None => (StatusCode::OK, String::new()),
    }
}

async fn start(behaviour: Behaviour, create_bucket: bool) -> (Arc<Mutex<Seen>>, GivenSource) {
    let seen = Arc::new(Mutex::new(Seen {
        list: behaviour.list,
        create: behaviour.create,
        requests: vec![],
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (seen, source(endpoint, create_bucket))
}

fn source(endpoint: String, create_bucket: bool) -> GivenSource {
    let bucket = Bucket {
        path_style: true,
        endpoint,
        region: "moon".into(),
        name: "crater".into(),
        prefix: "a/schema-5/".into(),
    };
    let keys = Keys {
        access_key_id: "id".into(),
        secret_access_key: SecretText::new("hidden"),
        session_token: None,
    };
    let request = GivenRequest {
        bucket,
        create_bucket,
        keys: Ok(keys),
        secret: "moon-keys".into(),
    };
    GivenSource::new(http_client(), request)
}

async fn trouble(status: u16, code: &'static str) -> StoreError {
    let (_seen, source) = start(
        Behaviour {
            list: Some((status, code)),
            ..FINE
        },
        false,
    )
    .await;
    source.prepare().await.unwrap_err()
}

#[tokio::test]
async fn a_bucket_that_can_be_listed_is_ready_and_addressed_by_path() {
    let (seen, source) = start(FINE, false).await;
    assert_eq!(source.prepare().await, Ok(false));
    let requests = seen.lock().unwrap().requests.clone();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("GET /crater"), "{requests:?}");
    assert!(requests[0].contains("prefix=a%2Fschema-5%2F"), "{requests:?}");
}

#[tokio::test]
async fn a_missing_bucket_names_the_remedy() {
    let error = trouble(404, "NoSuchBucket").await;
    assert_eq!(error.reason().as_str(), "BucketMissing");
    assert!(
        error
            .to_string()
            .contains("has no bucket crater: create it, or set"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_bucket_is_made_when_asked_for() {
    let (seen, source) = start(
        Behaviour {
            list: Some((404, "NoSuchBucket")),
            create: None,
        },
        true,
    )
    .await;
    assert_eq!(source.prepare().await, Ok(true));
    assert!(seen.lock().unwrap().requests[1].starts_with("PUT /crater"));
}

#[tokio::test]
async fn keys_that_may_not_make_the_bucket_are_told_apart() {
    let behaviour = Behaviour {
        list: Some((404, "NoSuchBucket")),
        create: Some((403, "AccessDenied")),
    };
    let (_seen, source) = start(behaviour, true).await;
    let error = source.prepare().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "AccessDenied");
    assert!(
        error
            .to_string()
            .contains("does not let the keys create bucket crater"),
        "{error}"
    );
}

#[tokio::test]
async fn a_bucket_that_someone_made_in_between_is_fine() {
    let behaviour = Behaviour {
        list: Some((404, "NoSuchBucket")),
        create: Some((409, "BucketAlreadyOwnedByYou")),
    };
    let (seen, source) = start(behaviour, true).await;
    assert!(
        source.prepare().await.is_err(),
        "the fake goes on saying that there is none"
    );
    assert_eq!(
        seen.lock().unwrap().requests.len(),
        3,
        "it was not looked at again"
    );
}

#[tokio::test]
async fn wrong_keys_name_the_secret_and_not_the_keys() {
    for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"] {
        let error = trouble(403, code).await;
        assert_eq!(error.reason().as_str(), "AccessDenied");
        let text = error.to_string();
        assert!(text.contains(code) && text.contains("moon-keys"), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn another_region_is_named_as_such() {
    let error = trouble(301, "PermanentRedirect").await;
    assert_eq!(error.reason().as_str(), "StoreError");
    assert!(
        error.to_string().contains("spec.objectStore.s3.region"),
        "{error}"
    );
    let error = trouble(301, "").await.to_string();
    assert!(
        error.contains("name the S3 service itself") && !error.contains("region"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_speak_s3_is_an_error_with_its_status() {
    let error = trouble(500, "InternalError").await;
    assert_eq!(error.reason().as_str(), "StoreError");
    assert!(error.to_string().contains("InternalError"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_unreachable_with_the_cause() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = source(endpoint.clone(), false).prepare().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "EndpointUnreachable");
    assert!(
        error.to_string().contains(&endpoint) && error.to_string().contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn keys_that_could_not_be_read_are_the_answer() {
    let error = StoreError::SecretMissing {
        name: "n".into(),
        id_key: "i".into(),
        secret_key: "s".into(),
    };
    let request = GivenRequest {
        bucket: source("http://unused".into(), false).bucket.bucket,
        create_bucket: false,
        keys: Err(error.clone()),
        secret: "n".into(),
    };
    let source = GivenSource::new(http_client(), request);
    assert_eq!(source.prepare().await, Err(error));
}

#[test]
fn only_regions_of_aws_are_said_again() {
    assert!(needs_location("eu-central-1"));
    assert!(needs_location("us-gov-west-1"));
    for region in ["us-east-1", "garage", "auto", "my-own-region"] {
        assert!(!needs_location(region), "{region}");
    }
}
