//! `AssumeRole` of AWS' STS, as far as a session policy for one bucket and prefix needs it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    Journal, Server,
    signature::{Invalid, Signature},
};
use crate::minio::Minio;

pub const REGION: &str = "eu-central-1";
/// The admin's keys.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7LOOPBACK";
pub const SECRET_KEY: &str = "loopback-only/loopback-only";
/// The role that they may assume.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/dns";

/// What AWS allows for.
const LONGEST_POLICY: usize = 2048;
const SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;

/// A running fake; S3 itself is a MinIO, where the admin is the root user.
pub struct AwsSts {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    s3: Minio,
    journal: Journal,
}

struct Refusal(StatusCode, &'static str, String);

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, "ValidationError", message.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        (status, [("content-type", "text/xml")], body).into_response()
    }
}

impl AwsSts {
    /// # Panics
    /// When there is no port for it.
    pub async fn start(s3: Minio) -> Self {
        let shared = Arc::new(Shared {
            s3,
            journal: Journal::default(),
        });
        let router = Router::new().fallback(assume_role).with_state(shared.clone());
        let server = Server::start(router).await;
        Self { server, shared }
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What stands for S3.
    #[must_use]
    pub fn s3(&self) -> &Minio {
        &self.shared.s3
    }

    /// What was asked and granted since the last time.
    #[must_use]
    pub fn granted(&self) -> Vec<String> {
        self.shared.journal.take()
    }
}

async fn assume_role(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    authenticate(&method, &uri, &headers, &body)?;
    let form = form(&headers, &body)?;
    let get = |name: &str| {
        let missing = || Refusal::invalid(format!("{name} is missing"));
        form.get(name).map(String::as_str).ok_or_else(missing)
    };
    if (get("Action")?, get("Version")?) != ("AssumeRole", "2011-06-15") {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            "no such action of this version".to_owned(),
        ));
    }
    if get("RoleArn")? != ROLE {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "not authorized to perform: sts:AssumeRole".to_owned(),
        ));
    }
    let name = get("RoleSessionName")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=64).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(constraint(
            "roleSessionName",
            name,
            "satisfy regular expression pattern: [\\w+=,.@-]*",
        ));
    }
    let asked = get("DurationSeconds")?;
    let seconds = asked.parse().ok();
    let Some(seconds) = seconds.filter(|seconds| SECONDS.contains(seconds)) else {
        return Err(constraint(
            "durationSeconds",
            asked,
            "have value less than or equal to 43200",
        ));
    };
    let policy = check_policy(get("Policy")?)?;
    let keys = shared.s3.assume_role(&policy, seconds).await;
    shared.journal.note(format!("{name} for {seconds} s: {policy}"));
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds.into());
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ");
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{expires}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>AROA:{name}</AssumedRoleId>\
         <Arn>{ROLE}/{name}</Arn></AssumedRoleUser></AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId>\
         </ResponseMetadata></AssumeRoleResponse>",
        keys.access_key, keys.secret_key, keys.session_token
    );
    Ok((StatusCode::OK, [("content-type", "text/xml")], body).into_response())
}

/// In the words of AWS.
fn constraint(member: &str, value: &str, must: &str) -> Refusal {
    Refusal::invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {must}"
    ))
}

fn authenticate(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let forbidden = |code, message: &str| Refusal(StatusCode::FORBIDDEN, code, message.to_owned());
    let explain = |invalid: Invalid| match invalid {
        Invalid::Missing => forbidden("MissingAuthenticationToken", "no signature"),
        Invalid::Incomplete => forbidden("IncompleteSignature", "not all is signed"),
        Invalid::OutOfScope => forbidden("SignatureDoesNotMatch", "signed for another region or service"),
        Invalid::DoesNotMatch => forbidden("SignatureDoesNotMatch", "made with another secret"),
    };
    let signature = Signature::read(headers).map_err(explain)?;
    if signature.access_key != ACCESS_KEY {
        return Err(forbidden(
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        ));
    }
    let request = (method, uri.path());
    let verified = signature.verify(SECRET_KEY, (REGION, "sts"), request, headers, body);
    verified.map_err(explain)?;
    if method != Method::POST || uri.path() != "/" {
        return Err(Refusal::invalid("not a POST to /"));
    }
    Ok(())
}

/// That it is a policy as AWS takes it, and one that gives something of a single bucket only.
fn check_policy(text: &str) -> Result<Value, Refusal> {
    let malformed = |why: &str| Refusal(StatusCode::BAD_REQUEST, "MalformedPolicyDocument", why.to_owned());
    if text.len() > LONGEST_POLICY {
        return Err(constraint(
            "policy",
            "…",
            "have length less than or equal to 2048",
        ));
    }
    let policy: Value = serde_json::from_str(text).map_err(|_| malformed("no JSON"))?;
    if policy["Version"] != "2012-10-17" {
        return Err(malformed("Version"));
    }
    let statements = policy["Statement"]
        .as_array()
        .ok_or_else(|| malformed("Statement"))?;
    let mut bucket = None;
    for statement in statements {
        if statement["Effect"] != "Allow" {
            return Err(malformed("Effect"));
        }
        for action in texts(&statement["Action"]) {
            if !action.starts_with("s3:") || action.contains('*') {
                return Err(malformed("an action that is not one of S3's"));
            }
        }
        let resources = texts(&statement["Resource"]);
        if resources.is_empty() {
            return Err(malformed("no Resource"));
        }
        for resource in resources {
            let name = resource.strip_prefix("arn:aws:s3:::").unwrap_or("*");
            let name = name.split('/').next().unwrap_or_default();
            if name.contains(['*', '?']) || *bucket.get_or_insert(name) != name {
                return Err(malformed("more than one bucket"));
            }
        }
    }
    Ok(policy)
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let content = headers.get("content-type").map(http::HeaderValue::as_bytes);
    if !content.is_some_and(|content| content.starts_with(b"application/x-www-form-urlencoded")) {
        return Err(Refusal::invalid("content-type"));
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::invalid("not UTF-8"))?;
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = pairs.map(|(name, value)| Some((decode(name)?, decode(value)?)));
    let form: Option<BTreeMap<_, _>> = decoded.collect();
    form.ok_or_else(|| Refusal::invalid("not a form"))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}
