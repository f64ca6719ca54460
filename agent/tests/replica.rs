//! The rules of replication one by one, over a store that fails when told to. `convergence/` plays them at random.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::memory::InMemory;
use support::{database_content, open, spooled};
use tempfile::{SpooledTempFile, TempDir};
use zonetide_agent::lmdb::{Environment, LmdbError};
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{Listed, ObjectBackend, Store, StoreError, StoreErrorReason};
use zonetide_agent::sync::{Hold, Origin, Replica};

const DBI: &str = "records";

/// A store that can be switched off, and that may tear a write.
struct Unsteady {
    inner: ObjectBackend,
    down: AtomicBool,
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
        self.inner.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.check("remove", name)?;
        self.inner.delete(name).await
    }
}

struct Server {
    name: String,
    _dir: TempDir,
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
            _dir: dir,
            replica,
            env,
        }
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

fn two_servers() -> (Arc<Unsteady>, Arc<AtomicU64>, Server, Server) {
    let store = Arc::new(Unsteady {
        inner: ObjectBackend::new(Arc::new(InMemory::new()), ""),
        down: AtomicBool::new(false),
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

async fn own_deltas(store: &Unsteady, name: &str) -> usize {
    let deltas = store.list("zonetide/delta/shard/").await.unwrap();
    let own = |listed: &&Listed| listed.name.contains(&format!("__{name}__"));
    deltas.iter().filter(own).count()
}

/// Both have an entry, and stored it.
async fn settle(a: &Server, b: &Server) {
    a.replica.receive().await.unwrap();
    write(&a.env, b"first", 1, false, b"v");
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    b.replica.send(false).await.unwrap();
    assert!(b.replica.is_ready() && !b.replica.has_changes());
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
async fn a_server_with_nothing_of_its_own_in_the_store_is_seen_there_once_it_has_all_of_it() {
    let (store, _, a, b) = two_servers();
    a.replica.receive().await.unwrap();
    b.replica.receive().await.unwrap();
    assert!(b.replica.is_ready() && !b.replica.has_changes(), "it is empty");
    write(&a.env, b"k", 1, false, b"v");
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    assert!(b.replica.has_changes());
    assert!(b.replica.send(false).await.unwrap());
    assert!(!b.replica.has_changes());
    assert_eq!(own_snapshots(&store, "b").await, 1);
    // So the first change of its own is as small as any other.
    write(&b.env, b"k", 2, false, b"w");
    assert!(b.replica.send(false).await.unwrap());
    assert_eq!(own_snapshots(&store, "b").await, 1);
    assert_eq!(own_deltas(&store, "b").await, 2);
}

#[tokio::test]
async fn a_merge_alone_stores_nothing_but_a_write_beside_it_does() {
    let (store, _, a, b) = two_servers();
    let stored = async || own_snapshots(&store, "b").await + own_deltas(&store, "b").await;
    settle(&a, &b).await;
    let before = stored().await;
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
    assert_eq!(stored().await, before + 1);
}

#[tokio::test]
async fn a_merge_in_many_batches_stores_nothing_either() {
    let (store, _, a, b) = two_servers();
    settle(&a, &b).await;
    let (before, txn) = (own_snapshots(&store, "b").await, b.env.last_txn_id());
    a.env
        .write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi(DBI)?;
            (0..25_000_u32).try_for_each(|key| writer.put(&dbi, &key.to_be_bytes(), 1, false, b"v"))
        })
        .unwrap();
    a.replica.send(false).await.unwrap();
    b.replica.receive().await.unwrap();
    assert_eq!(b.env.last_txn_id(), txn + 3);
    assert!(!b.replica.has_changes());
    assert_eq!(own_snapshots(&store, "b").await, before);
    assert_eq!(database_content(&b.env), database_content(&a.env));
}

#[tokio::test]
async fn an_emptied_bucket_is_filled_again_even_with_what_a_dead_server_wrote() {
    let (store, clock, a, b) = two_servers();
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
    let c = Server::start("c".into(), &store, &clock);
    c.replica.receive().await.unwrap();
    assert_eq!(database_content(&c.env), database_content(&b.env));
}

#[tokio::test]
async fn an_empty_database_is_never_stored() {
    let (store, _, a, _) = two_servers();
    a.replica.receive().await.unwrap();
    assert!(a.replica.send(true).await.unwrap());
    assert_eq!(own_snapshots(&store, "a").await, 0);
}

#[tokio::test]
async fn a_clock_set_back_does_not_hide_a_newer_snapshot() {
    let (_, clock, a, b) = two_servers();
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
    let (store, _, a, b) = two_servers();
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
    let reader = Server::start("reader".into(), &store, &clock);
    reader.replica.receive().await.unwrap();
    assert_eq!(database_content(&reader.env)[DBI].len(), 3);
}

#[tokio::test]
async fn what_a_namesake_hid_is_stored_again_once_it_is_quiet() {
    let (store, clock, a, _) = two_servers();
    a.replica.receive().await.unwrap();
    let twin = Server::start("a".into(), &store, &clock);
    twin.replica.receive().await.unwrap();
    write(&a.env, b"of a", 1, false, b"v");
    write(&twin.env, b"of twin", 2, false, b"v");
    assert!(a.replica.send(false).await.unwrap());
    assert!(twin.replica.send(false).await.unwrap());
    a.replica.receive().await.unwrap();
    assert!(!a.replica.send(false).await.unwrap());

    clock.fetch_add(301_000_000_000, Ordering::Relaxed);
    a.replica.receive().await.unwrap();
    assert!(a.replica.send(false).await.unwrap());
    let reader = Server::start("reader".into(), &store, &clock);
    reader.replica.receive().await.unwrap();
    assert_eq!(database_content(&reader.env)[DBI].len(), 2);
}

#[tokio::test]
async fn a_torn_upload_is_followed_by_a_sound_one_even_when_nothing_has_changed() {
    let (store, _, a, _) = two_servers();
    a.replica.receive().await.unwrap();
    write(&a.env, b"k", 1, false, b"v");
    assert!(a.replica.send(false).await.unwrap());
    store.tears.store(true, Ordering::Relaxed);
    assert!(a.replica.send(true).await.is_err());
    assert!(a.replica.has_changes());
    assert!(a.replica.send(false).await.unwrap());
    assert_eq!(own_snapshots(&store, "a").await, 2);
    assert!(!a.replica.has_changes());
}
