//! A real PowerDNS on loopback with its LMDB database in a directory that an agent can share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::api::PowerDnsApi;
use crate::dns::DnsClient;
use crate::net::{free_port, loopback};
use crate::process::Process;
use crate::tools;

/// The map size of PowerDNS and of the agent in these tests, in MiB: they must be equal.
pub const MAP_SIZE_MB: u32 = 200;
const API_KEY: &str = "loopback-only";
const START_DEADLINE: Duration = Duration::from_secs(30);

pub struct PowerDns {
    /// First, so that it has ended and its log is read before the directory goes.
    process: Option<Process>,
    name: String,
    dir: TempDir,
    dns_port: u16,
    api_port: u16,
}

impl PowerDns {
    /// Configures a server on free ports; `start` starts it. `database` is the path of `pdns.lmdb`.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn new(name: &str, database: &Path) -> Self {
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
lmdb-map-size={MAP_SIZE_MB}
local-address=127.0.0.1
local-port={dns_port}
socket-dir={dir}
api=yes
api-key={API_KEY}
webserver=yes
webserver-address=127.0.0.1
webserver-port={api_port}
webserver-allow-from=127.0.0.0/8
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
zone-metadata-cache-ttl=0
dnssec-key-cache-ttl=0
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
        std::fs::write(dir.path().join("pdns.conf"), config).expect("a written pdns.conf");
        Self {
            name: name.to_owned(),
            dir,
            dns_port,
            api_port,
            process: None,
        }
    }

    /// Starts it and returns once its API answers.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start(&mut self) {
        let mut command = tools::pdns_server();
        command.arg(format!("--config-dir={}", self.dir.path().display()));
        let process = Process::start(&self.name, &mut command, &self.dir.path().join("log"));
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

    pub fn api(&self) -> PowerDnsApi {
        PowerDnsApi::new(Arc::new(loopback(self.api_port)), API_KEY)
    }

    pub fn dns(&self) -> DnsClient {
        DnsClient::udp(loopback(self.dns_port))
    }

    pub fn dns_tcp(&self) -> DnsClient {
        DnsClient::stream(Arc::new(loopback(self.dns_port)))
    }
}
