//! The agent under test, as a process of its own beside a PowerDNS.

mod configuration;
mod storage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::{Authority, Files};
use crate::clock::Clock;
use crate::http::HttpClient;
use crate::net::{free_port, loopback};
use crate::powerdns::MAP_SIZE_MB;
use crate::process::Process;

pub use storage::{PREFIX, Storage};

/// What the tests' agents tell each other with.
pub const PEERS_TOKEN: &str = "a-token-of-the-tests-only";

pub struct Agent {
    /// First, so that it has ended and its log is read before the directory goes.
    process: Option<Process>,
    binary: PathBuf,
    instance: String,
    dir: TempDir,
    http_port: u16,
    peers_port: u16,
    lmdb_poll: Duration,
    database: PathBuf,
    storage: Storage,
    map_size_mb: u32,
    wrapper: Vec<String>,
    /// Where its supervisor answers probes, and what that one is told.
    supervisor: Option<(u16, Vec<String>)>,
    /// More options of the store, as JSON.
    store_options: Vec<(String, Value)>,
    /// Variables of its environment.
    variables: Vec<(&'static str, String)>,
    control_socket: Option<PathBuf>,
    /// Addresses of other agents; none: they meet in the store only.
    peers: Vec<String>,
    /// Longest object that they are told, where it is not the usual.
    told: Option<&'static str>,
    storage_poll: Duration,
    /// More sections of its configuration.
    sections: BTreeMap<&'static str, Value>,
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
        let (http_port, peers_port) = (free_port(), free_port());
        Self {
            binary: binary.into(),
            instance: instance.to_owned(),
            dir,
            http_port,
            peers_port,
            lmdb_poll: Duration::from_millis(200),
            database: database.to_owned(),
            storage: storage.into(),
            map_size_mb: MAP_SIZE_MB,
            wrapper: Vec::new(),
            supervisor: None,
            store_options: Vec::new(),
            variables: Vec::new(),
            control_socket: None,
            peers: Vec::new(),
            told: None,
            storage_poll: Duration::from_millis(200),
            sections: BTreeMap::new(),
            process: None,
        }
    }

    /// Takes effect with the next `launch`.
    pub fn look_at_the_database_every(&mut self, interval: Duration) {
        self.lmdb_poll = interval;
    }

    /// Takes effect with the next `launch`.
    pub fn look_at_the_store_every(&mut self, interval: Duration) {
        self.storage_poll = interval;
    }

    /// How old its data may be and how long it waits for the store, such as `168h` and `10s`, from the next `launch` on.
    pub fn serve_without_the_store(&mut self, stale_for: &str, store_patience: &str) {
        let serving = json!({"stale_for": stale_for, "store_patience": store_patience});
        self.set_section("serving", serving);
    }

    /// Sets a section of its configuration, from the next `launch` on.
    pub fn set_section(&mut self, name: &'static str, section: Value) {
        self.sections.insert(name, section);
    }

    /// Where its peers reach it, with certificates of [`Authority::shared`].
    pub fn peer_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.peers_port)
    }

    /// The certificate by which its peers know it.
    pub fn certificates(&self) -> Files {
        Files::within(self.dir.path())
    }

    /// Has it tell these agents every change, from the next `launch` on.
    pub fn tell(&mut self, urls: &[String]) {
        self.peers = urls.to_vec();
    }

    /// Longest object that it tells them, from the next `launch` on.
    pub fn tell_at_most(&mut self, size: &'static str) {
        self.told = Some(size);
    }

    /// Another store or prefix, from the next `launch` on.
    pub fn meet_in(&mut self, storage: impl Into<Storage>) {
        self.storage = storage.into();
    }

    /// Takes effect with the next `launch`; PowerDNS' must be the same.
    pub fn set_map_size(&mut self, megabytes: u32) {
        self.map_size_mb = megabytes;
    }

    /// Starts it as the last arguments of another program, such as `setpriv`, from the next `launch` on.
    pub fn run_through(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
    }

    /// Starts a supervisor with these options instead, which starts the agent, from the next `launch` on. The process is that one
    /// then.
    pub fn supervise(&mut self, options: &[&str]) {
        let port = self.supervisor.take().map_or_else(free_port, |(port, _)| port);
        self.supervisor = Some((port, options.iter().map(ToString::to_string).collect()));
    }

    /// The probes of its supervisor.
    ///
    /// # Panics
    /// When it has none.
    pub fn probes(&self) -> SocketAddr {
        let (port, _) = self.supervisor.as_ref().expect("a supervisor");
        loopback(*port)
    }

    /// Where its own endpoints are.
    pub fn address(&self) -> SocketAddr {
        loopback(self.http_port)
    }

    /// Sets a key of `storage.options`; null takes one away. Takes effect with the next `launch`.
    pub fn set_store_option(&mut self, key: &str, value: Value) {
        self.store_options.push((key.to_owned(), value));
    }

    /// Sets a variable of its environment, from the next `launch` on.
    pub fn set_variable(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.push((name, value.into()));
    }

    /// It sees this clock, from the next `launch` on.
    pub fn live_by(&mut self, clock: &Clock) {
        self.variables.extend(clock.variables());
    }

    /// Has it flush the caches of the PowerDNS with this control socket, from the next `launch` on.
    pub fn flush_caches_over(&mut self, control_socket: PathBuf) {
        self.control_socket = Some(control_socket);
    }

    /// Where `launch` writes its configuration.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("agent.yaml")
    }

    /// Starts the process and does not wait for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(&mut self) {
        if !self.peers.is_empty() {
            self.certificates().certify(Authority::shared(), &self.instance);
        }
        std::fs::write(self.config_path(), self.config()).expect("a written configuration");
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = std::process::Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
            None => std::process::Command::new(&self.binary),
        };
        if let Some((port, options)) = &self.supervisor {
            let (listen, agent) = (loopback(*port).to_string(), self.address().to_string());
            command.args(["supervise", "--listen", &listen, "--agent", &agent]);
            command.args(options).arg("--");
        }
        command.arg("--config").arg(self.config_path()).arg("sync");
        command.env("ZONETIDE_INSTANCE", &self.instance);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
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

    /// False when it has ended.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.exited().is_none())
    }

    /// Its own endpoints: `/healthz`, `/readyz`, `/metrics`.
    pub fn http(&self) -> HttpClient {
        HttpClient::new(Arc::new(loopback(self.http_port)))
    }

    /// SIGTERM: it stores its last change, then ends. Returns its exit code, if it ended with one.
    ///
    /// # Panics
    /// When it is not running, or does not end within 30 s.
    pub fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("a launched agent");
        assert!(
            process.stop(Duration::from_secs(30)),
            "agent {} does not end on SIGTERM",
            self.instance
        );
        process.exited().and_then(|status| status.code())
    }

    /// SIGKILL: it stores nothing.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        self.process.take().expect("a launched agent").kill();
    }

    /// SIGSTOP: it does nothing until `thaw`.
    ///
    /// # Panics
    /// When it is not running.
    pub fn freeze(&self) {
        self.process.as_ref().expect("a launched agent").freeze();
    }

    /// # Panics
    /// When it is not running.
    pub fn thaw(&self) {
        self.process.as_ref().expect("a launched agent").thaw();
    }

    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a launched agent").id()
    }

    /// What `/status` says.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn status(&self) -> Value {
        let status = self.http().json(http::Method::GET, "/status", None).await;
        status.unwrap_or_else(|error| panic!("agent {}: {error}", self.instance))
    }

    /// Runs a command beside it, with its configuration: whether it ends well, and what it prints.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> (bool, String) {
        let mut command = std::process::Command::new(&self.binary);
        command.arg("--config").arg(self.config_path()).args(args);
        command.env("ZONETIDE_INSTANCE", &self.instance);
        let output = command.output().expect("a command that can be started");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}
