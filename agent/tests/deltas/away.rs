//! Deletion marks that are removed, and what was away for longer than they are kept.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::{Hold, Sweep};

use crate::server::{DBI, SECOND, Server, Watched};
use crate::support::{database_content, spooled};

const DAY: u64 = 86_400 * SECOND;
const SWEEP: Sweep = Sweep {
    retention: Duration::from_secs(10 * 86_400),
    load_cutoff: Duration::from_secs(10 * 86_400 - 8_640),
    lock: Duration::from_millis(50),
    release: Duration::ZERO,
};
/// Where the objects are, as a memory says it.
const STORE: &str = "here";

/// Writes down that the database is in sync, as the agent does while it is.
fn note_in_sync(server: &Server) {
    let path = server.env.path();
    let file = std::fs::metadata(path).unwrap();
    let born = file
        .created()
        .ok()
        .map(|born| born.duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let note = json!({
        "version": 1,
        "file": {"device": file.dev(), "inode": file.ino(), "born": born},
        "txn": server.env.last_txn_id(),
        "time": server.now(),
    });
    let path = format!("{}.zonetide-in-sync.json", path.display());
    std::fs::write(path, note.to_string()).unwrap();
}

async fn exchange(servers: [&Server; 2]) {
    for _ in 0..2 {
        for server in servers {
            server.receive().await;
            server.send().await;
        }
    }
}

/// Two servers that sweep and have the same; `b` is away from now on, with what PowerDNS goes on writing there.
async fn apart(store: &Arc<Watched>) -> (Server, Server) {
    let (mut a, mut b) = (Server::new("a", store), Server::new("b", store));
    for server in [&mut a, &mut b] {
        server.replica.set_sweep(SWEEP);
    }
    a.begin().await;
    b.begin().await;
    for key in ["kept", "deleted"] {
        a.write(key, "1");
    }
    b.set_clock(a.now());
    exchange([&a, &b]).await;
    assert_eq!(a.content(), b.content());
    b.replica.remember(STORE);
    note_in_sync(&b);
    b.write("of-b", "1");
    a.delete("deleted");
    a.send().await;
    (a, b)
}

/// Time passes, and as ever all that live store a snapshot now and then.
async fn later(a: &Server, b: &Server, days: u64) {
    let store = &a.store;
    for server in [a, b] {
        server.pass(days * DAY);
    }
    a.receive().await;
    a.replica.send(true).await.unwrap();
    // What led to it is cleaned away.
    for listed in store.deltas().await {
        if listed.name.contains("__a__") {
            store.delete(&listed.name).await.unwrap();
        }
    }
    a.receive().await;
}

/// As the cleaners of others do with what is so old.
async fn forget_objects_of(store: &Arc<Watched>, instance: &str) {
    for listed in [store.snapshots().await, store.deltas().await].concat() {
        if listed.name.contains(&format!("__{instance}__")) {
            store.delete(&listed.name).await.unwrap();
        }
    }
}

/// As on another node, where a volume has another device number.
fn attach_elsewhere(server: &Server) {
    for name in ["zonetide-state.json", "zonetide-in-sync.json"] {
        let path = format!("{}.{name}", server.env.path().display());
        let mut said: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        said["file"]["device"] = json!(said["file"]["device"].as_u64().unwrap() + 1);
        std::fs::write(&path, said.to_string()).unwrap();
    }
}

fn start_again(b: &mut Server) {
    attach_elsewhere(b);
    b.restart();
    b.replica.set_sweep(SWEEP);
    b.replica.resume(STORE);
}

fn knows(server: &Server, key: &str) -> bool {
    database_content(&server.env)[DBI].contains_key(key.as_bytes())
}

#[tokio::test]
async fn what_was_deleted_while_a_volume_was_away_for_longer_than_marks_are_kept_stays_deleted() {
    let store = Watched::new();
    let (a, mut b) = apart(&store).await;
    later(&a, &b, 12).await;
    forget_objects_of(&store, "b").await;
    later(&a, &b, 0).await;
    assert_eq!(a.replica.sweep().await.unwrap(), 1);
    assert!(!knows(&a, "deleted"));
    later(&a, &b, 0).await;

    start_again(&mut b);
    b.receive().await;
    exchange([&b, &a]).await;
    for server in [&a, &b] {
        let content = server.content();
        assert!(!content.contains_key("deleted"), "{}: {content:?}", server.name);
        assert_eq!(content["kept"], "1");
        assert_eq!(content["of-b"], "1", "{}: what it wrote meanwhile", server.name);
    }
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn a_torn_snapshot_that_was_there_before_holds_up_no_volume_that_was_away() {
    let store = Watched::new();
    let c = Server::new("c", &store);
    c.begin().await;
    store.tears.store(true, Ordering::Relaxed);
    c.write("of-c", "1");
    assert!(c.replica.send(true).await.is_err());
    let (a, mut b) = apart(&store).await;
    // Cleaners remove what they can read of an instance that is gone.
    let listed = store.snapshots().await;
    let of_c: Vec<_> = listed
        .iter()
        .filter(|listed| listed.name.contains("__c__"))
        .collect();
    assert_eq!(of_c.len(), 2);
    store.delete(&of_c[0].name).await.unwrap();
    for listed in store.deltas().await {
        if listed.name.contains("__c__") {
            store.delete(&listed.name).await.unwrap();
        }
    }
    later(&a, &b, 12).await;
    start_again(&mut b);
    assert_eq!(b.replica.hold(), Some(Hold::OwnNotMerged));
    b.receive().await;
    assert_eq!(b.replica.hold(), None);
    exchange([&b, &a]).await;
    assert_eq!(a.content(), b.content());
    assert_eq!(a.content()["of-b"], "1");
}

#[tokio::test]
async fn what_others_have_in_a_version_to_come_is_not_taken_for_gone_by_a_volume_that_was_away() {
    let store = Watched::new();
    let (a, mut b) = apart(&store).await;
    later(&a, &b, 12).await;
    a.pass(3_600 * SECOND);
    // More than there is room for beside the zones.
    let large = |number: u32| (format!("a{number}"), vec![b'x'; 1000]);
    a.write_all((0..2000).map(large));
    a.write("kept", &"x".repeat(2000));
    forget_objects_of(&store, "b").await;
    later(&a, &b, 0).await;
    assert_eq!(a.replica.sweep().await.unwrap(), 1);
    later(&a, &b, 0).await;

    attach_elsewhere(&b);
    let _time = b.learn_the_time();
    b.replica.set_sweep(SWEEP);
    b.replica.resume(STORE);
    b.receive().await;
    assert_eq!(b.content()["kept"], "1");
    assert!(!b.content().contains_key("deleted"));
    b.pass(3_600 * SECOND);
    for _ in 0..2 {
        b.receive().await;
    }
    assert_eq!(b.content()["kept"], a.content()["kept"]);
    assert_eq!(
        b.content().len(),
        a.content().len() + 1,
        "and what it wrote itself"
    );
}

#[tokio::test]
async fn nor_does_an_agent_bring_it_back_that_ran_all_the_time_without_the_store() {
    let store = Watched::new();
    let (a, b) = apart(&store).await;
    later(&a, &b, 12).await;
    forget_objects_of(&store, "b").await;
    later(&a, &b, 0).await;
    assert_eq!(a.replica.sweep().await.unwrap(), 1);
    later(&a, &b, 0).await;
    b.receive().await;
    exchange([&b, &a]).await;
    for server in [&a, &b] {
        let content = server.content();
        assert!(!content.contains_key("deleted"), "{}: {content:?}", server.name);
        assert_eq!(
            (&*content["kept"], &*content["of-b"]),
            ("1", "1"),
            "{}",
            server.name
        );
    }
}

#[tokio::test]
async fn one_that_was_away_for_less_goes_on_from_where_it_was() {
    let store = Watched::new();
    let (a, mut b) = apart(&store).await;
    later(&a, &b, 8).await;
    a.replica.sweep().await.unwrap();
    start_again(&mut b);
    assert_ne!(b.replica.hold(), Some(Hold::Refilling));
    b.receive().await;
    exchange([&b, &a]).await;
    assert!(!a.content().contains_key("deleted") && !b.content().contains_key("deleted"));
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn marks_stay_as_long_as_a_snapshot_may_be_read_that_has_what_they_deleted() {
    let store = Watched::new();
    let (a, b) = apart(&store).await;
    later(&a, &b, 12).await;
    assert_eq!(a.replica.sweep().await.unwrap(), 0, "the snapshot of b is there");
    // Whoever comes new reads it before that of a, or after it.
    let mut new = Server::new("c", &store);
    new.replica.set_sweep(SWEEP);
    new.set_clock(a.now());
    new.receive().await;
    assert!(!new.content().contains_key("deleted"));
}

#[tokio::test]
async fn nothing_goes_from_the_only_database_there_is() {
    let store = Watched::new();
    let (a, mut b) = apart(&store).await;
    b.pass(12 * DAY);
    forget_objects_of(&store, "a").await;
    forget_objects_of(&store, "b").await;
    drop(a);
    start_again(&mut b);
    b.receive().await;
    b.send().await;
    let content = b.content();
    for key in ["kept", "deleted", "of-b"] {
        assert_eq!(content[key], "1");
    }
}

#[tokio::test]
async fn nothing_goes_and_nothing_is_stored_while_a_snapshot_that_may_have_it_cannot_be_read() {
    let store = Watched::new();
    let (a, mut b) = apart(&store).await;
    later(&a, &b, 12).await;
    forget_objects_of(&store, "b").await;
    let newest = store.snapshots().await.pop().unwrap().name;
    forget_objects_of(&store, "a").await;
    store.put(&newest, spooled(b"torn")).await.unwrap();
    start_again(&mut b);
    b.replica.receive().await.unwrap();
    assert_eq!(b.replica.hold(), Some(Hold::Refilling));
    assert!(knows(&b, "kept"));
    assert!(!b.replica.send(false).await.unwrap());
    // A restart goes on with that, whatever is written down besides.
    note_in_sync(&b);
    start_again(&mut b);
    b.replica.receive().await.unwrap();
    assert_eq!(b.replica.hold(), Some(Hold::Refilling));
    // It is stored again by whoever can.
    later(&a, &b, 0).await;
    b.receive().await;
    exchange([&b, &a]).await;
    assert_eq!(a.content(), b.content());
    assert!(!b.content().contains_key("deleted"));
}
