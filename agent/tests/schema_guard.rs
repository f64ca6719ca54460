//! PowerDNS 5 in a fleet of 4.9: its newer schema is never merged into an older database, nor written beside one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use support::{database_content, open, unhurried};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use zonetide_agent::lmdb::{Environment, LmdbError};
use zonetide_agent::snapshot::{DeltaName, DeltaWriter, Entry, Meta, ZONETIDE_VERSION};
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{ObjectBackend, Store};
use zonetide_agent::sync::peer::Told;
use zonetide_agent::sync::{Hold, Origin, Received, Replica, SchemaGuard, Schemas, Ways, run};

/// One PowerDNS with its agent: a main database and a shard.
struct Server {
    main: Replica,
    shard: Replica,
    main_env: Arc<Environment>,
    shard_env: Arc<Environment>,
    _dir: TempDir,
}

fn store() -> Arc<dyn Store> {
    Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), ""))
}

impl Server {
    fn new(name: &str, schema: Option<u32>, store: &Arc<dyn Store>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (main_env, shard_env) = (
            open(&dir.path().join("pdns.lmdb")),
            open(&dir.path().join("pdns.lmdb-0")),
        );
        let guard = Arc::new(SchemaGuard::default());
        let replica = |database: &str, env: &Arc<Environment>, main| {
            let origin = Origin {
                database: database.into(),
                instance: name.into(),
                hostname: "test".into(),
            };
            let status = Arc::new(DatabaseStatus::new(Metrics::new().database(database)));
            let clock = std::sync::atomic::AtomicU64::new(1_795_510_850_000_000_000);
            let now = move || clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut replica = Replica::new(env.clone(), store.clone(), status, origin, Arc::new(now));
            replica.set_schemas(Schemas {
                guard: guard.clone(),
                main,
            });
            replica
        };
        let main = replica("main", &main_env, true);
        let shard = replica("shard", &shard_env, false);
        let mut server = Self {
            main,
            shard,
            main_env,
            shard_env,
            _dir: dir,
        };
        if let Some(schema) = schema {
            server.upgrade(schema);
        }
        server
    }

    /// What PowerDNS does when it opens its database.
    fn upgrade(&mut self, schema: u32) {
        put(
            &self.main_env,
            "pdns",
            b"schemaversion",
            u64::from(schema),
            &schema.to_be_bytes(),
        );
    }

    fn write(&self, key: &[u8]) {
        put(&self.main_env, "domains", key, 1, b"zone");
        put(&self.shard_env, "records", key, 1, b"record");
    }

    fn has(&self, key: &[u8]) -> (bool, bool) {
        let has = |env, dbi| {
            database_content(env)
                .get(dbi)
                .is_some_and(|dbi| dbi.contains_key(key))
        };
        (has(&self.main_env, "domains"), has(&self.shard_env, "records"))
    }

    async fn receive(&mut self) {
        self.main.receive().await.unwrap();
        self.shard.receive().await.unwrap();
    }

    async fn send(&mut self) -> (bool, bool) {
        (
            self.main.send(false).await.unwrap(),
            self.shard.send(false).await.unwrap(),
        )
    }
}

fn put(env: &Environment, dbi: &str, key: &[u8], timestamp: u64, value: &[u8]) {
    env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi(dbi)?;
        writer.put(&dbi, key, timestamp, false, value)
    })
    .unwrap();
}

#[tokio::test]
async fn an_upgraded_instance_does_not_reach_the_others_and_they_go_on() {
    let store = store();
    let (mut a, mut b) = (
        Server::new("a", Some(5), &store),
        Server::new("b", Some(5), &store),
    );
    for server in [&mut a, &mut b] {
        server.receive().await;
    }
    a.write(b"of a");
    assert_eq!(a.send().await, (true, true));
    // One that is upgraded, or was pointed to the wrong prefix.
    let mut newer = Server::new("newer", Some(6), &store);
    newer.write(b"of newer");
    newer.main.receive().await.unwrap();
    newer.shard.receive().await.unwrap();
    assert!(matches!(
        newer.main.hold(),
        Some(Hold::OtherSchema { schema: 5, .. })
    ));
    assert!(matches!(
        newer.shard.hold(),
        Some(Hold::OtherSchema { schema: 5, .. })
    ));
    assert_eq!(newer.send().await, (false, false));
    assert_eq!(newer.has(b"of a"), (true, true));

    // And what a program stores that knows nothing of this rule is not merged.
    newer.main.set_schemas(Schemas::default());
    newer.shard.set_schemas(Schemas::default());
    assert_eq!(newer.send().await, (true, true));

    b.receive().await;
    assert_eq!(b.has(b"of a"), (true, true));
    assert_eq!(b.has(b"of newer"), (false, false));
    assert!(b.main.is_ready() && b.shard.is_ready());
    b.write(b"of b");
    assert_eq!(b.send().await, (true, true));
    a.receive().await;
    assert_eq!(a.has(b"of b"), (true, true));
}

#[tokio::test]
async fn a_snapshot_of_a_newer_schema_is_refused_until_powerdns_is_upgraded() {
    let store = store();
    let mut newer = Server::new("newer", Some(6), &store);
    newer.receive().await;
    newer.write(b"of newer");
    // Nobody older is in the bucket yet, so it may store.
    assert_eq!(newer.send().await, (true, true));

    let mut old = Server::new("old", Some(5), &store);
    old.write(b"of old");
    old.receive().await;
    assert_eq!(old.has(b"of newer"), (false, false));
    assert!(old.main.is_ready() && old.shard.is_ready());
    assert_eq!(
        database_content(&old.main_env)["pdns"][&b"schemaversion"[..]].2,
        5_u32.to_be_bytes()
    );
    // Nor does it store where only the newer schema is at home.
    assert_eq!(old.send().await, (false, false));

    old.upgrade(6);
    old.receive().await;
    assert_eq!(old.has(b"of newer"), (true, true));
    assert_eq!(old.send().await, (true, true));
    newer.receive().await;
    assert_eq!(newer.has(b"of old"), (true, true));
}

#[tokio::test]
async fn a_shard_waits_for_what_the_main_database_finds() {
    let store = store();
    let mut newer = Server::new("newer", Some(6), &store);
    newer.receive().await;
    newer.write(b"of newer");
    newer.send().await;
    let old = Server::new("old", Some(5), &store);
    old.shard.receive().await.unwrap();
    assert!(!old.shard.is_ready());
    assert_eq!(old.has(b"of newer"), (false, false));
}

#[tokio::test]
async fn an_empty_database_takes_the_schema_of_what_is_in_the_bucket() {
    let store = store();
    let mut a = Server::new("a", Some(6), &store);
    a.receive().await;
    a.write(b"of a");
    a.send().await;
    let mut fresh = Server::new("fresh", None, &store);
    fresh.receive().await;
    assert_eq!(fresh.has(b"of a"), (true, true));
}

#[tokio::test]
async fn an_instance_upgraded_since_the_last_look_at_the_store_does_not_store_any_more() {
    let store = store();
    let (mut a, mut b) = (
        Server::new("a", Some(5), &store),
        Server::new("b", Some(5), &store),
    );
    a.receive().await;
    a.write(b"of a");
    assert_eq!(a.send().await, (true, true));
    b.receive().await;
    // As long as the store is unreachable nobody looks at it.
    b.upgrade(6);
    b.write(b"of b");
    assert_eq!(b.send().await, (false, false));
    a.receive().await;
    assert_eq!(a.has(b"of b"), (false, false));
}

#[tokio::test]
async fn a_database_of_the_older_schema_that_is_made_later_does_not_make_the_newer_one_look_older() {
    let store = store();
    let mut newer = Server::new("newer", Some(6), &store);
    let mut old = Server::new("old", Some(5), &store);
    put(&old.main_env, "pdns", b"schemaversion", 9, &5_u32.to_be_bytes());
    old.receive().await;
    old.write(b"of old");
    assert_eq!(old.send().await, (true, true));
    newer.receive().await;
    assert_eq!(newer.has(b"of old"), (true, true));
    newer.write(b"of newer");
    assert_eq!(newer.send().await, (false, false));
}

#[tokio::test]
async fn a_shard_that_waits_for_the_main_database_goes_on_when_that_has_looked_and_not_a_poll_later() {
    let store = store();
    let mut a = Server::new("a", Some(5), &store);
    a.receive().await;
    a.write(b"of a");
    assert_eq!(a.send().await, (true, true));
    let b = Server::new("b", None, &store);
    assert_eq!(b.shard.receive().await.unwrap(), Received::Waiting);
    let (main, shard, shard_env) = (b.main, b.shard, b.shard_env.clone());
    let stop = CancellationToken::new();
    let replicating = async {
        // The shard's turn is first.
        tokio::join!(
            run(shard, unhurried(), Ways::default(), stop.clone()),
            run(main, unhurried(), Ways::default(), stop.clone()),
        )
    };
    let mut watch = shard_env.watch().unwrap();
    let arriving = async {
        while database_content(&shard_env).is_empty() {
            watch.changed().await.unwrap();
        }
        stop.cancel();
    };
    let both = Box::pin(async { tokio::join!(replicating, arriving) });
    let both = tokio::time::timeout(Duration::from_secs(20), both);
    let ((shard, main), ()) = both.await.expect("the shard waits for its next poll");
    shard.unwrap();
    main.unwrap();
}

/// A change of a shard that a server of this schema tells, as the peers get it.
fn told(number: u8, schema: u32) -> Told {
    let start = 1_795_510_850_000_000_000 + u64::from(number);
    let name = DeltaName::new("shard", "newer", start, start + 1).unwrap();
    let meta = Meta {
        instance: "newer".into(),
        from_lmdb_txn_id: 1,
        zonetide: ZONETIDE_VERSION,
        schema: schema.into(),
        ..Meta::default()
    };
    let mut writer = DeltaWriter::new(Vec::new(), &meta).unwrap();
    let entry = Entry {
        key: &[number],
        value: b"record",
        timestamp: start,
        deleted: false,
    };
    writer.entry("records", &entry).unwrap();
    Told {
        name: name.to_string(),
        from: "newer".into(),
        object: writer.finish().unwrap().into(),
    }
}

#[tokio::test]
async fn changes_of_a_newer_schema_that_have_queued_up_are_refused_as_one_alone_is() {
    let store = store();
    let mut old = Server::new("old", Some(5), &store);
    old.write(b"own");
    old.receive().await;
    assert_eq!(old.send().await, (true, true));
    // Its main database has not seen the other one yet.
    let queued = [told(1, 6), told(2, 6)];
    assert!(!old.shard.take_together(&queued).await.unwrap());
    for told in queued {
        assert!(!old.shard.take(told).await.unwrap());
    }
    assert_eq!((old.has(&[1]).1, old.has(&[2]).1), (false, false));
    assert!(old.shard.take_together(&[told(3, 5), told(4, 5)]).await.unwrap());
    assert_eq!((old.has(&[3]).1, old.has(&[4]).1), (true, true));
}
