//! Against a server that answers like STS do.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse};

use super::*;
use crate::objectstore::bucket::http_client;

fn bucket(endpoint: &str) -> Bucket {
    Bucket {
        path_style: true,
        endpoint: endpoint.into(),
        region: "moon-1".into(),
        name: "crater".into(),
        prefix: "a/schema-5/".into(),
    }
}

#[test]
fn the_sts_is_where_the_bucket_is_but_for_aws_where_it_is_the_regions() {
    let endpoint = |url: &str| default_endpoint(&bucket(url));
    assert_eq!(endpoint("http://minio.test:9000"), "http://minio.test:9000");
    assert_eq!(
        endpoint("https://s3.moon-1.amazonaws.com"),
        "https://sts.moon-1.amazonaws.com"
    );
    assert_eq!(
        endpoint("https://s3.moon-1.amazonaws.com.cn"),
        "https://sts.moon-1.amazonaws.com.cn"
    );
    assert_eq!(endpoint("https://notamazonaws.com"), "https://notamazonaws.com");
}

#[test]
fn a_region_that_is_no_name_does_not_become_a_host() {
    let bucket = Bucket {
        region: "evil.test/".into(),
        ..bucket("https://s3.moon-1.amazonaws.com")
    };
    assert_eq!(default_endpoint(&bucket), "https://s3.moon-1.amazonaws.com");
}

#[test]
fn the_region_to_sign_for_is_that_of_the_sts() {
    let region = |url: &str| region_of(url, &bucket("https://s3.test"));
    assert_eq!(region("https://sts.amazonaws.com"), "us-east-1");
    assert_eq!(region("https://sts.sea-2.amazonaws.com"), "sea-2");
    assert_eq!(region("https://sts-fips.sea-2.amazonaws.com"), "sea-2");
    assert_eq!(region("https://sts.sea-2.amazonaws.com.cn"), "sea-2");
    assert_eq!(region("http://minio.test:9000"), "moon-1");
}

#[test]
fn a_sessions_name_has_only_what_sts_takes_and_not_more_of_it() {
    assert_eq!(session_name("shore", "tide"), "zonetide-shore-tide");
    assert_eq!(
        session_name("shore", "tide.low").as_str(),
        "zonetide-shore-tide.low"
    );
    assert_eq!(session_name(&"n".repeat(63), "tide").len(), 64);
    assert_eq!(session_name("a b", "c"), "zonetide-a-b-c");
}

struct Fake {
    answer: (u16, String),
    seen: Vec<String>,
}

async fn answer(State(fake): State<Arc<Mutex<Fake>>>, body: String) -> impl IntoResponse {
    let mut fake = fake.lock().unwrap();
    fake.seen.push(body);
    (
        StatusCode::from_u16(fake.answer.0).unwrap(),
        fake.answer.1.clone(),
    )
}

async fn start(status: u16, body: String) -> (Arc<Mutex<Fake>>, StsRequest) {
    let fake = Arc::new(Mutex::new(Fake {
        answer: (status, body),
        seen: vec![],
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = request(format!("http://{}", listener.local_addr().unwrap()));
    let router = Router::new().fallback(answer).with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (fake, request)
}

fn request(endpoint: String) -> StsRequest {
    StsRequest {
        endpoint,
        region: "moon-1".into(),
        role_arn: None,
        session_name: "zonetide-shore-tide".into(),
        policy: "{}".into(),
        lifetime: SignedDuration::from_mins(15),
        secret: "moon-admin".into(),
    }
}

async fn ask(request: &StsRequest) -> Result<Minted, StoreError> {
    let admin = Keys {
        access_key_id: "id".into(),
        secret_access_key: SecretText::new("hidden"),
        session_token: None,
    };
    assume_role(http_client(), request, &admin).await
}

async fn refusal(status: u16, code: &str, message: &str) -> StoreError {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    let (_fake, request) = start(status, body).await;
    let error = ask(&request).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(code) && text.contains(&request.endpoint), "{text}");
    assert!(!text.contains("hidden"), "{text}");
    error
}

const KEYS: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
    <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s1</SecretAccessKey><SessionToken>t1</SessionToken>\
    <Expiration>2030-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

#[tokio::test]
async fn keys_come_with_their_token_and_the_end_that_the_sts_says() {
    let (fake, request) = start(200, KEYS.into()).await;
    let minted = ask(&request).await.unwrap();
    assert_eq!(minted.keys.access_key_id, "ASIA1");
    assert_eq!(minted.keys.secret_access_key.expose(), "s1");
    assert_eq!(minted.keys.session_token.unwrap().expose(), "t1");
    assert_eq!(minted.expires.unwrap().to_string(), "2030-01-02T03:04:05Z");
    let seen = fake.lock().unwrap().seen.join("");
    for part in [
        "Action=AssumeRole",
        "Version=2011-06-15",
        "DurationSeconds=900",
        "RoleSessionName=zonetide-shore-tide",
        "Policy=%7B%7D",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    assert!(!seen.contains("RoleArn"), "{seen}");
}

#[tokio::test]
async fn a_role_is_named_when_the_spec_does() {
    let (fake, request) = start(200, KEYS.into()).await;
    let request = StsRequest {
        role_arn: Some("arn:aws:iam::1:role/dns".into()),
        ..request
    };
    ask(&request).await.unwrap();
    let seen = fake.lock().unwrap().seen.join("");
    assert!(
        seen.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fdns"),
        "{seen}"
    );
}

#[tokio::test]
async fn refused_keys_of_the_admin_name_the_secret() {
    for (code, message) in [
        ("InvalidClientTokenId", "no"),
        ("SignatureDoesNotMatch", "no"),
        (
            "AccessDenied",
            "The Access Key Id you provided does not exist in our records.",
        ),
    ] {
        let error = refusal(403, code, message).await;
        assert_eq!(error.reason().as_str(), "AccessDenied");
        assert!(error.is_about_admin() && !error.is_about_keys());
        assert!(error.to_string().contains("the Secret moon-admin"), "{error}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_names_the_field() {
    let error = refusal(403, "AccessDenied", "not authorized to perform: sts:AssumeRole").await;
    assert!(error.to_string().contains("assumeRole.roleArn"), "{error}");
    assert!(error.to_string().contains("trust policy"), "{error}");
}

#[tokio::test]
async fn a_role_that_is_missing_and_a_lifetime_that_is_too_long_are_told_apart() {
    let role = refusal(400, "ValidationError", "Value null at 'roleArn'").await;
    assert!(role.to_string().contains("give the ARN of a role"), "{role}");
    let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    let long = refusal(400, "ValidationError", message).await;
    assert!(long.to_string().contains("assumeRole.keyLifetime"), "{long}");
}

#[tokio::test]
async fn a_refused_policy_names_the_prefix() {
    for code in ["MalformedPolicyDocument", "PackedPolicyTooLarge"] {
        let error = refusal(400, code, "no").await;
        assert!(
            error.to_string().contains("spec.objectStore.s3.prefix"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_no_sts_names_the_field() {
    let (_fake, request) = start(404, "no such page".into()).await;
    let error = ask(&request).await.unwrap_err();
    assert_eq!(error.reason().as_str(), "StoreError");
    assert!(error.to_string().contains("answered HTTP 404"), "{error}");
    assert!(error.to_string().contains("assumeRole.stsEndpoint"), "{error}");
}

#[tokio::test]
async fn an_sts_that_does_not_answer_is_unreachable_with_the_cause() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = request(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = ask(&request).await.unwrap_err();
    assert_eq!(error.reason().as_str(), "EndpointUnreachable");
    assert!(error.to_string().contains("refused"), "{error}");
}
