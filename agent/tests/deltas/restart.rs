//! Restarts, with and without what was known before.

use zonetide_agent::store::Store as _;

use crate::server::{SECOND, Server, Watched};
use crate::support::spooled;

const PLACE: &str = "memory";

#[tokio::test]
async fn a_restart_goes_on_with_deltas_and_fetches_nothing_that_it_has() {
    let store = Watched::new();
    let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.receive().await;
    a.replica.remember(PLACE);
    // Written while no agent was there.
    a.write("while away", "1");
    b.write("theirs", "2");
    b.send().await;
    a.restart();
    a.replica.resume(PLACE);
    store.fetched();
    let snapshots = store.snapshots().await.len();
    a.receive().await;
    assert!(a.replica.is_ready());
    assert_eq!(store.fetched().len(), 1, "only the delta of b");
    a.send().await;
    assert_eq!(store.snapshots().await.len(), snapshots);
    b.receive().await;
    assert_eq!(b.content(), a.content());
    assert_eq!(b.content()["while away"], "1");
}

#[tokio::test]
async fn what_is_known_is_written_down_while_powerdns_keeps_a_merge_waiting() {
    let store = Watched::new();
    let mut a = Server::new("a", &store);
    a.begin().await;
    let waits = a.env.begin_write().unwrap();
    a.replica.remember(PLACE);
    drop(waits);
    a.restart();
    a.replica.resume(PLACE);
    store.fetched();
    a.receive().await;
    assert!(store.fetched().is_empty());
}

#[tokio::test]
async fn without_its_memory_an_agent_begins_anew_and_loses_nothing() {
    let store = Watched::new();
    let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.receive().await;
    a.write("key", "1");
    a.send().await;
    a.write("while away", "2");
    a.restart();
    a.replica.resume(PLACE);
    a.receive().await;
    a.send().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    a.write("key", "3");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["key"], "3");
}

#[tokio::test]
async fn a_memory_of_another_store_or_of_another_past_is_not_believed() {
    let store = Watched::new();
    let mut a = Server::new("a", &store);
    a.begin().await;
    a.write("key", "1");
    a.send().await;
    a.replica.remember(PLACE);
    // Another store.
    a.restart();
    a.replica.resume("elsewhere");
    a.receive().await;
    a.send().await;
    assert_eq!(store.snapshots().await.len(), 2);
    a.replica.remember(PLACE);
    // The store of the same name is as it was before the last delta.
    let last = store.snapshots().await.pop().unwrap();
    store.delete(&last.name).await.unwrap();
    let last = store.deltas().await.pop().unwrap();
    store.delete(&last.name).await.unwrap();
    a.restart();
    a.replica.resume(PLACE);
    a.receive().await;
    a.send().await;
    assert_eq!(store.snapshots().await.len(), 2);
    let b = Server::new("b", &store);
    b.receive().await;
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn a_wiped_server_gets_its_own_changes_back_from_snapshot_and_deltas_before_it_stores_anything() {
    let store = Watched::new();
    let mut a = Server::new("a", &store);
    a.begin().await;
    a.write("key", "1");
    a.send().await;
    let before = a.content();
    a.wipe();
    a.write("fresh", "2");
    assert!(!a.replica.send(false).await.unwrap());
    a.receive().await;
    a.send().await;
    assert_eq!(a.content().len(), before.len() + 1);
    assert_eq!(a.content()["key"], "1");
}

#[tokio::test]
async fn an_empty_database_has_nothing_to_store_though_a_late_upload_calls_for_a_snapshot() {
    let store = Watched::new();
    let mut a = Server::new("a", &store);
    a.begin().await;
    let late = store.deltas().await.pop().unwrap().name;
    for listed in store.snapshots().await.into_iter().chain(store.deltas().await) {
        store.delete(&listed.name).await.unwrap();
    }
    a.wipe();
    a.receive().await;
    // It was under way when the database was lost.
    store.put(&late, spooled(b"torn")).await.unwrap();
    a.receive().await;
    a.pass(400 * SECOND);
    a.send().await;
    assert!(!a.replica.has_changes());
}
