//! Any interleaving of many agents over one store ends in equal databases, as a simple model of "the newest wins" says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::memory::InMemory;
use proptest::prelude::*;
use support::{Version, database_content, open, spooled};
use tempfile::{SpooledTempFile, TempDir};
use zonetide_agent::lmdb::{Environment, LmdbError};
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{Listed, ObjectBackend, Store, StoreError, StoreErrorReason};
use zonetide_agent::sync::{Hold, Origin, Received, Replica};

const DBI: &str = "records_v5";

/// A store that can be switched off, that may take a write and still fail, and that may tear one.
struct Unsteady {
    inner: ObjectBackend,
    down: AtomicBool,
    takes_but_fails: AtomicBool,
    tears: AtomicBool,
}

impl Unsteady {
    fn fail(operation: &'static str, name: &str) -> StoreError {
        let source = "switched off by the test".into();
        let reason = StoreErrorReason::Other(object_store::Error::Generic {
            store: "test",
            source,
        });
        StoreError {
            operation,
            name: name.to_owned(),
            reason,
        }
    }

    fn check(&self, operation: &'static str, name: &str) -> Result<(), StoreError> {
        if self.down.load(Ordering::Relaxed) {
            Err(Self::fail(operation, name))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for Unsteady {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.check("list", prefix)?;
        self.inner.list(prefix).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.check("read", name)?;
        self.inner.get(name, object).await
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        self.check("write", name)?;
        if self.tears.swap(false, Ordering::Relaxed) {
            let mut content = Vec::new();
            object.read_to_end(&mut content).unwrap();
            self.inner
                .put(name, spooled(&content[..content.len() / 2]))
                .await?;
            return Err(Self::fail("write", name));
        }
        self.inner.put(name, object).await?;
        if self.takes_but_fails.swap(false, Ordering::Relaxed) {
            return Err(Self::fail("write", name));
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.check("remove", name)?;
        self.inner.delete(name).await
    }
}

struct Server {
    name: String,
    dir: TempDir,
    replica: Replica,
    env: Arc<Environment>,
}

fn replica(name: &str, env: &Arc<Environment>, store: &Arc<Unsteady>, clock: &Arc<AtomicU64>) -> Replica {
    let origin = Origin {
        database: "shard".into(),
        instance: name.into(),
        hostname: "test".into(),
    };
    let status = Arc::new(DatabaseStatus::new(Metrics::new().database("shard")));
    let clock = clock.clone();
    let now = Arc::new(move || clock.fetch_add(1, Ordering::Relaxed));
    Replica::new(env.clone(), store.clone(), status, origin, now)
}

impl Server {
    fn start(name: String, store: &Arc<Unsteady>, clock: &Arc<AtomicU64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir.path().join("lmdb"));
        let replica = replica(&name, &env, store, clock);
        Self {
            name,
            dir,
            replica,
            env,
        }
    }

    /// The agent dies and comes back; everything that it only remembered is lost, the database is not.
    fn restart(&mut self, store: &Arc<Unsteady>, clock: &Arc<AtomicU64>) {
        self.replica = replica(&self.name, &self.env, store, clock);
    }

    /// Agent and volume are lost.
    fn wipe(&mut self, store: &Arc<Unsteady>, clock: &Arc<AtomicU64>) {
        let fresh = Self::start(self.name.clone(), store, clock);
        *self = fresh;
    }
}

/// What PowerDNS does: one transaction that writes one entry with the present time.
fn write(env: &Environment, key: &[u8], timestamp: u64, deleted: bool, value: &[u8]) {
    env.write(|writer| {
        let dbi = writer.dbi(DBI)?;
        writer.put(&dbi, key, timestamp, deleted, value)
    })
    .unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        server: usize,
        key: u8,
        value: u8,
        deleted: bool,
        skew: u8,
    },
    Send(usize),
    Receive(usize),
    Restart(usize),
    /// Only after a complete sync of that server, so that no write is lost that nobody else could know.
    SyncAndWipe(usize),
    Down(bool),
    TakeButFail,
    Tear,
}

fn step(servers: usize) -> impl Strategy<Value = Step> {
    let server = 0..servers;
    prop_oneof![
        6 => (server.clone(), 0..6_u8, 0..3_u8, any::<bool>(), 0..4_u8)
            .prop_map(|(server, key, value, deleted, skew)| Step::Write { server, key, value, deleted, skew }),
        4 => server.clone().prop_map(Step::Send),
        4 => server.clone().prop_map(Step::Receive),
        1 => server.clone().prop_map(Step::Restart),
        1 => server.prop_map(Step::SyncAndWipe),
        1 => any::<bool>().prop_map(Step::Down),
        1 => Just(Step::TakeButFail),
        1 => Just(Step::Tear),
    ]
}

/// The model: of all writes to a key the newest, of equally old ones a deletion, then the lowest value.
fn newest(model: &mut BTreeMap<Vec<u8>, Version>, key: Vec<u8>, version: Version) {
    let rank = |v: &Version| (v.0, v.1, std::cmp::Reverse(v.2.clone()));
    match model.get(&key) {
        Some(old) if rank(old) >= rank(&version) => {}
        _ => drop(model.insert(key, version)),
    }
}

async fn settle(servers: &mut [Server]) {
    for _ in 0..3 {
        for server in servers.iter_mut() {
            while server.replica.receive().await.unwrap() == Received::More {}
            server.replica.send(false).await.unwrap();
        }
    }
}

async fn play(steps: Vec<Step>, count: usize) {
    let store = Arc::new(Unsteady {
        inner: ObjectBackend::new(Arc::new(InMemory::new()), "ns/name/"),
        down: AtomicBool::new(false),
        takes_but_fails: AtomicBool::new(false),
        tears: AtomicBool::new(false),
    });
    let clock = Arc::new(AtomicU64::new(1_795_510_850_000_000_000));
    let mut servers: Vec<_> = (0..count)
        .map(|i| Server::start(format!("server-{i}"), &store, &clock))
        .collect();
    let mut model = BTreeMap::new();
    for step in steps {
        match step {
            Step::Write {
                server,
                key,
                value,
                deleted,
                skew,
            } => {
                // Coarse time, so that equal timestamps happen; a skewed clock is ahead of it.
                let time = clock.load(Ordering::Relaxed) / 8 * 8 + u64::from(skew) * 8;
                let value = if deleted { vec![] } else { vec![value] };
                let env = &servers[server].env;
                // PowerDNS overwrites whatever is there, with its own clock. A write that is older than what it
                // replaces loses everywhere else, so the model leaves it out, and so must the test.
                let old = database_content(env)
                    .get(DBI)
                    .and_then(|dbi| dbi.get(&vec![key]).cloned());
                if old.is_some_and(|(old, ..)| old >= time) {
                    continue;
                }
                write(env, &[key], time, deleted, &value);
                newest(&mut model, vec![key], (time, deleted, value));
            }
            Step::Send(i) => drop(servers[i].replica.send(false).await),
            Step::Receive(i) => drop(servers[i].replica.receive().await),
            Step::Restart(i) => servers[i].restart(&store, &clock),
            Step::SyncAndWipe(i) => {
                let received = servers[i].replica.receive().await;
                if received.is_ok() && matches!(servers[i].replica.send(false).await, Ok(true)) {
                    servers[i].wipe(&store, &clock);
                }
            }
            Step::Down(down) => store.down.store(down, Ordering::Relaxed),
            Step::TakeButFail => store.takes_but_fails.store(true, Ordering::Relaxed),
            Step::Tear => store.tears.store(true, Ordering::Relaxed),
        }
    }
    store.down.store(false, Ordering::Relaxed);
    store.takes_but_fails.store(false, Ordering::Relaxed);
    store.tears.store(false, Ordering::Relaxed);
    settle(&mut servers).await;
    for server in &servers {
        let content = database_content(&server.env).remove(DBI).unwrap_or_default();
        assert_eq!(
            content,
            model,
            "{} in {}",
            server.name,
            server.dir.path().display()
        );
        assert!(server.replica.is_ready());
        assert!(!server.replica.has_changes(), "{} would store again", server.name);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn all_databases_end_equal_and_no_write_is_lost(
        (count, steps) in (2..5_usize).prop_flat_map(|n| (Just(n), prop::collection::vec(step(n), 1..60)))
    ) {
        runtime().block_on(play(steps, count));
    }
}

fn two_servers() -> (Arc<Unsteady>, Arc<AtomicU64>, Server, Server) {
    let store = Arc::new(Unsteady {
        inner: ObjectBackend::new(Arc::new(InMemory::new()), ""),
        down: AtomicBool::new(false),
        takes_but_fails: AtomicBool::new(false),
        tears: AtomicBool::new(false),
    });
    let clock = Arc::new(AtomicU64::new(1_795_510_850_000_000_000));
    let a = Server::start("a".into(), &store, &clock);
    let b = Server::start("b".into(), &store, &clock);
    (store, clock, a, b)
}

async fn own_snapshots(store: &Unsteady, name: &str) -> usize {
    store.list(&format!("shard__{name}__")).await.unwrap().len()
}

#[tokio::test]
async fn a_wiped_server_stores_nothing_before_its_own_snapshot_is_merged() {
    let (store, clock, mut a, _) = two_servers();
    a.replica.receive().await.unwrap();
    write(&a.env, b"k", 1, false, b"v");
    assert!(a.replica.send(false).await.unwrap());
    a.wipe(&store, &clock);
    // PowerDNS writes into the empty database before the agent could load.
    write(&a.env, b"other", 2, false, b"w");
    assert!(!a.replica.send(false).await.unwrap());
    store.down.store(true, Ordering::Relaxed);
    assert!(a.replica.receive().await.is_err());
    assert!(!a.replica.send(true).await.unwrap());
    store.down.store(false, Ordering::Relaxed);
    assert_eq!(own_snapshots(&store, "a").await, 1);

    a.replica.receive().await.unwrap();
    assert!(a.replica.send(false).await.unwrap());
    assert_eq!(own_snapshots(&store, "a").await, 2);
    let content: Vec<_> = database_content(&a.env)[DBI].keys().cloned().collect();
    assert_eq!(content, [b"k".to_vec(), b"other".to_vec()]);
}

#[tokio::test]
async fn a_merge_alone_makes_no_snapshot_but_a_write_beside_it_does() {
    let (store, _, mut a, mut b) = two_servers();
    a.replica.receive().await.unwrap();
    b.replica.receive().await.unwrap();
    write(&a.env, b"k", 1, false, b"v");
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    assert!(!b.replica.has_changes());
    write(&a.env, b"k", 2, false, b"w");
    a.replica.send(false).await.unwrap();
    write(&b.env, b"own", 3, false, b"x");
    b.replica.receive().await.unwrap();
    assert!(b.replica.has_changes());
    b.replica.send(false).await.unwrap();
    assert_eq!(own_snapshots(&store, "b").await, 1);
}

#[tokio::test]
async fn a_merge_in_many_batches_makes_no_snapshot_either() {
    let (store, _, mut a, mut b) = two_servers();
    a.replica.receive().await.unwrap();
    a.env
        .write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi(DBI)?;
            (0..25_000_u32).try_for_each(|key| writer.put(&dbi, &key.to_be_bytes(), 1, false, b"v"))
        })
        .unwrap();
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    assert_eq!(b.env.last_txn_id(), 3);
    assert!(!b.replica.has_changes());
    assert_eq!(own_snapshots(&store, "b").await, 0);
    assert_eq!(database_content(&b.env), database_content(&a.env));
}

#[tokio::test]
async fn an_emptied_bucket_is_filled_again_even_with_what_a_dead_server_wrote() {
    let (store, clock, mut a, mut b) = two_servers();
    a.replica.receive().await.unwrap();
    write(&a.env, b"k", 1, false, b"v");
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    assert_eq!(own_snapshots(&store, "b").await, 0);
    for object in store.list("").await.unwrap() {
        store.delete(&object.name).await.unwrap();
    }
    // a is dead; b has merged its snapshot and written nothing itself.
    b.replica.receive().await.unwrap();
    assert!(b.replica.send(false).await.unwrap());
    assert_eq!(own_snapshots(&store, "b").await, 1);
    let mut c = Server::start("c".into(), &store, &clock);
    c.replica.receive().await.unwrap();
    assert_eq!(database_content(&c.env), database_content(&b.env));
}

#[tokio::test]
async fn an_empty_database_is_never_stored() {
    let (store, _, mut a, _) = two_servers();
    a.replica.receive().await.unwrap();
    assert!(a.replica.send(true).await.unwrap());
    assert_eq!(own_snapshots(&store, "a").await, 0);
}

#[tokio::test]
async fn a_clock_set_back_does_not_hide_a_newer_snapshot() {
    let (_, clock, mut a, mut b) = two_servers();
    a.replica.receive().await.unwrap();
    write(&a.env, b"k", 1, false, b"v");
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    clock.store(1_000, Ordering::Relaxed);
    write(&a.env, b"k", 2, false, b"w");
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    assert_eq!(database_content(&b.env)[DBI][&b"k".to_vec()].2, b"w");
}

#[tokio::test]
async fn a_torn_newest_snapshot_gives_way_to_the_one_before() {
    let (store, _, mut a, mut b) = two_servers();
    a.replica.receive().await.unwrap();
    write(&a.env, b"k", 1, false, b"v");
    a.replica.send(false).await.unwrap();
    write(&a.env, b"k", 2, false, b"w");
    store.tears.store(true, Ordering::Relaxed);
    assert!(a.replica.send(false).await.is_err());
    b.replica.receive().await.unwrap();
    assert!(b.replica.is_ready());
    assert_eq!(database_content(&b.env)[DBI][&b"k".to_vec()].2, b"v");
    assert!(a.replica.send(false).await.unwrap());
    b.replica.receive().await.unwrap();
    assert_eq!(database_content(&b.env)[DBI][&b"k".to_vec()].2, b"w");
}

#[test]
fn the_agent_that_opens_first_makes_a_table_of_1024_readers() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(&dir.path().join("lmdb")).max_readers(), 1024);
    assert!(Path::new(&dir.path().join("lmdb-lock")).exists());
}

#[tokio::test]
async fn two_agents_of_one_name_merge_each_others_writes_and_store_nothing_until_it_is_quiet() {
    let (store, clock, mut a, _) = two_servers();
    a.replica.receive().await.unwrap();
    let mut twin = Server::start("a".into(), &store, &clock);
    twin.replica.receive().await.unwrap();
    write(&a.env, b"of a", 1, false, b"v");
    write(&twin.env, b"of twin", 2, false, b"v");
    assert!(a.replica.send(false).await.unwrap());
    // The twin has not looked since, and stores a newer one: readers of the name see this one only.
    assert!(twin.replica.send(false).await.unwrap());
    for server in [&mut a, &mut twin] {
        server.replica.receive().await.unwrap();
        assert_eq!(database_content(&server.env)[DBI].len(), 2);
        assert!(matches!(server.replica.hold(), Some(Hold::Namesake { .. })));
        write(&server.env, b"later", 3, false, b"v");
        assert!(!server.replica.send(true).await.unwrap());
    }
    assert_eq!(own_snapshots(&store, "a").await, 2);

    // The twin is gone, and nothing that it wrote.
    clock.fetch_add(301_000_000_000, Ordering::Relaxed);
    a.replica.receive().await.unwrap();
    assert!(a.replica.send(false).await.unwrap());
    let mut reader = Server::start("reader".into(), &store, &clock);
    reader.replica.receive().await.unwrap();
    assert_eq!(database_content(&reader.env)[DBI].len(), 3);
}
