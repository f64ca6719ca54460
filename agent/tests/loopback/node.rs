//! One instance as in a pod: a database, the PowerDNS that serves it and the agent that replicates it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_testbed::agent::Storage;
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::powerdns::MAP_SIZE_MB;
use zonetide_testbed::{Agent, Clock, PowerDns, PowerDnsApi, Version, eventually};

/// Polling is every 200 ms in these tests; the rest is room for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const ZONE: &str = "zone.example.";

/// Longer than a second flush is waited for.
const RESTLESS: Duration = Duration::from_millis(600);

pub(crate) struct Node {
    pub(crate) name: String,
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

    /// With this PowerDNS; `new` takes 5.1.
    pub(crate) fn of(version: Version, name: &str, storage: impl Into<Storage>) -> Self {
        let mut node = Self::new(name, storage);
        node.dns.change_version(version);
        node
    }

    /// Both see this clock, from the next start on.
    pub(crate) fn live_by(&mut self, clock: &Clock) {
        self.dns.live_by(clock);
        self.agent.live_by(clock);
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

    /// A file of the database, which both may have open.
    pub(crate) fn open(&self, file: &str) -> Environment {
        let options = OpenOptions {
            map_size: (MAP_SIZE_MB as usize) << 20,
            max_dbs: 64,
            create: false,
            no_subdir: true,
        };
        Environment::open(&self.file(file), &options).unwrap()
    }

    /// The schema that is written in the database.
    pub(crate) fn schema(&self) -> u32 {
        let env = self.open("pdns.lmdb");
        env.read(|reader| {
            let dbi = reader.dbi("pdns")?.expect("a database of PowerDNS");
            let (_, schema) = reader.get(&dbi, b"schemaversion")?.expect("a schema");
            Ok::<u32, LmdbError>(u32::from_be_bytes(schema.try_into().unwrap()))
        })
        .unwrap()
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

    /// Waits until its agent has nothing more to flush of what was changed before: a zone is flushed a second time after a quarter of a
    /// second.
    pub(crate) async fn rests(&self) {
        let flushed = || self.dns.log().matches("Cache clear request").count();
        let (mut before, mut since) = (flushed(), Instant::now());
        eventually(SOON, "no cache is emptied any more", async || {
            let now = flushed();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            if since.elapsed() > RESTLESS {
                Ok(())
            } else {
                Err(format!("{now} times until now"))
            }
        })
        .await;
    }

    /// Waits until the agent says on its page that something fails for this reason.
    pub(crate) async fn comes_to_fail(&self, reason: &str) {
        let what = format!("the agent of {} says {reason:?}", self.name);
        eventually(SOON, &what, async || {
            let page = self.agent.http().get_text("/status").await;
            let page = page.map_err(|error| error.to_string())?;
            if page.contains(reason) { Ok(()) } else { Err(page) }
        })
        .await;
    }

    /// Waits until everything that the agent shows tells of a condition of the main database, with this in its text.
    pub(crate) async fn comes_to_warn(&self, condition: &str, text: &str) {
        let what = format!("the agent of {} tells of {condition}", self.name);
        let sample = format!("zonetide_agent_condition{{database=\"main\",condition=\"{condition}\"}} 1");
        let told = async || {
            for (path, part) in [
                ("/metrics", sample.as_str()),
                ("/status", text),
                ("/", text),
                ("/healthz", text),
            ] {
                let told = match self.agent.http().get_text(path).await {
                    Ok(answer) => answer,
                    // What fails says why.
                    Err(error) => error.to_string(),
                };
                if !told.contains(part) {
                    return Err(format!("no {part:?} at {path}: {told}"));
                }
            }
            // Which is written a little later.
            let log = self.agent.log();
            if log.contains(text) {
                Ok(())
            } else {
                Err(format!("no {text:?} in the log:\n{log}"))
            }
        };
        eventually(SOON, &what, told).await;
    }
}
