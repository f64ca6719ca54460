//! The cleaner removes what nobody needs, and never the only copy of anything.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use support::open;
use tempfile::TempDir;
use zonetide_agent::snapshot::{Meta, SnapshotName};
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

async fn write_and_send(server: &Server, value: &[u8]) {
    server.replica.receive().await.unwrap();
    let put = |writer: &mut zonetide_agent::lmdb::Writer<'_>| {
        let dbi = writer.dbi("domains")?;
        writer.put(&dbi, value, NOW, false, value)
    };
    server
        .env
        .write::<(), zonetide_agent::lmdb::LmdbError>(put)
        .unwrap();
    assert!(server.replica.send(true).await.unwrap());
}

async fn clean(cleaner: &mut Cleaner, server: &Server, now_ns: u64) -> usize {
    cleaner
        .clean(&server.replica, RETENTION, Instant::now(), now_ns)
        .await
        .unwrap()
}

async fn count(store: &Arc<dyn Store>, instance: &str) -> usize {
    store.list(&format!("main__{instance}__")).await.unwrap().len()
}

#[tokio::test]
async fn superseded_snapshots_go_after_slow_readers_had_their_time_and_the_newest_stays() {
    let store = memory();
    let (a, b) = (server("a", &store, NOW), server("b", &store, NOW));
    for value in [b"1", b"2", b"3"] {
        write_and_send(&a, value).await;
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
    let gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&gone, b"only here").await;
    let b = server("b", &store, NOW);
    let mut cleaner = Cleaner::default();
    // Not merged yet.
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    b.replica.receive().await.unwrap();
    // Merged, but b has stored nothing since.
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    assert!(b.replica.send(true).await.unwrap());
    // Young enough to be alive.
    assert_eq!(clean(&mut cleaner, &b, NOW - 2 * HOUR).await, 0);
    // With the delta that told of it.
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 2);
    assert_eq!(count(&store, "gone").await, 0);
    let c = server("c", &store, NOW);
    c.replica.receive().await.unwrap();
    assert!(support::database_content(&c.env)["domains"].contains_key(&b"only here"[..]));
}

#[tokio::test]
async fn a_torn_newest_snapshot_does_not_keep_the_last_readable_one_of_a_gone_instance() {
    let store = memory();
    let gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&gone, b"only here").await;
    let torn = SnapshotName::new("main", "gone", NOW - 168 * HOUR).unwrap();
    store.put(torn.as_str(), support::spooled(b"torn")).await.unwrap();
    let b = server("b", &store, NOW);
    b.replica.receive().await.unwrap();
    assert!(b.replica.send(true).await.unwrap());
    let mut cleaner = Cleaner::default();
    // Its age is that of its newest, readable or not.
    let young = NOW - HOUR;
    assert_eq!(clean(&mut cleaner, &b, young).await, 0);
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 2);
    let left = store.list("main__gone__").await.unwrap();
    assert_eq!(left[0].name, torn.as_str());
}

#[tokio::test]
async fn of_a_gone_instance_everything_goes() {
    let store = memory();
    let gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&gone, b"1").await;
    write_and_send(&gone, b"2").await;
    let b = server("b", &store, NOW);
    b.replica.receive().await.unwrap();
    assert!(b.replica.send(true).await.unwrap());
    assert_eq!(clean(&mut Cleaner::default(), &b, NOW).await, 4);
    assert_eq!(count(&store, "gone").await, 0);
    assert_eq!(
        store.list("zonetide/delta/main/").await.unwrap().len(),
        1,
        "b's own"
    );
}

#[tokio::test]
async fn deltas_without_any_snapshot_to_begin_with_go_when_their_instance_is_gone() {
    let store = memory();
    let gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&gone, b"1").await;
    // Lightning Stream's cleaner knows nothing of deltas.
    let snapshot = store.list("main__gone__").await.unwrap();
    store.delete(&snapshot[0].name).await.unwrap();
    let b = server("b", &store, NOW);
    b.replica.receive().await.unwrap();
    let mut cleaner = Cleaner::default();
    assert_eq!(clean(&mut cleaner, &b, NOW - 2 * HOUR).await, 0);
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 1);
}

#[tokio::test]
async fn the_last_snapshot_of_a_gone_instance_stays_when_the_own_one_with_its_entries_was_removed() {
    let store = memory();
    let gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&gone, b"only here").await;
    let b = server("b", &store, NOW);
    b.replica.receive().await.unwrap();
    assert!(b.replica.send(true).await.unwrap());
    let own = store.list("main__b__").await.unwrap();
    store.delete(&own[0].name).await.unwrap();
    let mut cleaner = Cleaner::default();
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    b.replica.receive().await.unwrap();
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    // Seen to be gone, it is stored again.
    assert!(b.replica.send(false).await.unwrap());
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 2);
}

#[tokio::test]
async fn the_last_snapshot_of_a_gone_instance_stays_while_a_namesake_hides_the_own_one_with_its_entries() {
    let store = memory();
    let gone = server("gone", &store, NOW - 169 * HOUR);
    write_and_send(&gone, b"only here").await;
    let twin = server("b", &memory(), NOW);
    write_and_send(&twin, b"of twin").await;
    let b = server("b", &store, NOW - HOUR);
    b.replica.receive().await.unwrap();
    let mut cleaner = Cleaner::default();
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    assert!(b.replica.send(true).await.unwrap());
    // Another agent of that name stores a newer one without them.
    let name = SnapshotName::new("main", "b", NOW).unwrap();
    let object = zonetide_agent::sync::dump(&twin.env, &Meta::default())
        .unwrap()
        .object;
    store.put(name.as_str(), object).await.unwrap();
    b.replica.receive().await.unwrap();
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
}

fn retiring(instance: &str) -> Cleaner {
    let mut cleaner = Cleaner::default();
    cleaner.retire([instance.to_owned()].into());
    cleaner
}

fn has(server: &Server, key: &[u8]) -> bool {
    support::database_content(&server.env)
        .get("domains")
        .is_some_and(|entries| entries.contains_key(key))
}

#[tokio::test]
async fn a_retired_instance_goes_once_it_is_merged_and_stored_again_which_is_done_at_once() {
    let store = memory();
    let (b, follower) = (server("b", &store, NOW), server("c", &store, NOW));
    write_and_send(&b, b"of b").await;
    follower.replica.receive().await.unwrap();
    let gone = server("gone", &store, NOW - HOUR);
    write_and_send(&gone, b"only here").await;
    let mut cleaner = retiring("gone");
    // Not merged yet.
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    assert!(cleaner.sees_retired() && !b.replica.has_changes());
    // Merged, but nobody has stored it since.
    b.replica.receive().await.unwrap();
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    assert_eq!(count(&store, "gone").await, 1);
    assert!(b.replica.has_changes(), "a snapshot is wanted");
    assert!(b.replica.send(false).await.unwrap());
    // With the delta that told of it.
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 2);
    assert_eq!(count(&store, "gone").await, 0);
    assert_eq!(clean(&mut cleaner, &b, NOW).await, 0);
    assert!(!cleaner.sees_retired());
    // Who knew b's objects so far, and who joins.
    for reader in [&follower, &server("new", &store, NOW)] {
        reader.replica.receive().await.unwrap();
        assert!(has(reader, b"only here") && has(reader, b"of b"));
    }
}

#[tokio::test]
async fn a_retired_instance_that_stored_something_just_now_or_once_more_is_waited_for() {
    let store = memory();
    let gone = server("gone", &store, NOW);
    write_and_send(&gone, b"1").await;
    let b = server("b", &store, NOW);
    b.replica.receive().await.unwrap();
    assert!(b.replica.send(true).await.unwrap());
    let mut cleaner = retiring("gone");
    let second = 1_000_000_000;
    assert_eq!(clean(&mut cleaner, &b, NOW + 29 * second).await, 0);
    let later = NOW + 60 * second;
    write_and_send(&b, b"2").await;
    assert!(b.replica.send(true).await.unwrap());
    write_and_send(&gone, b"the last word").await;
    // What b has stored is older than that.
    b.replica.receive().await.unwrap();
    assert_eq!(clean(&mut cleaner, &b, later).await, 0);
    write_and_send(&gone, b"after the last word").await;
    assert!(b.replica.send(false).await.unwrap());
    b.replica.receive().await.unwrap();
    assert_eq!(clean(&mut cleaner, &b, later).await, 0);
    assert!(b.replica.send(false).await.unwrap());
    assert_eq!(clean(&mut cleaner, &b, later).await, 6);
    let new = server("new", &store, later);
    new.replica.receive().await.unwrap();
    assert!(has(&new, b"the last word") && has(&new, b"after the last word"));
}

#[tokio::test]
async fn of_several_instances_the_first_stores_what_a_retired_one_said_and_the_next_if_it_does_not() {
    let store = memory();
    let gone = server("0-gone", &store, NOW - HOUR);
    write_and_send(&gone, b"1").await;
    let (a, b) = (server("a", &store, NOW), server("b", &store, NOW));
    write_and_send(&a, b"2").await;
    write_and_send(&b, b"3").await;
    a.replica.receive().await.unwrap();
    for server in [&a, &b] {
        assert!(server.replica.send(true).await.unwrap());
    }
    write_and_send(&gone, b"4").await;
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut cleaners = [retiring("0-gone"), retiring("0-gone")];
    for (server, cleaner) in [&a, &b].into_iter().zip(&mut cleaners) {
        server.replica.receive().await.unwrap();
        assert!(!server.replica.has_changes());
        assert_eq!(
            cleaner
                .clean(&server.replica, RETENTION, start, NOW)
                .await
                .unwrap(),
            0
        );
    }
    assert!(a.replica.has_changes() && !b.replica.has_changes());
    for (seconds, wanted) in [(19, false), (20, true)] {
        let now = start + seconds * second;
        assert_eq!(
            cleaners[1].clean(&b.replica, RETENTION, now, NOW).await.unwrap(),
            0
        );
        assert_eq!(b.replica.has_changes(), wanted, "after {seconds} s");
    }
}

#[tokio::test]
async fn deltas_of_a_retired_instance_without_a_snapshot_go_too() {
    let store = memory();
    let gone = server("gone", &store, NOW - HOUR);
    write_and_send(&gone, b"1").await;
    let snapshot = store.list("main__gone__").await.unwrap();
    store.delete(&snapshot[0].name).await.unwrap();
    let b = server("b", &store, NOW);
    write_and_send(&b, b"2").await;
    assert_eq!(clean(&mut Cleaner::default(), &b, NOW).await, 0);
    assert_eq!(clean(&mut retiring("gone"), &b, NOW).await, 1);
}
