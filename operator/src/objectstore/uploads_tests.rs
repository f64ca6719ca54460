//! Against a server that answers like S3 stores do.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::*;
use crate::{
    objectstore::{Bucket, GivenRequest, GivenSource, Removed, Source, bucket::http_client},
    secret::SecretText,
};

const OWN: &str = "main__0a1b2c3d-shore-tide-0__20261124-090051-000000000__G-0.pb.gz";
const OTHER: &str = "main__ffffffff-shore-tide-0__20261124-090051-000000000__G-0.pb.gz";

/// A store with two pages of uploads, or what it says instead.
#[derive(Default)]
struct Fake {
    refusal: Option<(u16, &'static str)>,
    /// Names and IDs of what was aborted.
    aborted: Vec<String>,
}

type Shared = Arc<Mutex<Fake>>;

fn upload(name: &str, id: u8) -> String {
    format!("<Upload><Key>a/schema-5/{name}</Key><UploadId>{id}</UploadId></Upload>")
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let parts: Vec<&str> = query.split('&').collect();
    let mut fake = shared.lock().unwrap();
    if method == Method::DELETE {
        let id = parts.iter().find(|part| part.starts_with("uploadId=")).unwrap();
        fake.aborted.push(format!("{} {id}", uri.path()));
        return StatusCode::NO_CONTENT.into_response();
    }
    if !parts.iter().any(|part| part.trim_end_matches('=') == "uploads") {
        return "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>".into_response();
    }
    assert!(parts.contains(&"prefix=a%2Fschema-5%2F"), "{query}");
    if let Some((status, code)) = fake.refusal {
        let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let second = parts.contains(&"key-marker=k") && parts.contains(&"upload-id-marker=2");
    let (uploads, more) = if second {
        (upload(OWN, 3), "<IsTruncated>false</IsTruncated>")
    } else {
        let uploads = upload(OWN, 1) + &upload(OTHER, 2);
        let next = "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>";
        (uploads, next)
    };
    format!("<ListMultipartUploadsResult>{more}{uploads}</ListMultipartUploadsResult>").into_response()
}

async fn removed(refusal: Option<(u16, &'static str)>) -> (Result<Removed, StoreError>, Vec<String>) {
    let shared = Shared::default();
    shared.lock().unwrap().refusal = refusal;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(shared.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let keys = Keys {
        access_key_id: "id".into(),
        secret_access_key: SecretText::new("hidden"),
        session_token: None,
    };
    let request = GivenRequest {
        bucket: Bucket {
            path_style: true,
            endpoint,
            region: "moon".into(),
            name: "crater".into(),
            prefix: "a/schema-5/".into(),
        },
        create_bucket: false,
        keys: Ok(keys.clone()),
        secret: "moon-keys".into(),
    };
    let own = Own {
        instances: "0a1b2c3d-shore-tide-".into(),
    };
    let removed = GivenSource::new(http_client(), request)
        .remove_own(&keys, &own)
        .await;
    let aborted = shared.lock().unwrap().aborted.clone();
    (removed, aborted)
}

#[tokio::test]
async fn unfinished_uploads_of_the_own_servers_are_ended_on_all_pages() {
    let (removed, aborted) = removed(None).await;
    let removed = removed.unwrap();
    assert_eq!((removed.uploads, removed.done), (2, true));
    let path = format!("/crater/a/schema-5/{OWN}");
    assert_eq!(
        aborted,
        [format!("{path} uploadId=1"), format!("{path} uploadId=3")]
    );
}

#[tokio::test]
async fn a_store_that_does_not_list_uploads_does_not_hold_up_a_removal() {
    for refusal in [
        (403, "AccessDenied"),
        (501, "NotImplemented"),
        (400, "InvalidRequest"),
    ] {
        let (removed, aborted) = removed(Some(refusal)).await;
        let removed = removed.unwrap();
        assert_eq!((removed.uploads, removed.done), (0, true), "{refusal:?}");
        assert!(aborted.is_empty());
    }
}
