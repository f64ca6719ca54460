//! A real MinIO, the other S3 server that the operator can run, as one node on loopback: with temporary keys.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::garage::Bucket;
use crate::http::{HOST, HttpClient, HttpError};
use crate::net::{free_port, loopback};
use crate::process::Process;
use crate::sigv4::{Signer, encode};
use crate::tools;

pub const ROOT_USER: &str = "root-of-the-tests";
pub const ROOT_PASSWORD: &str = "loopback-only";
const REGION: &str = "us-east-1";
const START_DEADLINE: Duration = Duration::from_secs(60);

pub struct Minio {
    /// First, so that it has ended and its log is read before the directory goes.
    process: Option<Process>,
    dir: TempDir,
    port: u16,
    region: &'static str,
}

/// Keys that end by themselves, and a third text without which the others are nothing.
#[derive(Clone)]
pub struct Temporary {
    /// The bucket with the two keys.
    pub bucket: Bucket,
    pub session_token: String,
    /// By which it is revoked.
    name: String,
}

/// What STS gives.
#[derive(Clone)]
pub struct StsKeys {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: String,
}

impl Minio {
    /// Starts a MinIO with an empty store and returns once it is ready.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start() -> Self {
        Self::start_in(REGION).await
    }

    /// The same with a region of its own.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_in(region: &'static str) -> Self {
        let dir = tempfile::Builder::new().prefix("zt-minio-").tempdir();
        let mut minio = Self {
            process: None,
            dir: dir.expect("a temporary directory"),
            port: free_port(),
            region,
        };
        minio.up().await;
        minio
    }

    /// Starts it again after `crash`, with the same data and port.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn up(&mut self) {
        let mut command = std::process::Command::new(tools::minio());
        command
            .arg("server")
            .args(["--quiet", "--address", &format!("127.0.0.1:{}", self.port)])
            .arg("--config-dir")
            .arg(self.dir.path().join("config"))
            .arg(self.dir.path().join("data"))
            .env("MINIO_ROOT_USER", ROOT_USER)
            .env("MINIO_ROOT_PASSWORD", ROOT_PASSWORD)
            .env("MINIO_REGION", self.region)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off");
        let process = Process::start("minio", &mut command, &self.dir.path().join("log"));
        let http = self.http();
        let ready = async || match http.get_text("/minio/health/ready").await {
            // It answers before it has read who its users are, and gives temporary keys later still.
            Ok(_) => self.gives_keys().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let mut process = process;
        process.await_ready(START_DEADLINE, ready).await;
        self.process = Some(process);
    }

    /// Takes it down at once, as a machine that is lost: connections to it are refused from now on.
    ///
    /// # Panics
    /// When it is not running.
    pub fn crash(&mut self) {
        self.process.take().expect("a running MinIO").kill();
    }

    /// Where S3, STS and the admin API are.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket and gives the root user's keys for it.
    ///
    /// # Panics
    /// When MinIO refuses.
    pub async fn bucket(&self, name: &str) -> Bucket {
        let made = self.call("s3", Method::PUT, &format!("/{name}"), "").await;
        made.unwrap_or_else(|error| panic!("no bucket: {error}"));
        Bucket {
            endpoint: self.endpoint(),
            region: self.region,
            name: name.to_owned(),
            access_key: ROOT_USER.to_owned(),
            secret_key: ROOT_PASSWORD.to_owned(),
        }
    }

    /// Temporary keys for the bucket and nothing else. They last a quarter of an hour, the least that MinIO gives,
    /// unless they are revoked.
    ///
    /// # Panics
    /// When MinIO refuses.
    pub async fn temporary(&self, bucket: &Bucket) -> Temporary {
        let name = format!("{:016x}", rand::random::<u64>());
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
                "Resource": [format!("arn:aws:s3:::{}", bucket.name)],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": [format!("arn:aws:s3:::{}/*", bucket.name)],
            },
        ]});
        let keys = self.sts(&policy, 900, &format!("&TokenRevokeType={name}")).await;
        Temporary {
            bucket: Bucket {
                access_key: keys.access_key,
                secret_key: keys.secret_key,
                ..bucket.clone()
            },
            session_token: keys.session_token,
            name,
        }
    }

    /// Keys of the root user's that may do what the policy says.
    ///
    /// # Panics
    /// When MinIO refuses.
    pub async fn assume_role(&self, policy: &Value, seconds: u32) -> StsKeys {
        self.sts(policy, seconds, "").await
    }

    async fn sts(&self, policy: &Value, seconds: u32, more: &str) -> StsKeys {
        let policy = encode(&policy.to_string());
        let form =
            format!("Action=AssumeRole&Version=2011-06-15&DurationSeconds={seconds}{more}&Policy={policy}");
        let answer = self.call("sts", Method::POST, "/", &form).await;
        let answer = answer.unwrap_or_else(|error| panic!("no temporary keys: {error}"));
        let answer = String::from_utf8_lossy(&answer);
        StsKeys {
            access_key: element(&answer, "AccessKeyId"),
            secret_key: element(&answer, "SecretAccessKey"),
            session_token: element(&answer, "SessionToken"),
        }
    }

    /// Whether there is a bucket of that name.
    pub async fn has_bucket(&self, name: &str) -> bool {
        let path = format!("/{name}?location=");
        self.call("s3", Method::GET, &path, "").await.is_ok()
    }

    /// Ends these temporary keys.
    ///
    /// # Panics
    /// When MinIO refuses.
    pub async fn revoke(&self, keys: &Temporary) {
        let name = &keys.name;
        let path = format!("/minio/admin/v3/revoke-tokens/builtin?tokenRevokeType={name}&user={ROOT_USER}");
        let revoked = self.call("s3", Method::POST, &path, "").await;
        revoked.unwrap_or_else(|error| panic!("cannot revoke keys: {error}"));
    }

    /// Removes a bucket if nothing is in it. True when it is gone.
    pub async fn delete_bucket(&self, name: &str) -> bool {
        let path = format!("/{name}");
        self.call("s3", Method::DELETE, &path, "").await.is_ok()
    }

    async fn gives_keys(&self) -> Result<(), HttpError> {
        self.call("s3", Method::GET, "/", "").await?;
        let form = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900";
        self.call("sts", Method::POST, "/", form).await.map(drop)
    }

    /// A request of the root user.
    async fn call(&self, service: &str, method: Method, path: &str, body: &str) -> Result<Bytes, HttpError> {
        let signer = Signer {
            access_key: ROOT_USER,
            secret_key: ROOT_PASSWORD,
            session_token: "",
            region: self.region,
            service,
        };
        let mut http = self.http();
        if !body.is_empty() {
            http = http.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in signer.headers(&method, HOST, path, body.as_bytes()) {
            http = http.header(name, value);
        }
        http.send_bytes(method, path, Bytes::copy_from_slice(body.as_bytes()))
            .await
    }

    /// Its endpoint, without keys.
    pub fn http(&self) -> HttpClient {
        HttpClient::new(Arc::new(loopback(self.port)))
    }
}

/// The text of the first element of that name.
fn element(xml: &str, name: &str) -> String {
    let text = xml
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    let (text, _) = text.unwrap_or_else(|| panic!("no {name} in the answer"));
    text.to_owned()
}
