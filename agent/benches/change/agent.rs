//! An agent process with its intervals at their defaults, and what can be seen of it from outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use zonetide_testbed::agent::PREFIX;
use zonetide_testbed::authority::{Authority, Files};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::http::HttpClient;
use zonetide_testbed::net::{free_port, loopback};

use crate::node::MAP_SIZE_MB;

const TOKEN: &str = "loopback-only-loopback-only";
const PATIENCE: Duration = Duration::from_secs(120);

/// What it is told by its configuration.
pub(crate) struct Settings {
    pub(crate) instance: String,
    pub(crate) database: PathBuf,
    pub(crate) bucket: Bucket,
    pub(crate) control_socket: PathBuf,
    pub(crate) port: u16,
    /// Where its peers reach it.
    pub(crate) peer_port: u16,
    /// Such ports of the agents to tell changes; none: they meet in the bucket only.
    pub(crate) peers: Vec<u16>,
}

impl Settings {
    pub(crate) fn new(instance: &str, database: &Path, bucket: &Bucket, control_socket: PathBuf) -> Self {
        Self {
            instance: instance.into(),
            database: database.to_owned(),
            bucket: bucket.clone(),
            control_socket,
            port: free_port(),
            peer_port: free_port(),
            peers: Vec::new(),
        }
    }

    fn text(&self, dir: &Path) -> String {
        let options = json!({"no_subdir": true, "create": true, "map_size": format!("{MAP_SIZE_MB}MB")});
        let database =
            |path: String| json!({"path": path, "schema_tracks_changes": true, "options": options});
        let main = self.database.display().to_string();
        let bucket = &self.bucket;
        let mut config = json!({
            "instance": self.instance,
            "lmdbs": {"main": database(main.clone()), "shard": database(format!("{main}-0"))},
            "storage": {"type": "s3", "options": {
                "endpoint_url": bucket.endpoint, "region": bucket.region, "bucket": bucket.name,
                "global_prefix": PREFIX, "access_key": bucket.access_key, "secret_key": bucket.secret_key,
            }},
            "powerdns": {"control_socket": self.control_socket},
            "http": {"address": format!("127.0.0.1:{}", self.port)},
        });
        if !self.peers.is_empty() {
            let list: Vec<_> = self
                .peers
                .iter()
                .map(|port| format!("https://127.0.0.1:{port}"))
                .collect();
            // As in a DnsCluster.
            let files = Files::within(dir);
            files.certify(Authority::shared(), &self.instance);
            config["peers"] = json!({
                "token": TOKEN,
                "address": format!("127.0.0.1:{}", self.peer_port),
                "list": list,
                "tls": {"ca_file": files.path("ca"), "cert_file": files.path("cert"), "key_file": files.path("key")},
            });
        }
        config.to_string()
    }
}

pub(crate) struct Running {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Running {
    /// Starts it; `dir` takes its configuration and log.
    pub(crate) fn launch(settings: &Settings, dir: &Path) -> Self {
        let (config, log) = (dir.join("agent.yaml"), dir.join("agent.log"));
        std::fs::write(&config, settings.text(dir)).unwrap();
        let out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_zonetide-agent"))
            .arg("--config")
            .arg(config)
            .arg("sync")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self {
            child,
            port: settings.port,
            log,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn http(&self) -> HttpClient {
        HttpClient::new(Arc::new(loopback(self.port)))
    }

    /// Waits until it has merged everything that is in the bucket.
    pub(crate) async fn ready(&mut self) {
        let started = Instant::now();
        while self.http().get_text("/readyz").await.is_err() {
            self.check(started, "it is not ready");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a metric, added up over its labels, has such a value.
    pub(crate) async fn until(&mut self, what: &str, name: &str, reached: impl Fn(f64) -> bool) {
        let started = Instant::now();
        while !reached(self.metric(name).await) {
            self.check(started, what);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all that it has is in the bucket.
    pub(crate) async fn stored(&mut self) {
        self.until("it has changes that are not stored", "unsynced", |sum| sum == 0.0)
            .await;
    }

    fn check(&mut self, started: Instant, what: &str) {
        let ended = self.child.try_wait().unwrap();
        if ended.is_some() || started.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(30).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            panic!(
                "an agent: {what} after {:?} ({ended:?})\n{}",
                started.elapsed(),
                tail.join("\n")
            );
        }
    }

    /// A metric, added up over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.http().get_text("/metrics").await.unwrap_or_default();
        sum(&text, &format!("zonetide_agent_{name}"))
    }

    /// It stores its last change and ends.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The values of all lines of one metric in the text format of Prometheus.
pub(crate) fn sum(text: &str, name: &str) -> f64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.sum()
}
