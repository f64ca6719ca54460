//! The cleaner removes what nobody needs, and never the only copy of anything.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use support::open;
use tempfile::TempDir;
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{ObjectBackend, Store};
use zonetide_agent::sync::{Cleaner, Origin, Replica, Retention};

const NOW: u64 = 1_795_510_850_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const RETENTION: Retention = Retention {
    must_keep: Duration::from_secs(600),
    remove_old_instances: Duration::from_secs(168 * 3600),
};

struct Server {
    replica: Replica,
    env: Arc<zonetide_agent::lmdb::Environment>,
    _dir: TempDir,
}

fn server(name: &str, store: &Arc<dyn Store>, now: u64) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    let origin = Origin {
        database: "main".into(),
        instance: name.into(),
        hostname: "test".into(),
    };
    let status = Arc::new(DatabaseStatus::new(Metrics::new().database("main")));
    let replica = Replica::new(env.clone(), store.clone(), status, origin, Arc::new(move || now));
    Server {
        replica,
        env,
        _dir: dir,
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), ""))
}

async fn write_and_send(server: &mut Server, value: &[u8]) {
    server.replica.receive().await.unwrap();
    let put = |writer: &mut zonetide_agent::lmdb::Writer<'_>| {
        let dbi = writer.dbi("domains_v5")?;
        writer.put(&dbi, value, NOW, false, value)
    };
    server
        .env
        .write::<(), zonetide_agent::lmdb::LmdbError>(put)
        .unwrap();
    assert!(server.replica.send(false).await.unwrap());
}

async fn count(store: &Arc<dyn Store>, instance: &str) -> usize {
    store.list(&format!("main__{instance}__")).await.unwrap().len()
}

#[tokio::test]
async fn superseded_snapshots_go_after_slow_readers_had_their_time_and_the_newest_stays() {
    let store = memory();
    let (mut a, mut b) = (server("a", &store, NOW), server("b", &store, NOW));
    for value in [b"1", b"2", b"3"] {
        write_and_send(&mut a, value).await;
    }
    let (mut cleaner, start) = (Cleaner::default(), Instant::now());
    // b has not merged a's newest: for all it knows, that one is torn.
    assert_eq!(cleaner.clean(&b.replica, RETENTION, start, NOW).await.unwrap(), 0);
    b.replica.receive().await.unwrap();
    assert_eq!(cleaner.clean(&b.replica, RETENTION, start, NOW).await.unwrap(), 0);
    let later = start + Duration::from_secs(599);
    assert_eq!(cleaner.clean(&b.replica, RETENTION, later, NOW).await.unwrap(), 0);
    let due = start + Duration::from_secs(600);
    assert_eq!(cleaner.clean(&b.replica, RETENTION, due, NOW).await.unwrap(), 2);
    assert_eq!(count(&store, "a").await, 1);
}

#[tokio::test]
async fn the_last_snapshot_of_a_gone_instance_goes_only_when_a_later_own_one_holds_its_entries() {
    let store = memory();
    let mut gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&mut gone, b"only here").await;
    let mut b = server("b", &store, NOW);
    let mut cleaner = Cleaner::default();
    // Not merged yet.
    assert_eq!(
        cleaner
            .clean(&b.replica, RETENTION, Instant::now(), NOW)
            .await
            .unwrap(),
        0
    );
    b.replica.receive().await.unwrap();
    // Merged, but b has stored nothing since.
    assert_eq!(
        cleaner
            .clean(&b.replica, RETENTION, Instant::now(), NOW)
            .await
            .unwrap(),
        0
    );
    assert!(b.replica.send(true).await.unwrap());
    // Young enough to be alive.
    let young = NOW - 2 * HOUR;
    assert_eq!(
        cleaner
            .clean(&b.replica, RETENTION, Instant::now(), young)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        cleaner
            .clean(&b.replica, RETENTION, Instant::now(), NOW)
            .await
            .unwrap(),
        1
    );
    assert_eq!(count(&store, "gone").await, 0);
    let mut c = server("c", &store, NOW);
    c.replica.receive().await.unwrap();
    assert!(support::database_content(&c.env)["domains_v5"].contains_key(&b"only here"[..]));
}
