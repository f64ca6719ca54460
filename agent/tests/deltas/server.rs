//! A server with a database of its own, and a store that counts what is asked of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::memory::InMemory;
use tempfile::{SpooledTempFile, TempDir};
use tokio::sync::Notify;
use zonetide_agent::lmdb::{Environment, LmdbError, Writer};
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{Listed, ObjectBackend, Skew, Store, StoreError, StoreErrorReason};
use zonetide_agent::sync::{MAX_AHEAD, Origin, Received, Replica};

use crate::support::{database_content, open, spooled};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// When the tests begin.
const START: u64 = 1_795_510_850 * SECOND;
pub(crate) const DBI: &str = "records";

/// Remembers what was fetched, and can be out of order.
pub(crate) struct Watched {
    inner: ObjectBackend,
    pub(crate) fetched: Mutex<Vec<String>>,
    pub(crate) refuses_writes: AtomicBool,
    /// The next snapshot is half stored, and its upload fails.
    pub(crate) tears: AtomicBool,
    /// The upload of the next snapshot waits.
    pub(crate) holds: AtomicBool,
    pub(crate) arrived: Notify,
    pub(crate) released: Notify,
    /// The time by its clock, ns since the epoch, and that of each object that was stored since it has one.
    clock: AtomicU64,
    stored_at: Mutex<BTreeMap<String, u64>>,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: ObjectBackend::new(Arc::new(InMemory::new()), ""),
            fetched: Mutex::default(),
            refuses_writes: AtomicBool::new(false),
            tears: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            arrived: Notify::new(),
            released: Notify::new(),
            clock: AtomicU64::new(0),
            stored_at: Mutex::default(),
        })
    }

    /// What is stored from now on has this time, ns since the epoch.
    pub(crate) fn is_at(&self, time: u64) {
        self.clock.store(time, Ordering::Relaxed);
    }

    /// What was fetched since the last call.
    pub(crate) fn fetched(&self) -> Vec<String> {
        std::mem::take(&mut self.fetched.lock().unwrap())
    }

    pub(crate) async fn deltas(&self) -> Vec<Listed> {
        let mut listed = self.inner.list("zonetide/delta/main/").await.unwrap();
        listed.sort();
        listed
    }

    pub(crate) async fn snapshots(&self) -> Vec<Listed> {
        let mut listed = self.inner.list("main__").await.unwrap();
        listed.sort();
        listed
    }
}

#[async_trait]
impl Store for Watched {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.inner.list(prefix).await?;
        let stored_at = self.stored_at.lock().unwrap();
        for listed in &mut listed {
            listed.modified = stored_at.get(&listed.name).copied().or(listed.modified);
        }
        Ok(listed)
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.fetched.lock().unwrap().push(name.to_owned());
        self.inner.get(name, object).await
    }

    async fn get_start(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.fetched.lock().unwrap().push(format!("the start of {name}"));
        self.inner.get_start(name, most).await
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        let is_snapshot = name.starts_with("main__");
        if is_snapshot && self.holds.swap(false, Ordering::Relaxed) {
            self.arrived.notify_one();
            self.released.notified().await;
        }
        let is_torn = is_snapshot && self.tears.swap(false, Ordering::Relaxed);
        if is_torn {
            let half = object.stream_position().unwrap() / 2;
            object.set_len(half).unwrap();
            object.rewind().unwrap();
            let mut content = Vec::new();
            object.read_to_end(&mut content).unwrap();
            self.inner.put(name, spooled(&content)).await?;
        }
        if is_torn || self.refuses_writes.load(Ordering::Relaxed) {
            return Err(StoreError {
                operation: "write",
                name: name.to_owned(),
                reason: StoreErrorReason::Create("out of order".into()),
            });
        }
        let clock = self.clock.load(Ordering::Relaxed);
        if clock != 0 {
            self.stored_at.lock().unwrap().insert(name.to_owned(), clock);
        }
        self.inner.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
}

pub(crate) struct Server {
    pub(crate) replica: Replica,
    pub(crate) env: Arc<Environment>,
    pub(crate) store: Arc<Watched>,
    pub(crate) name: String,
    clock: Arc<AtomicU64>,
    /// Once it has learned the time.
    pub(crate) status: Arc<DatabaseStatus>,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn new(name: &str, store: &Arc<Watched>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir.path().join("lmdb"));
        let clock = Arc::new(AtomicU64::new(START));
        Self {
            replica: replica(name, &env, store, &clock),
            env,
            store: store.clone(),
            name: name.to_owned(),
            clock,
            status: Arc::new(DatabaseStatus::new(Metrics::new().database("main"))),
            _dir: dir,
        }
    }

    /// The agent is started anew; the database stays.
    pub(crate) fn restart(&mut self) {
        self.replica = replica(&self.name, &self.env, &self.store, &self.clock);
    }

    /// Database and agent are new, under the old name.
    pub(crate) fn wipe(&mut self) {
        let fresh = Self::new(&self.name, &self.store);
        fresh.clock.store(self.now(), Ordering::Relaxed);
        *self = fresh;
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, ns: u64) {
        self.clock.fetch_add(ns, Ordering::Relaxed);
    }

    /// PowerDNS and the agent have the clock of this machine, and it is set.
    pub(crate) fn set_clock(&self, time: u64) {
        self.clock.store(time, Ordering::Relaxed);
    }

    /// PowerDNS writes as soon as the next merge has written something.
    pub(crate) fn write_after_the_next_merge(&mut self, key: &'static str, value: &'static str) {
        let (env, clock, armed) = (self.env.clone(), self.clock.clone(), AtomicBool::new(true));
        self.replica.set_witness(Arc::new(move |_| {
            if armed.swap(false, Ordering::Relaxed) {
                let now = clock.load(Ordering::Relaxed);
                let put = |writer: &mut Writer<'_>| {
                    let dbi = writer.dbi(DBI)?;
                    writer.put(&dbi, key.as_bytes(), now, false, value.as_bytes())
                };
                env.write::<(), LmdbError>(put).unwrap();
            }
        }));
    }

    /// As PowerDNS writes.
    pub(crate) fn write(&self, key: &str, value: &str) {
        self.write_all([(key.to_owned(), value.as_bytes().to_vec())]);
    }

    /// In one transaction.
    pub(crate) fn write_all(&self, entries: impl IntoIterator<Item = (String, Vec<u8>)>) {
        self.pass(SECOND);
        let now = self.now();
        let put = |writer: &mut Writer<'_>| {
            let dbi = writer.dbi(DBI)?;
            for (key, value) in entries {
                writer.put(&dbi, key.as_bytes(), now, false, &value)?;
            }
            Ok(())
        };
        self.env.write::<(), LmdbError>(put).unwrap();
    }

    pub(crate) fn delete(&self, key: &str) {
        self.pass(SECOND);
        let now = self.now();
        let put = |writer: &mut Writer<'_>| {
            let dbi = writer.dbi(DBI)?;
            writer.put(&dbi, key.as_bytes(), now, true, &[])
        };
        self.env.write::<(), LmdbError>(put).unwrap();
    }

    /// What is answered.
    pub(crate) fn content(&self) -> BTreeMap<String, String> {
        let all = database_content(&self.env);
        let entries = all.get(DBI).into_iter().flatten();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        entries
            .filter(|(_, (_, deleted, _))| !deleted)
            .map(|(key, (_, _, value))| (text(key), text(value)))
            .collect()
    }

    pub(crate) async fn receive(&self) {
        assert_eq!(self.replica.receive().await.unwrap(), Received::All);
    }

    pub(crate) async fn send(&self) {
        assert!(
            self.replica.send(false).await.unwrap(),
            "{:?}",
            self.replica.hold()
        );
    }

    /// Stores the first snapshot, from which deltas go on.
    pub(crate) async fn begin(&self) {
        self.write("first", &self.name);
        self.receive().await;
        self.send().await;
        self.store.fetched();
    }
}

fn replica(name: &str, env: &Arc<Environment>, store: &Arc<Watched>, clock: &Arc<AtomicU64>) -> Replica {
    let status = Arc::new(DatabaseStatus::new(Metrics::new().database("main")));
    replica_of(name, env, store.clone(), &status, clock)
}

fn replica_of(
    name: &str,
    env: &Arc<Environment>,
    store: Arc<dyn Store>,
    status: &Arc<DatabaseStatus>,
    clock: &Arc<AtomicU64>,
) -> Replica {
    let origin = Origin {
        database: "main".into(),
        instance: name.into(),
        hostname: "test".into(),
    };
    let clock = clock.clone();
    let now = Arc::new(move || clock.load(Ordering::Relaxed));
    Replica::new(env.clone(), store, status.clone(), origin, now)
}

/// The store as one server sees it, by whose clock that server's is off.
pub(crate) struct Dated {
    inner: Arc<Watched>,
    /// How far the server's clock is ahead at least and at most, ns; `None`: the store tells no time.
    ahead: Mutex<Option<(i64, i64)>>,
    /// For so many questions that is not sure yet.
    unsure: AtomicU32,
}

#[async_trait]
impl Store for Dated {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(prefix).await
    }

    async fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list_after(prefix, after).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.inner.get(name, object).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        self.inner.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }

    fn skew(&self) -> Option<Skew> {
        let count = |unsure: u32| unsure.checked_sub(1);
        let unsure = self
            .unsure
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let ahead = *self.ahead.lock().unwrap();
        ahead.map(|(low, high)| {
            let mut skew = Skew::between(low, high);
            skew.sure = unsure.is_err();
            skew
        })
    }
}

impl Dated {
    /// The server learns that its clock is ahead by so much, ns.
    pub(crate) fn tell(&self, ahead: i64) {
        self.tell_between(ahead - 1_000_000, ahead + 1_000_000);
    }

    pub(crate) fn tell_between(&self, low: i64, high: i64) {
        *self.ahead.lock().unwrap() = Some((low, high));
    }

    /// It is sure after so many more questions.
    pub(crate) fn is_unsure_for(&self, questions: u32) {
        self.unsure.store(questions, Ordering::Relaxed);
    }

    pub(crate) fn tell_nothing(&self) {
        *self.ahead.lock().unwrap() = None;
    }
}

impl Server {
    /// The agent is started anew, and shows whether its database has changes that are not in the store: 1 if so.
    pub(crate) fn show_unsynced(&mut self) -> impl Fn() -> i64 + use<> {
        let metrics = Metrics::new().database("main");
        let unsynced = metrics.unsynced.clone();
        self.status = Arc::new(DatabaseStatus::new(metrics));
        self.replica = replica_of(
            &self.name,
            &self.env,
            self.store.clone(),
            &self.status,
            &self.clock,
        );
        move || unsynced.get()
    }

    /// The agent is started anew and learns the time from the store: that its clock is right, to begin with.
    pub(crate) fn learn_the_time(&mut self) -> Arc<Dated> {
        let dated = Arc::new(Dated {
            inner: self.store.clone(),
            ahead: Mutex::default(),
            unsure: AtomicU32::new(0),
        });
        dated.tell(0);
        self.status = Arc::new(DatabaseStatus::new(Metrics::new().database("main")));
        self.replica = replica_of(&self.name, &self.env, dated.clone(), &self.status, &self.clock);
        self.replica.go_by_the_fleets_time(MAX_AHEAD);
        dated
    }
}
