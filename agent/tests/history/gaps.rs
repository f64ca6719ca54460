//! What is in no delta: by servers that are new or begin anew.

use crate::*;

/// A server whose agent lost its memory, and wrote while it did not run: that is in no delta.
async fn began_anew() -> Fleet {
    let mut fleet = Fleet::begin().await;
    fleet.servers[0].write("key", "1");
    fleet.settle().await;
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    fleet.pass(2 * HOUR);
    fleet.servers[0].write("key", "2");
    fleet.agree();
    fleet.servers[0].restart();
    fleet.servers[0].receive().await;
    fleet.servers[0].send().await;
    fleet.pass(SECOND);
    fleet.servers[0].write("other", "3");
    fleet.settle().await;
    fleet.cleaners[0] = Cleaner::with_history(History::new(KEEP));
    fleet
}

#[tokio::test]
async fn what_a_server_that_began_anew_stored_in_a_snapshot_alone_is_seen_too() {
    let mut fleet = began_anew().await;
    fleet.check().await;
    for _ in 0..3 {
        fleet.clean(0, true).await;
        fleet.clean(0, false).await;
        fleet.settle().await;
    }
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    fleet.check().await;
    let past = fleet.past(fleet.then[0].0, u64::MAX).await;
    assert_eq!(past.notes, []);
    assert_eq!(fleet.bases().await.len(), 1);
}

#[tokio::test]
async fn what_was_written_before_a_server_began_anew_is_seen_though_nothing_was_put_away_before() {
    let mut fleet = Fleet::begin().await;
    for value in ["1", "2", "3"] {
        fleet.servers[0].write("key", value);
        fleet.settle().await;
    }
    fleet.servers[0].restart();
    fleet.servers[0].receive().await;
    fleet.servers[0].send().await;
    fleet.settle().await;
    fleet.check().await;
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    fleet.check().await;
}

#[tokio::test]
async fn what_a_server_brings_along_from_long_before_is_seen_when_it_has_come() {
    let mut fleet = Fleet::begin().await;
    fleet.pass(3 * DAY);
    let c = Server::new("c", &fleet.store);
    c.set_clock(fleet.now() - 20 * DAY);
    c.write("old", "1");
    c.set_clock(fleet.now());
    c.receive().await;
    c.send().await;
    fleet.servers[0].receive().await;
    fleet.settle().await;
    assert_eq!(fleet.then.last().unwrap().1.get("old").unwrap(), "1");
    let mut cleaner = Cleaner::with_history(History::new(KEEP));
    for _ in 0..2 {
        c.replica.send(true).await.unwrap();
        let clean = cleaner.clean_own_deltas(&c.replica, Duration::ZERO, Instant::now());
        clean.await.unwrap();
    }
    fleet.pass(2 * DAY);
    fleet.settle().await;
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    fleet.check().await;
}

#[tokio::test]
async fn a_gap_is_told_to_whoever_asks_for_a_time_within_it() {
    let fleet = began_anew().await;
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    let within = fleet.then[0].0 + HOUR;
    let past = fleet.past(within, within).await;
    let is_told = past.notes.iter().any(
        |note| matches!(note, Note::Missing { instance, span } if instance == "a" && span.since < within),
    );
    assert!(is_told, "{:?}", past.notes);
}

#[tokio::test]
async fn where_that_snapshot_is_gone_a_gap_is_told_and_closed_by_a_base_snapshot() {
    let mut fleet = began_anew().await;
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    let bases = fleet.bases().await;
    assert_eq!(bases.len(), 2, "{bases:?}");
    fleet.pass(SECOND);
    fleet.settle().await;
    let (time, content) = fleet.then.last().unwrap();
    assert_eq!(content.get("key").unwrap(), "2");
    assert_eq!(fleet.at(*time).await, *content);
    let first = fleet.then[0].0;
    let past = fleet.past(first, *time).await;
    let missing = past
        .notes
        .iter()
        .filter(|note| matches!(note, Note::Missing { instance, .. } if instance == "a"));
    assert_eq!(missing.count(), 1, "{:?}", past.notes);
}
