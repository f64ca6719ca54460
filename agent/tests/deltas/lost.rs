//! What only a peer knows of a server that is lost, or of one that begins anew.

use std::sync::atomic::Ordering;

use crate::peers::pair;
use crate::server::{SECOND, Server, Watched};

const PLACE: &str = "memory";

/// Server b knows a change of a that nobody stored, and c goes on by deltas. `joins`: b knows all that came before it, too.
async fn bereaved(store: &std::sync::Arc<Watched>, joins: bool) -> (Server, Server) {
    let (a, b, line) = pair(store).await;
    let c = Server::new("c", store);
    c.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    if !joins {
        a.write("never heard", "1");
        a.replica.tell().await.unwrap();
        line.take();
    }
    a.write("precious", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert_eq!(b.replica.take(told).await.unwrap(), joins);
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    (b, c)
}

#[tokio::test]
async fn a_change_that_does_not_join_on_survives_the_loss_of_its_server_too() {
    let store = Watched::new();
    let (mut b, c) = Box::pin(bereaved(&store, false)).await;
    // The agent may be started anew meanwhile.
    b.receive().await;
    b.replica.remember(PLACE);
    b.restart();
    b.replica.resume(PLACE);
    b.receive().await;
    b.pass(61 * SECOND);
    b.receive().await;
    b.send().await;
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
}

#[tokio::test]
async fn a_restart_before_the_snapshot_for_a_lost_server_does_not_forget_it() {
    let store = Watched::new();
    let (mut b, c) = Box::pin(bereaved(&store, true)).await;
    b.receive().await;
    b.replica.remember(PLACE);
    b.pass(61 * SECOND);
    b.receive().await;
    b.replica.remember(PLACE);
    b.restart();
    b.replica.resume(PLACE);
    b.receive().await;
    b.pass(61 * SECOND);
    b.receive().await;
    b.send().await;
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
}

#[tokio::test]
async fn a_snapshot_under_way_is_not_the_one_that_a_reason_seen_meanwhile_calls_for() {
    let store = Watched::new();
    let (b, c) = Box::pin(bereaved(&store, true)).await;
    b.receive().await;
    b.pass(61 * SECOND);
    store.holds.store(true, Ordering::Relaxed);
    let mut sending = std::pin::pin!(b.replica.send(true));
    tokio::select! {
        biased;
        _ = &mut sending => panic!("the upload does not wait"),
        () = store.arrived.notified() => {}
    }
    b.receive().await;
    store.released.notify_one();
    sending.await.unwrap();
    b.send().await;
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
}

#[tokio::test]
async fn a_server_that_begins_anew_with_a_clock_behind_what_it_once_told_is_heard_after_a_minute() {
    let store = Watched::new();
    let (mut a, b, line) = pair(&store).await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.pass(100 * SECOND);
    a.write("told", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    a.wipe();
    a.pass(0_u64.wrapping_sub(50 * SECOND));
    a.write("fresh", "1");
    a.receive().await;
    a.send().await;
    b.receive().await;
    b.pass(61 * SECOND);
    b.receive().await;
    assert_eq!(b.content()["fresh"], "1");
    b.send().await;
    a.receive().await;
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn what_a_server_told_before_it_lost_its_database_is_stored_by_others_though_it_stores_newer_states() {
    let store = Watched::new();
    let (mut a, b, line) = pair(&store).await;
    let c = Server::new("c", &store);
    c.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.write("precious", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    // It is back before the minute is over.
    a.wipe();
    a.pass(10 * SECOND);
    a.receive().await;
    a.write("fresh", "1");
    a.send().await;
    b.receive().await;
    b.pass(61 * SECOND);
    b.receive().await;
    b.send().await;
    for server in [&a, &c] {
        server.receive().await;
        assert_eq!(server.content(), b.content());
    }
    assert_eq!(c.content()["precious"], "1");
}
