//! A real PowerDNS on loopback with its LMDB database in a directory that an agent can share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::api::PowerDnsApi;
use crate::clock::Clock;
use crate::dns::DnsClient;
use crate::net::{free_port, loopback};
use crate::poll::eventually;
use crate::process::Process;
use crate::tools::Version;

/// The map size of PowerDNS and of the agent in these tests, in MiB: they must be equal.
pub const MAP_SIZE_MB: u32 = 200;
const API_KEY: &str = "loopback-only";
/// What most tests write is to be answered at once, whoever wrote it.
const CACHES_OFF: &str = "cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
zone-metadata-cache-ttl=0
dnssec-key-cache-ttl=0
";
const START_DEADLINE: Duration = Duration::from_secs(30);

pub struct PowerDns {
    /// First, so that it has ended and its log is read before the directory goes.
    process: Option<Process>,
    name: String,
    config: String,
    dir: TempDir,
    version: Version,
    clock: Option<Clock>,
    dns_port: u16,
    api_port: u16,
}

impl PowerDns {
    /// Configures a 5.1 server on free ports; `start` starts it. `database` is the path of `pdns.lmdb`.
    ///
    /// # Panics
    /// When it has no directory of its own.
    pub fn new(name: &str, database: &Path) -> Self {
        Self::with_map_size(name, database, MAP_SIZE_MB)
    }

    /// The same with another `lmdb-map-size`.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn with_map_size(name: &str, database: &Path, megabytes: u32) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("zt-pdns-")
            .tempdir()
            .expect("a temporary directory");
        let (dns_port, api_port) = (free_port(), free_port());
        let config = format!(
            "launch=lmdb
lmdb-filename={database}
lmdb-shards=1
lmdb-lightning-stream=yes
lmdb-map-size={megabytes}
local-address=127.0.0.1
local-port={dns_port}
socket-dir={dir}
api=yes
api-key={API_KEY}
webserver=yes
webserver-address=127.0.0.1
webserver-port={api_port}
webserver-allow-from=127.0.0.0/8
guardian=no
daemon=no
disable-syslog=yes
write-pid=no
security-poll-suffix=
version-string=anonymous
",
            database = database.display(),
            dir = dir.path().display(),
        );
        Self {
            config: config + CACHES_OFF,
            name: name.to_owned(),
            dir,
            version: Version::V5,
            clock: None,
            dns_port,
            api_port,
            process: None,
        }
    }

    /// Another version, from the next start on.
    pub fn change_version(&mut self, version: Version) {
        self.version = version;
    }

    /// It sees this clock, from the next start on.
    pub fn live_by(&mut self, clock: &Clock) {
        self.clock = Some(clock.clone());
    }

    /// A setting in the place of what there is of that name, from the next start on.
    pub fn set(&mut self, setting: &str) {
        let name = setting.split('=').next().unwrap_or_default();
        let others = self
            .config
            .lines()
            .filter(|line| line.split('=').next() != Some(name));
        let config: Vec<_> = others.chain([setting, ""]).collect();
        self.config = config.join(
            "
",
        );
    }

    /// Starts the process and does not wait for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    fn launch(&self) -> Process {
        let config = self.whole_config();
        std::fs::write(self.dir.path().join("pdns.conf"), config).expect("a written pdns.conf");
        let mut command = self.version.pdns_server();
        command.arg(format!("--config-dir={}", self.dir.path().display()));
        command.envs(self.clock.iter().flat_map(Clock::variables));
        Process::start(&self.name, &mut command, &self.log_path())
    }

    fn whole_config(&self) -> String {
        format!("{}lmdb-schema-version={}\n", self.config, self.version.schema())
    }

    /// Runs PowerDNS' own tool on the database, whether the server runs or not, with more settings than the server has.
    /// Returns what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn pdnsutil(&self, settings: &[&str], arguments: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let modules = format!("module-dir={}", self.version.modules().display());
        let config = [
            self.whole_config().as_str(),
            &modules,
            "\n",
            &settings.join("\n"),
            "\n",
        ]
        .concat();
        std::fs::write(dir.path().join("pdns.conf"), config).expect("a written pdns.conf");
        let mut command = self.version.pdnsutil();
        command
            .arg(format!("--config-dir={}", dir.path().display()))
            .args(arguments);
        let output = command.output().expect("pdnsutil");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "pdnsutil {arguments:?}: {said}");
        said
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts it and waits for it to give up.
    ///
    /// # Panics
    /// When it runs instead.
    pub async fn start_in_vain(&mut self) {
        let mut process = self.launch();
        let what = format!("{} gives up", self.name);
        eventually(START_DEADLINE, &what, async || process.exited().ok_or("it runs")).await;
    }

    /// Leaves all caches at PowerDNS' defaults, from the next `start` on.
    pub fn leave_caches_on(&mut self) {
        self.config = self.config.replace(CACHES_OFF, "");
    }

    /// Where it takes commands.
    pub fn control_socket(&self) -> PathBuf {
        self.dir.path().join("pdns.controlsocket")
    }

    /// Starts it and returns once its API answers.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start(&mut self) {
        let process = self.launch();
        let api = self.api();
        let ready = async || api.version().await.map(drop).map_err(|error| error.to_string());
        self.process
            .insert(process)
            .await_ready(START_DEADLINE, ready)
            .await;
    }

    /// Ends it as Kubernetes would.
    ///
    /// # Panics
    /// When it is not running, or must be killed.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("a running PowerDNS");
        assert!(
            process.stop(Duration::from_secs(10)),
            "{} does not end on SIGTERM",
            self.name
        );
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        self.process.take().expect("a running PowerDNS").kill();
    }

    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running PowerDNS").id()
    }

    pub fn api(&self) -> PowerDnsApi {
        PowerDnsApi::new(Arc::new(loopback(self.api_port)), API_KEY)
    }

    /// Where it answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        loopback(self.dns_port)
    }

    pub fn dns(&self) -> DnsClient {
        DnsClient::udp(self.address())
    }

    pub fn dns_tcp(&self) -> DnsClient {
        DnsClient::stream(Arc::new(self.address()))
    }
}
