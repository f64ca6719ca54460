//! The Google store against fake-gcs-server. That one takes every token for good and knows no uploads in parts and no pages
//! of listings in the XML API, so those are not shown here; a guard before it checks whose tokens are.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zonetide_agent::store::{GcsOptions, Store, open_gcs};
use zonetide_testbed::FakeGcs;
use zonetide_testbed::emulators::service_account;

use crate::node::{Node, ZONE};
use crate::store::{client, get, names, put};

const LONG: Duration = Duration::from_secs(3600);

/// A fake-gcs-server behind a guard that lets in tokens of one key only.
struct Guarded {
    endpoint: String,
    key_id: Arc<Mutex<String>>,
    _server: FakeGcs,
}

impl Guarded {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = FakeGcs::start(Some(&address)).await;
        server.bucket("zones").await;
        let key_id = Arc::new(Mutex::new("one".to_owned()));
        let (behind, accepted) = (server.endpoint(), key_id.clone());
        let http = reqwest::Client::new();
        let router =
            axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let accepted = accepted.lock().unwrap().clone();
                // It takes an upload without parts for a signed URL's only.
                let signed = if method == Method::PUT {
                    "?X-Goog-Algorithm=GOOG4-RSA-SHA256"
                } else {
                    ""
                };
                let request = http
                    .request(method, format!("{behind}{uri}{signed}"))
                    .headers(headers.clone())
                    .body(body);
                async move {
                    if key_id_of(&headers).as_deref() == Some(&accepted) {
                        pass_on(request).await
                    } else {
                        (
                            StatusCode::UNAUTHORIZED,
                            "<Error><Code>AuthenticationRequired</Code></Error>",
                        )
                            .into_response()
                    }
                }
            });
        // Snapshots are larger than axum's own limit.
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            endpoint: format!("http://{address}"),
            key_id,
            _server: server,
        }
    }

    fn accept(&self, key_id: &str) {
        key_id.clone_into(&mut self.key_id.lock().unwrap());
    }

    fn open(&self, bucket: &str, account: &Path) -> Arc<dyn Store> {
        open_gcs(&GcsOptions {
            bucket: bucket.into(),
            endpoint_url: self.endpoint.clone(),
            service_account_file: Some(account.to_owned()),
            secrets_refresh_interval: LONG,
            global_prefix: "ns/schema-5/".into(),
            storage_class: String::new(),
            client: client(),
        })
        .unwrap()
    }
}

async fn pass_on(request: reqwest::RequestBuilder) -> Response {
    let answer = request.send().await.unwrap();
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove("transfer-encoding");
    // Google's answer to an upload has one, that of this server to a signed URL has not.
    headers.entry("etag").or_insert(HeaderValue::from_static("\"1\""));
    (status, headers, Body::from(answer.bytes().await.unwrap())).into_response()
}

/// The ID of the key that signed a request's token.
fn key_id_of(headers: &HeaderMap) -> Option<String> {
    let token = headers
        .get("authorization")?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")?;
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Some(header["kid"].as_str()?.to_owned())
}

#[tokio::test]
async fn two_servers_replicate_through_a_bucket_and_go_on_with_a_renewed_key() {
    let google = Guarded::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.json");
    service_account(&file, "one");
    let storage = json!({"type": "gcs", "options": {
        "endpoint_url": google.endpoint,
        "bucket": "zones",
        "service_account_file": file,
        "secrets_refresh_interval": "1s",
        "global_prefix": "ns/",
    }});
    let (mut a, mut b) = (Node::new("a", &storage), Node::new("b", &storage));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;

    google.accept("two");
    a.comes_to_fail("the store refuses the keys").await;
    a.write("www", "192.0.2.2").await;
    service_account(&file, "two");
    b.comes_to_say("www", "192.0.2.2").await;
    b.write("www", "192.0.2.3").await;
    a.comes_to_say("www", "192.0.2.3").await;
}

#[tokio::test]
async fn a_refused_key_is_said_and_a_renewed_one_is_used_at_once() {
    let google = Guarded::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.json");
    service_account(&file, "one");
    let store = google.open("zones", &file);
    put(store.as_ref(), "main__a", b"1").await.unwrap();

    google.accept("two");
    let error = store.list("main__").await.unwrap_err().to_string();
    assert!(error.contains("refuses the keys"), "{error}");
    service_account(&file, "two");
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
}

#[tokio::test]
async fn objects_go_there_and_back_and_vanish() {
    let google = Guarded::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.json");
    service_account(&file, "one");
    let store = google.open("zones", &file);
    let large: Vec<u8> = (0..=250).cycle().take(4 << 20).collect();
    for content in [&b""[..], b"small", &large] {
        put(store.as_ref(), "main__a", content).await.unwrap();
        assert!(
            get(store.as_ref(), "main__a").await == content,
            "{} bytes",
            content.len()
        );
    }
    put(store.as_ref(), "other__a", b"other").await.unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
    assert_eq!(names(store.as_ref(), "").await, ["main__a", "other__a"]);
    store.delete("main__a").await.unwrap();
    assert_eq!(names(store.as_ref(), "").await, ["other__a"]);
}
