//! One instance as in a pod: a database, the PowerDNS that serves it and the agent that replicates it.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use zonetide_testbed::agent::Storage;
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{Agent, PowerDns, PowerDnsApi, eventually};

/// Polling is every 200 ms in these tests; the rest is room for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const ZONE: &str = "zone.example.";

pub(crate) struct Node {
    name: String,
    pub(crate) dns: PowerDns,
    pub(crate) agent: Agent,
    /// Last, so that both have ended before their database goes.
    data: TempDir,
}

impl Node {
    pub(crate) fn new(name: &str, storage: impl Into<Storage>) -> Self {
        let data = tempfile::Builder::new().prefix("zt-data-").tempdir().unwrap();
        let database = data.path().join("pdns.lmdb");
        let dns = PowerDns::new(&format!("pdns {name}"), &database);
        let agent = Agent::new(env!("CARGO_BIN_EXE_zonetide-agent"), name, &database, storage);
        Self {
            name: name.to_owned(),
            data,
            dns,
            agent,
        }
    }

    /// In the order of a pod: PowerDNS starts when the agent has merged the bucket.
    pub(crate) async fn start(&mut self) {
        self.agent.start().await;
        self.dns.start().await;
    }

    /// In the order of a pod: the agent outlives PowerDNS.
    pub(crate) fn stop(&mut self) {
        self.dns.stop();
        self.agent.stop();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// Loses the database, as a pod does that comes back without its volume.
    pub(crate) fn wipe(&self) {
        for file in ["pdns.lmdb", "pdns.lmdb-lock", "pdns.lmdb-0", "pdns.lmdb-0-lock"] {
            std::fs::remove_file(self.file(file)).unwrap();
        }
    }

    pub(crate) fn api(&self) -> PowerDnsApi {
        self.dns.api()
    }

    /// Sets the only A record of a name in `ZONE`.
    pub(crate) async fn write(&self, label: &str, address: &str) {
        self.api()
            .replace(ZONE, &format!("{label}.{ZONE}"), "A", &[address])
            .await
            .unwrap();
    }

    pub(crate) async fn says(&self, label: &str, address: &str) -> Result<(), String> {
        let answer = self.dns.dns().ask(&format!("{label}.{ZONE}"), Type::A).await;
        answer.map_err(|error| error.to_string())?.expect(&[address])
    }

    pub(crate) async fn says_code(&self, name: &str, code: Code) -> Result<(), String> {
        let answer = self.dns.dns().ask(name, Type::A).await;
        answer.map_err(|error| error.to_string())?.expect_code(code)
    }

    pub(crate) async fn comes_to_say(&self, label: &str, address: &str) {
        let what = format!("{} answers {label}.{ZONE} with {address}", self.name);
        eventually(SOON, &what, || self.says(label, address)).await;
    }

    pub(crate) async fn comes_to_say_code(&self, name: &str, code: Code) {
        let what = format!("{} answers {name} with {code}", self.name);
        eventually(SOON, &what, || self.says_code(name, code)).await;
    }
}
