//! Keys that a platform gives for a token of the pod: by an STS, and by an endpoint on the node. The giver is played by a small
//! server that takes requests only as they are documented; the keys are those of a real MinIO.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use zonetide_agent::store::{Identity, S3Options, open_s3};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::minio::Temporary;
use zonetide_testbed::{Minio, eventually};

use crate::node::{Node, SOON, ZONE};
use crate::store::{names, options, put};
use crate::temporary::comes_to_use;

const ROLE: &str = "arn:aws:iam::123456789012:role/dns";

/// What is given, and for which token.
struct Giver {
    keys: Temporary,
    token: String,
    lasting: SignedDuration,
    given: u32,
    refused: Vec<String>,
}

type Shared = Arc<Mutex<Giver>>;

impl Giver {
    fn expiration(&self) -> String {
        (Timestamp::now() + self.lasting)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    }

    fn refuse(&mut self, why: String) -> (StatusCode, String) {
        self.refused.push(why.clone());
        (StatusCode::BAD_REQUEST, why)
    }
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
async fn assume_role(State(giver): State<Shared>, uri: Uri, headers: HeaderMap) -> (StatusCode, String) {
    let mut giver = giver.lock().unwrap();
    let url = reqwest::Url::parse(&format!("http://sts{uri}")).unwrap();
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let token = giver.token.clone();
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", ROLE),
        ("RoleSessionName", "zonetide-agent"),
        ("WebIdentityToken", &token),
    ];
    for (name, value) in expected {
        if query.get(name).map(String::as_str) != Some(value) {
            return giver.refuse(format!("{name} is wrong"));
        }
    }
    if headers.contains_key("authorization") {
        return giver.refuse("the token is the only proof".to_owned());
    }
    giver.given += 1;
    let answer = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        giver.keys.bucket.access_key,
        giver.keys.bucket.secret_key,
        giver.keys.session_token,
        giver.expiration()
    );
    (StatusCode::OK, answer)
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
async fn endpoint(State(giver): State<Shared>, headers: HeaderMap) -> (StatusCode, String) {
    let mut giver = giver.lock().unwrap();
    let shown = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    if shown.as_ref() != Some(&giver.token) {
        return giver.refuse("authorization is wrong".to_owned());
    }
    giver.given += 1;
    let answer = json!({
        "AccessKeyId": giver.keys.bucket.access_key,
        "SecretAccessKey": giver.keys.bucket.secret_key,
        "Token": giver.keys.session_token,
        "Expiration": giver.expiration(),
    });
    (StatusCode::OK, answer.to_string())
}

async fn serve(keys: Temporary, token: &str, lasting: SignedDuration) -> (Shared, String) {
    let giver = Arc::new(Mutex::new(Giver {
        keys,
        token: token.to_owned(),
        lasting,
        given: 0,
        refused: Vec::new(),
    }));
    let router = Router::new()
        .route("/", post(assume_role))
        .route("/v1/credentials", get(endpoint))
        .with_state(giver.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (giver, url)
}

fn without_keys(bucket: &Bucket) -> S3Options {
    S3Options {
        access_key: String::new(),
        secret_key: String::new(),
        ..options(bucket)
    }
}

#[tokio::test]
async fn a_pod_that_shows_its_web_identity_gets_keys_and_renews_them_with_the_token_of_the_day() {
    let minio = Minio::start().await;
    let bucket = minio.bucket("zones").await;
    let first = minio.temporary(&bucket).await;
    // Keys are renewed five minutes before their end: from a few seconds on.
    let lasting = SignedDuration::from_secs(303);
    let (giver, sts) = serve(first.clone(), "token of today", lasting).await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "token of today").unwrap();
    let mut nodes = ["a", "b"].map(|name| {
        let mut node = Node::new(name, &bucket);
        for (option, value) in [
            ("access_key", json!(null)),
            ("secret_key", json!(null)),
            ("web_identity_token_file", json!(token)),
            ("role_arn", json!(ROLE)),
            ("sts_endpoint", json!(sts)),
        ] {
            node.agent.set_store_option(option, value);
        }
        node
    });
    for node in &mut nodes {
        node.start().await;
        comes_to_use(node, &first).await;
    }
    let [a, b] = &nodes;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;

    let second = minio.temporary(&bucket).await;
    {
        let mut giver = giver.lock().unwrap();
        giver.keys = second.clone();
        giver.token = "token of tomorrow".to_owned();
    }
    std::fs::write(&token, "token of tomorrow").unwrap();
    for node in &nodes {
        comes_to_use(node, &second).await;
    }
    minio.revoke(&first).await;
    b.write("renewed", "192.0.2.2").await;
    a.comes_to_say("renewed", "192.0.2.2").await;

    // An STS that refuses, or is away, takes nothing away that is still good.
    giver.lock().unwrap().token = "another".to_owned();
    eventually(SOON, "the STS refuses", async || {
        let refused = giver.lock().unwrap().refused.len();
        if refused > 5 {
            Ok(())
        } else {
            Err(refused.to_string())
        }
    })
    .await;
    a.write("refused", "192.0.2.3").await;
    b.comes_to_say("refused", "192.0.2.3").await;
    let log = a.agent.log();
    for secret in ["token of", &second.session_token, &second.bucket.secret_key] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn an_endpoint_on_the_node_gives_keys_to_who_shows_its_token() {
    let minio = Minio::start().await;
    let bucket = minio.bucket("zones").await;
    let keys = minio.temporary(&bucket).await;
    let (giver, url) = serve(keys, "a pod's token", SignedDuration::from_hours(1)).await;
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "a pod's token").unwrap();
    let store = open_s3(&S3Options {
        identity: Some(Identity::Endpoint {
            url: format!("{url}/v1/credentials"),
            token_file,
        }),
        ..without_keys(&bucket)
    })
    .unwrap();
    put(store.as_ref(), "main__a", b"1").await.unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
    assert_eq!(giver.lock().unwrap().given, 1, "they are kept");
}
