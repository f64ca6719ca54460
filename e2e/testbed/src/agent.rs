//! The agent under test, as a process of its own beside a PowerDNS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::garage::Bucket;
use crate::http::HttpClient;
use crate::net::{free_port, loopback};
use crate::powerdns::MAP_SIZE_MB;
use crate::process::Process;

/// The part of a bucket that the tests' instances share.
pub const PREFIX: &str = "test/schema-5/";

/// Where agents meet.
#[derive(Clone)]
pub enum Storage {
    S3(Bucket),
    Directory(PathBuf),
}

impl From<&Bucket> for Storage {
    fn from(bucket: &Bucket) -> Self {
        Self::S3(bucket.clone())
    }
}

impl From<&Path> for Storage {
    fn from(directory: &Path) -> Self {
        Self::Directory(directory.to_owned())
    }
}

impl Storage {
    /// Its section of the configuration.
    fn section(&self) -> Value {
        match self {
            Self::S3(bucket) => json!({"type": "s3", "options": {
                "endpoint_url": bucket.endpoint,
                "region": bucket.region,
                "bucket": bucket.name,
                "global_prefix": PREFIX,
                "access_key": bucket.access_key,
                "secret_key": bucket.secret_key,
            }}),
            Self::Directory(path) => json!({"type": "fs", "options": {"root_path": path}}),
        }
    }
}

pub struct Agent {
    /// First, so that it has ended and its log is read before the directory goes.
    process: Option<Process>,
    binary: PathBuf,
    instance: String,
    dir: TempDir,
    http_port: u16,
    lmdb_poll: Duration,
    database: PathBuf,
    storage: Storage,
}

impl Agent {
    /// Configures an agent; `launch` starts it. `database` is the path of `pdns.lmdb`.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn new(
        binary: impl Into<PathBuf>,
        instance: &str,
        database: &Path,
        storage: impl Into<Storage>,
    ) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("zt-agent-")
            .tempdir()
            .expect("a temporary directory");
        let http_port = free_port();
        Self {
            binary: binary.into(),
            instance: instance.to_owned(),
            dir,
            http_port,
            lmdb_poll: Duration::from_millis(200),
            database: database.to_owned(),
            storage: storage.into(),
            process: None,
        }
    }

    /// Takes effect with the next `launch`.
    pub fn look_at_the_database_every(&mut self, interval: Duration) {
        self.lmdb_poll = interval;
    }

    fn config_path(&self) -> PathBuf {
        self.dir.path().join("agent.yaml")
    }

    /// Starts the process and does not wait for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(&mut self) {
        std::fs::write(self.config_path(), self.config()).expect("a written configuration");
        let mut command = std::process::Command::new(&self.binary);
        command.arg("--config").arg(self.config_path()).arg("sync");
        command.env("ZONETIDE_INSTANCE", &self.instance);
        let log = self.dir.path().join("log");
        self.process = Some(Process::start(
            &format!("agent {}", self.instance),
            &mut command,
            &log,
        ));
    }

    /// Waits for `/readyz`: everything that was in the bucket is merged.
    ///
    /// # Panics
    /// When the agent ends or `deadline` passes; the message has the end of its log.
    pub async fn await_ready(&mut self, deadline: Duration) {
        let http = self.http();
        let ready = async || {
            http.get_text("/readyz")
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        };
        self.process
            .as_mut()
            .expect("a launched agent")
            .await_ready(deadline, ready)
            .await;
    }

    /// Waits for `/healthz`: it runs, though it may wait for the bucket.
    ///
    /// # Panics
    /// When the agent ends or `deadline` passes.
    pub async fn await_healthy(&mut self, deadline: Duration) {
        let http = self.http();
        let healthy = async || {
            http.get_text("/healthz")
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        };
        self.process
            .as_mut()
            .expect("a launched agent")
            .await_ready(deadline, healthy)
            .await;
    }

    /// `launch` and `await_ready`.
    pub async fn start(&mut self) {
        self.launch();
        self.await_ready(Duration::from_secs(30)).await;
    }

    pub async fn is_ready(&self) -> bool {
        self.http().get_text("/readyz").await.is_ok()
    }

    /// Its own endpoints: `/healthz`, `/readyz`, `/metrics`.
    pub fn http(&self) -> HttpClient {
        HttpClient::new(Arc::new(loopback(self.http_port)))
    }

    /// SIGTERM: it stores its last change, then ends.
    ///
    /// # Panics
    /// When it is not running, or does not end within 30 s.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("a launched agent");
        assert!(
            process.stop(Duration::from_secs(30)),
            "agent {} does not end on SIGTERM",
            self.instance
        );
    }

    /// SIGKILL: it stores nothing.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        self.process.take().expect("a launched agent").kill();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn config(&self) -> String {
        let http_port = self.http_port;
        let storage = self.storage.section();
        let main = self.database.display();
        let lmdb_poll = self.lmdb_poll.as_millis();
        let options = format!("{{no_subdir: true, create: true, map_size: {MAP_SIZE_MB}MB}}");
        format!(
            "instance: ${{ZONETIDE_INSTANCE}}
lmdbs:
  main: {{path: {main}, schema_tracks_changes: true, options: {options}}}
  shard: {{path: {main}-0, schema_tracks_changes: true, options: {options}}}
storage_poll_interval: 200ms
lmdb_poll_interval: {lmdb_poll}ms
storage_retry_interval: 500ms
storage: {storage}
http: {{address: \"127.0.0.1:{http_port}\"}}
log: {{level: debug, format: human}}
"
        )
    }
}
