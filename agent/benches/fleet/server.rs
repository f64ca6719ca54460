//! A replica with a database of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::watch;
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::sync::peer::{Peers, Told};
use zonetide_agent::sync::{Origin, Replica};

use crate::store::{Bucket, Door};

pub(crate) const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_795_510_850 * SECOND;

/// The time of all, ns since the epoch.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// What a server tells, and whom it hears.
#[derive(Default)]
pub(crate) struct Line {
    told: Mutex<Vec<(String, Bytes)>>,
    pub(crate) contacts: Mutex<BTreeMap<String, u64>>,
}

impl Peers for Line {
    fn tell(&self, _database: &str, name: &DeltaName, object: Bytes) {
        self.told.lock().unwrap().push((name.to_string(), object));
    }

    fn announce(&self, _database: &str, _time: u64) {}

    fn contacts(&self, _database: &str) -> BTreeMap<String, u64> {
        self.contacts.lock().unwrap().clone()
    }

    fn news(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

impl Line {
    /// What was told since the last call.
    pub(crate) fn take(&self) -> Vec<Told> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let from = |name: &str| DeltaName::parse("main", name).unwrap().instance().to_owned();
        told.into_iter()
            .map(|(name, object)| Told {
                from: from(&name),
                name,
                object,
            })
            .collect()
    }
}

pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) replica: Replica,
    pub(crate) env: Arc<Environment>,
    pub(crate) store: Arc<Door>,
    pub(crate) line: Arc<Line>,
    pub(crate) clock: Clock,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn new(name: &str, bucket: &Arc<Bucket>, clock: &Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            map_size: 256 << 20,
            max_dbs: 16,
            create: true,
            no_subdir: true,
        };
        let env = Arc::new(Environment::open(&dir.path().join("db"), &options).unwrap());
        let (store, line) = (Door::new(bucket), Arc::new(Line::default()));
        let origin = Origin {
            database: "main".into(),
            instance: name.into(),
            hostname: "bench".into(),
        };
        let status = Arc::new(DatabaseStatus::new(Metrics::new().database("main")));
        let now = clock.clone();
        let now = Arc::new(move || now.now());
        let mut replica = Replica::new(env.clone(), store.clone(), status, origin, now);
        replica.set_peers(line.clone());
        Self {
            name: name.to_owned(),
            replica,
            env,
            store,
            line,
            clock: clock.clone(),
            _dir: dir,
        }
    }

    /// As PowerDNS writes, in one transaction.
    pub(crate) fn write(&self, records: impl Iterator<Item = String>) {
        self.clock.pass(1_000_000);
        let now = self.clock.now();
        let written = self.env.write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi("records_v5")?;
            for (number, record) in records.enumerate() {
                let key = [&[0, 0, 0, 1], record.as_bytes(), &[0, 0, 0, 1]].concat();
                let value = [&[4, 0][..], &number.to_le_bytes(), &[60, 0, 0, 0, 1, 0]].concat();
                writer.put(&dbi, &key, now, false, &value)?;
            }
            Ok(())
        });
        written.unwrap();
    }

    pub(crate) async fn receive(&self) {
        self.replica.receive().await.unwrap();
    }

    pub(crate) async fn send(&self) {
        self.replica.send(false).await.unwrap();
    }
}
