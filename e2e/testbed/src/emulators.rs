//! Azure Blob Storage and Google Cloud Storage as emulators on loopback: Azurite and fake-gcs-server. Both keep
//! everything in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::http::HttpClient;
use crate::net::{free_port, loopback};
use crate::process::Process;
use crate::tools;

const START_DEADLINE: Duration = Duration::from_secs(60);

/// The account that Azurite knows.
pub const AZURE_ACCOUNT: &str = "zonetide";
/// Its two keys, as a real account has them so that one can be renewed.
pub const AZURE_KEYS: [&str; 2] = ["b25lIGtleSBvZiBhIHRlc3Q=", "YW5vdGhlciBrZXkgb2YgYSB0ZXN0"];

pub struct Azurite {
    /// First, so that it has ended and its log is read before the directory goes.
    _process: Process,
    port: u16,
    _dir: TempDir,
}

impl Azurite {
    /// Starts it with an empty account and returns once it answers.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start() -> Self {
        let dir = folder("zt-azurite-");
        let port = free_port();
        let mut command = tools::azurite();
        command
            .args(["--inMemoryPersistence", "--disableTelemetry", "--silent"])
            .args(["--blobPort", &port.to_string()])
            .env(
                "AZURITE_ACCOUNTS",
                format!("{AZURE_ACCOUNT}:{}", AZURE_KEYS.join(":")),
            )
            .current_dir(dir.path());
        let mut process = Process::start("azurite", &mut command, &dir.path().join("log"));
        await_answer(&mut process, port, &format!("/{AZURE_ACCOUNT}?comp=list")).await;
        Self {
            _process: process,
            port,
            _dir: dir,
        }
    }

    /// Where the account's containers are.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{AZURE_ACCOUNT}", self.port)
    }
}

/// It takes every token for good.
pub struct FakeGcs {
    _process: Process,
    port: u16,
    _dir: TempDir,
}

impl FakeGcs {
    /// Starts it without buckets and returns once it answers. `public` is the host and port that its clients name: its own
    /// where there is nothing in between.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start(public: Option<&str>) -> Self {
        let dir = folder("zt-gcs-");
        let port = free_port();
        let own = format!("127.0.0.1:{port}");
        let mut command = std::process::Command::new(tools::fake_gcs_server());
        command
            .args(["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"])
            .args(["-port", &port.to_string(), "-public-host", public.unwrap_or(&own)]);
        let mut process = Process::start("fake-gcs-server", &mut command, &dir.path().join("log"));
        await_answer(&mut process, port, "/storage/v1/b").await;
        Self {
            _process: process,
            port,
            _dir: dir,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn bucket(&self, name: &str) {
        let body = json!({"name": name});
        HttpClient::new(Arc::new(loopback(self.port)))
            .send(Method::POST, "/storage/v1/b?project=test", Some(&body))
            .await
            .expect("a bucket");
    }
}

/// Writes the key file of a service account of Google with a key of its own, whose ID is `key_id`.
///
/// # Panics
/// When openssl makes none.
pub fn service_account(file: &Path, key_id: &str) {
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .output()
        .expect("openssl");
    let key = String::from_utf8(made.stdout).expect("a key in PEM");
    assert!(
        key.contains("PRIVATE KEY"),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let account = json!({
        "type": "service_account",
        "private_key": key,
        "private_key_id": key_id,
        "client_email": "test@zonetide.example",
    });
    std::fs::write(file, account.to_string()).expect("a written key file");
}

fn folder(prefix: &str) -> TempDir {
    let made = tempfile::Builder::new().prefix(prefix).tempdir();
    made.expect("a temporary directory")
}

/// Any answer will do: without keys it may be a refusal.
async fn await_answer(process: &mut Process, port: u16, path: &str) {
    let http = HttpClient::new(Arc::new(loopback(port)));
    let answers = async || match http.get_text(path).await {
        Err(error) if error.status().is_none() => Err(error.to_string()),
        _ => Ok(()),
    };
    process.await_ready(START_DEADLINE, answers).await;
}
