//! Deltas that are lost, torn or cannot be stored.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zonetide_agent::store::Store as _;
use zonetide_agent::sync::{Cleaner, Limits, Received};

use crate::peers::Line;
use crate::server::{SECOND, Server, Watched};
use crate::support::spooled;

const MUST_KEEP: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_lost_delta_is_a_gap_until_the_next_snapshot_heals_it() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.receive().await;
    a.write("lost", "1");
    a.send().await;
    let lost = store.deltas().await.pop().unwrap();
    store.delete(&lost.name).await.unwrap();
    a.write("later", "2");
    a.send().await;
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::Gap);
    b.receive().await;
    assert!(!b.content().contains_key("later"));
    assert!(a.replica.send(true).await.unwrap());
    b.receive().await;
    assert_eq!(b.content(), a.content());
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::All);
}

#[tokio::test]
async fn a_torn_delta_changes_nothing_and_the_next_snapshot_heals_it() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.receive().await;
    a.write("torn", "1");
    a.send().await;
    let torn = store.deltas().await.pop().unwrap();
    let mut whole = Vec::new();
    let mut object = store.get(&torn.name, spooled(b"")).await.unwrap().unwrap();
    std::io::Read::read_to_end(&mut object, &mut whole).unwrap();
    let mut half = spooled(b"");
    half.write_all(&whole[..whole.len() - 5]).unwrap();
    store.put(&torn.name, half).await.unwrap();
    b.receive().await;
    a.write("later", "2");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content().len(), 1);
    assert!(a.replica.send(true).await.unwrap());
    b.receive().await;
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn a_torn_delta_that_is_stored_anew_under_its_name_is_read_again() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.receive().await;
    a.write("torn", "1");
    a.send().await;
    let name = store.deltas().await.pop().unwrap().name;
    let mut whole = Vec::new();
    let mut object = store.get(&name, spooled(b"")).await.unwrap().unwrap();
    std::io::Read::read_to_end(&mut object, &mut whole).unwrap();
    store
        .put(&name, spooled(&whole[..whole.len() / 2]))
        .await
        .unwrap();
    b.receive().await;
    assert!(!b.content().contains_key("torn"));
    store.put(&name, spooled(&whole)).await.unwrap();
    b.receive().await;
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn a_gap_that_whole_looks_do_not_close_does_not_call_for_them_for_ever() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    let snapshot = store.snapshots().await.pop().unwrap();
    store.delete(&snapshot.name).await.unwrap();
    b.receive().await;
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::Gap);
    b.pass(121 * SECOND);
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::All);
    // It is healed all the same, and a new one is told of at once.
    a.receive().await;
    a.send().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    let c = Server::new("c", &store);
    c.begin().await;
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::Gap);
}

#[tokio::test]
async fn a_torn_own_snapshot_is_no_reason_to_remove_deltas() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    a.begin().await;
    a.write("key", "1");
    a.send().await;
    store.tears.store(true, Ordering::Relaxed);
    assert!(a.replica.send(true).await.is_err());
    let (mut cleaner, start) = (Cleaner::default(), Instant::now());
    for at in [start, start + MUST_KEEP] {
        cleaner.clean_own_deltas(&a.replica, MUST_KEEP, at).await.unwrap();
    }
    let c = Server::new("c", &store);
    c.receive().await;
    assert_eq!(c.content(), a.content());
}

#[tokio::test]
async fn while_nothing_can_be_stored_the_file_does_not_grow_and_afterwards_all_arrives() {
    let store = Watched::new();
    let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
    // The file has room for a thousand transactions or so under one reader.
    a.replica.set_limits(Limits {
        kept: 300,
        ..Limits::default()
    });
    a.begin().await;
    b.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    let mut sizes = Vec::new();
    for n in 0..3_000 {
        a.write(&format!("key{}", n % 50), &n.to_string());
        if n % 250 == 0 {
            assert!(a.replica.send(false).await.is_err());
            sizes.push(std::fs::metadata(a.env.path()).unwrap().len());
        }
    }
    let (middle, end) = (sizes[sizes.len() / 2], *sizes.last().unwrap());
    assert_eq!(end, middle, "the file grows: {sizes:?}");
    store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    assert_eq!(store.snapshots().await.len(), 1);
}

#[tokio::test]
async fn nor_does_it_grow_beside_an_agent_that_only_receives() {
    let store = Watched::new();
    let mut a = Server::new("a", &store);
    a.replica.set_limits(Limits {
        kept: 300,
        ..Limits::default()
    });
    // As it begins, and each time that the database has changed; it never stores.
    a.replica.look_at_the_clock().await;
    a.receive().await;
    // Under one reader the file has room for a thousand or so.
    for n in 0..3_000 {
        a.write(&format!("key{}", n % 50), &n.to_string());
        a.replica.tell().await.unwrap();
    }
}

#[tokio::test]
async fn nor_does_it_grow_while_a_change_is_told_and_not_stored_and_only_others_go_on_writing() {
    let store = Watched::new();
    let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.replica.set_limits(Limits {
        kept: 50,
        ..Limits::default()
    });
    a.replica.set_peers(Arc::new(Line::default()));
    a.begin().await;
    b.begin().await;
    a.receive().await;
    a.write("own", "1");
    a.replica.tell().await.unwrap();
    store.refuses_writes.store(true, Ordering::Relaxed);
    assert!(a.replica.send(false).await.is_err());
    let mut used = Vec::new();
    for n in 0..400 {
        store.refuses_writes.store(false, Ordering::Relaxed);
        b.write(&format!("key{}", n % 50), &n.to_string());
        b.send().await;
        store.refuses_writes.store(true, Ordering::Relaxed);
        a.receive().await;
        a.replica.tell().await.unwrap();
        used.push(a.env.usage().unwrap().used);
    }
    assert!(
        used[399] < used[199] * 5 / 4,
        "{} bytes after 200 changes, {} after 400",
        used[199],
        used[399]
    );
    store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    b.receive().await;
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn an_emptied_store_fills_again_with_a_snapshot_and_deltas_go_on() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.receive().await;
    a.write("key", "1");
    a.send().await;
    for listed in store.snapshots().await.into_iter().chain(store.deltas().await) {
        store.delete(&listed.name).await.unwrap();
    }
    b.receive().await;
    b.send().await;
    assert!(b.content().len() == 1 && !a.content().is_empty());
    a.receive().await;
    a.send().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    a.write("key", "2");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["key"], "2");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_change_look_older() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.pass(7_200 * SECOND);
    a.begin().await;
    b.receive().await;
    a.pass(0_u64.wrapping_sub(3_600 * SECOND));
    a.write("key", "1");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["key"], "1");
}

#[tokio::test]
async fn a_store_that_lost_everything_lacks_something_until_it_has_a_snapshot_again() {
    let store = Watched::new();
    let mut a = Server::new("a", &store);
    let unsynced = a.show_unsynced();
    a.begin().await;
    assert_eq!(unsynced(), 0);
    for listed in [store.snapshots().await, store.deltas().await].concat() {
        store.delete(&listed.name).await.unwrap();
    }
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.receive().await;
    a.replica.send(false).await.unwrap_err();
    assert_eq!(unsynced(), 1, "all of the database is missing in the store");
    store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    assert_eq!(unsynced(), 0);
}
