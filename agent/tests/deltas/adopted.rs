//! What a server told and did not store: one of the others stores it, and nobody a snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use zonetide_agent::snapshot::{DeltaName, Snapshot};
use zonetide_agent::store::{Store as _, spool};

use crate::peers::{Line, pair};
use crate::server::{SECOND, Server, Watched};
use crate::vectors::{snapshots_in, store_a_snapshot};

#[tokio::test]
async fn what_a_lost_server_told_is_stored_with_one_delta_by_one_of_those_who_heard_it() {
    let store = Watched::new();
    let (a, mut b, line) = pair(&store).await;
    let mut d = Server::new("d", &store);
    d.begin().await;
    let c = Server::new("c", &store);
    b.receive().await;
    c.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    for value in ["1", "2"] {
        a.write("precious", value);
        a.replica.tell().await.unwrap();
    }
    let told = line.take();
    // They know each other, and neither hears the lost one any more.
    for (server, other) in [(&mut b, "d"), (&mut d, "b")] {
        let line = Arc::new(Line::default());
        line.contacts.lock().unwrap().insert(other.to_owned(), 0);
        server.replica.set_peers(line);
    }
    for told in told {
        b.replica.take(told.clone()).await.unwrap();
        d.replica.take(told).await.unwrap();
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    let (snapshots, deltas) = (store.snapshots().await.len(), store.deltas().await.len());
    for server in [&b, &d] {
        server.receive().await;
        server.pass(61 * SECOND);
    }
    for server in [&d, &b] {
        server.receive().await;
        server.send().await;
    }
    c.receive().await;
    assert_eq!(c.content()["precious"], "2");
    for _ in 0..3 {
        for server in [&b, &d] {
            server.pass(61 * SECOND);
            server.receive().await;
            server.send().await;
        }
    }
    assert_eq!(store.snapshots().await.len(), snapshots);
    assert_eq!(store.deltas().await.len(), deltas + 1);
    let fetched = store.fetched();
    assert!(
        !fetched.iter().any(|name| name.starts_with("main__a__")),
        "{fetched:?}"
    );
}

#[tokio::test]
async fn who_cannot_store_for_an_hour_costs_the_others_a_delta_a_minute_and_no_snapshot() {
    let store = Watched::new();
    let (mut a, mut b, _) = pair(&store).await;
    let of_a = Arc::new(Line::default());
    a.replica.set_peers(of_a.clone());
    let of_b = Arc::new(Line::default());
    b.replica.set_peers(of_b.clone());
    let c = Server::new("c", &store);
    c.receive().await;
    store.fetched();
    let (snapshots, deltas) = (store.snapshots().await.len(), store.deltas().await.len());
    for minute in 0..60 {
        for second in 0..3 {
            a.write(&format!("{minute}:{second}"), "1");
            store.refuses_writes.store(true, Ordering::Relaxed);
            assert!(a.replica.send(false).await.is_err());
            store.refuses_writes.store(false, Ordering::Relaxed);
            for told in of_a.take() {
                let time = DeltaName::parse("main", &told.name).unwrap().time();
                assert!(b.replica.take(told).await.unwrap(), "it goes on as it is");
                of_b.contacts.lock().unwrap().insert("a".to_owned(), time);
            }
        }
        b.pass(60 * SECOND);
        b.receive().await;
        b.send().await;
        c.receive().await;
    }
    b.pass(61 * SECOND);
    b.receive().await;
    b.send().await;
    c.receive().await;
    assert_eq!(c.content().len(), 1 + 180);
    assert_eq!(store.snapshots().await.len(), snapshots);
    let adopted = store.deltas().await.len() - deltas;
    assert!((15..=61).contains(&adopted), "{adopted}");
    // It can store again, and nobody has to read its snapshot.
    store.fetched();
    a.write("again", "1");
    a.send().await;
    c.receive().await;
    assert_eq!(c.content()["again"], "1");
    assert!(snapshots_in(&store.fetched()).is_empty());
}

#[tokio::test]
async fn a_state_that_was_told_alone_is_stored_with_a_delta_though_a_snapshot_has_it() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    let c = Server::new("c", &store);
    c.begin().await;
    c.receive().await;
    b.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.write("precious", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    store_a_snapshot(&b).await;
    // It goes on by the deltas of b, and does not read that.
    c.receive().await;
    assert!(!c.content().contains_key("precious"));
    for _ in 0..2 {
        b.pass(61 * SECOND);
        b.receive().await;
        b.send().await;
    }
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
}

#[tokio::test]
async fn who_hears_a_later_change_before_it_has_read_what_was_adopted_reads_that_all_the_same() {
    let store = Watched::new();
    let (mut z, mut a) = (Server::new("z", &store), Server::new("a", &store));
    let (line, of_a) = (Arc::new(Line::default()), Arc::new(Line::default()));
    z.replica.set_peers(line.clone());
    a.replica.set_peers(of_a.clone());
    z.begin().await;
    a.begin().await;
    z.receive().await;
    a.write("own", "1");
    a.send().await;
    line.take();
    of_a.take();
    let p = Server::new("p", &store);
    p.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    z.write("precious", "1");
    z.replica.tell().await.unwrap();
    for told in line.take() {
        a.replica.take(told).await.unwrap();
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        a.pass(61 * SECOND);
        a.receive().await;
        a.send().await;
    }
    a.write("own", "2");
    a.replica.tell().await.unwrap();
    let told = of_a.take();
    assert_eq!(told.len(), 1);
    for told in told {
        assert!(!p.replica.take(told).await.unwrap(), "there is more in the store");
    }
    p.receive().await;
    assert_eq!(p.content()["precious"], "1");
    assert_eq!(p.content()["own"], "2");
}

#[tokio::test]
async fn what_was_told_once_more_after_a_restart_without_memory_is_adopted_with_all_that_it_changed() {
    let store = Watched::new();
    let (a, mut b, line) = pair(&store).await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.write("precious", "1");
    a.replica.tell().await.unwrap();
    let told = line.take();
    for told in told.clone() {
        b.replica.take(told).await.unwrap();
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    let c = Server::new("c", &store);
    c.receive().await;
    b.restart();
    b.receive().await;
    b.send().await;
    c.receive().await;
    // Its snapshot after the restart has it, and c may go on by deltas.
    for told in told {
        b.replica.take(told).await.unwrap();
    }
    for _ in 0..2 {
        b.pass(61 * SECOND);
        b.receive().await;
        b.send().await;
    }
    let mut deltas = store.deltas().await.into_iter().map(|listed| listed.name);
    let last = deltas.rfind(|name| name.contains("__b__")).unwrap();
    let object = spool(&std::env::temp_dir());
    let object = store.get(&last, object).await.unwrap().unwrap();
    let delta = Snapshot::open(object).unwrap();
    assert_eq!(delta.outline().meta.adopted["a"].len(), 1, "{last}");
    assert_eq!(delta.outline().dbis.len(), 1);
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
}
