//! An instance's objects go: one of the others stores a snapshot that vouches for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zonetide_agent::snapshot::SnapshotName;
use zonetide_agent::store::{Store as _, spool};
use zonetide_agent::sync::{Cleaner, Retention};

use crate::peers::Line;
use crate::server::{SECOND, Server, Watched};
use crate::vectors::{fleet, snapshots_in, store_a_snapshot};

async fn clean(cleaner: &mut Cleaner, server: &Server) -> usize {
    let retention = Retention {
        must_keep: Duration::from_secs(600),
        remove_old_instances: Duration::from_secs(168 * 3600),
    };
    cleaner
        .clean(&server.replica, retention, Instant::now(), server.now())
        .await
        .unwrap()
}

#[tokio::test]
async fn when_a_server_retires_one_other_stores_a_snapshot_and_nobody_reads_it_who_has_all_of_it() {
    let store = Watched::new();
    let servers = fleet("abcdz", &store).await;
    let [a, b, c, late, gone] = &servers[..] else {
        panic!()
    };
    gone.write("the last word", "1");
    gone.send().await;
    for server in [a, b, c] {
        server.receive().await;
        server.send().await;
    }
    for server in &servers {
        server.pass(60 * SECOND);
    }
    let before = store.snapshots().await.len();
    let mut cleaner = Cleaner::default();
    cleaner.retire(["z".to_owned()].into());
    assert_eq!(clean(&mut cleaner, a).await, 0);
    a.send().await;
    assert_eq!(store.snapshots().await.len(), before + 1);
    assert!(clean(&mut cleaner, a).await >= 2);
    store.fetched();
    for server in [b, c] {
        server.receive().await;
        server.send().await;
        let fetched = store.fetched();
        assert!(snapshots_in(&fetched).is_empty(), "{fetched:?}");
    }
    // Who missed the last word has to.
    late.receive().await;
    late.send().await;
    assert_eq!(late.content()["the last word"], "1");
    assert_eq!(
        store.snapshots().await.len(),
        before,
        "but for the one that is gone"
    );
    let new = Server::new("new", &store);
    new.receive().await;
    assert_eq!(new.content(), a.content());
}

#[tokio::test]
async fn when_the_objects_of_one_are_gone_the_first_of_the_others_vouches_for_it_and_those_who_follow_read_that()
 {
    let store = Watched::new();
    let servers = fleet("abcz", &store).await;
    let [a, b, c, z] = &servers[..] else { panic!() };
    z.write("the last word", "1");
    z.send().await;
    for server in [a, b] {
        server.receive().await;
        server.send().await;
    }
    // Somebody has removed them; c never heard the last word.
    for listed in [store.snapshots().await, store.deltas().await].concat() {
        if listed.name.contains("__z__") {
            store.delete(&listed.name).await.unwrap();
        }
    }
    let before = store.snapshots().await.len();
    a.receive().await;
    a.send().await;
    assert_eq!(store.snapshots().await.len(), before + 1);
    store.fetched();
    b.receive().await;
    b.send().await;
    assert!(snapshots_in(&store.fetched()).is_empty());
    c.receive().await;
    c.send().await;
    assert_eq!(c.content()["the last word"], "1");
    assert_eq!(store.snapshots().await.len(), before + 1);
    for server in [a, b, c] {
        server.receive().await;
        assert!(!server.replica.has_changes());
    }
}

#[tokio::test]
async fn a_snapshot_whose_start_cannot_be_read_keeps_nobody_from_the_others() {
    let store = Watched::new();
    let servers = fleet("abyz", &store).await;
    let [a, b, _y, z] = &servers[..] else { panic!() };
    z.write("the last word", "1");
    z.send().await;
    a.receive().await;
    let empty = SnapshotName::new("main", "y", a.now() + 30 * SECOND).unwrap();
    let nothing = spool(&std::env::temp_dir());
    store.put(empty.as_str(), nothing).await.unwrap();
    for listed in [store.snapshots().await, store.deltas().await].concat() {
        if listed.name.contains("__z__") {
            store.delete(&listed.name).await.unwrap();
        }
    }
    b.write("new", "1");
    b.send().await;
    a.receive().await;
    a.send().await;
    assert_eq!(a.content()["new"], "1");
    b.receive().await;
    assert_eq!(b.content()["the last word"], "1");
}

#[tokio::test]
async fn later_snapshots_vouch_for_what_an_earlier_one_did_and_a_retired_instance_goes() {
    let store = Watched::new();
    let servers = fleet("abz", &store).await;
    let [a, b, _] = &servers[..] else { panic!() };
    for server in &servers {
        server.pass(60 * SECOND);
    }
    let mut cleaner = Cleaner::default();
    cleaner.retire(["z".to_owned()].into());
    assert_eq!(clean(&mut cleaner, a).await, 0);
    a.send().await;
    // Another one follows before the cleaner looks again.
    a.write("more", "1");
    store_a_snapshot(a).await;
    let before = store.snapshots().await.len();
    assert!(clean(&mut cleaner, a).await >= 2);
    assert!(!a.replica.has_changes());
    // Nor does one who looks late have to vouch.
    b.receive().await;
    b.send().await;
    assert_eq!(store.snapshots().await.len(), before - 1);
}

#[tokio::test]
async fn a_server_that_vouches_for_another_at_its_start_tells_of_nothing_that_hides_it() {
    let store = Watched::new();
    let (mut a, z) = (Server::new("a", &store), Server::new("z", &store));
    let line = Arc::new(Line::default());
    a.replica.set_peers(line.clone());
    a.begin().await;
    let p = Server::new("p", &store);
    p.begin().await;
    z.begin().await;
    z.write("the last word", "1");
    z.send().await;
    a.receive().await;
    a.replica.remember("memory");
    a.restart();
    a.replica.set_peers(line.clone());
    a.replica.resume("memory");
    a.receive().await;
    a.pass(60 * SECOND);
    let mut cleaner = Cleaner::default();
    cleaner.retire(["z".to_owned()].into());
    assert_eq!(clean(&mut cleaner, &a).await, 0);
    store.holds.store(true, Ordering::Relaxed);
    let mut sending = std::pin::pin!(a.replica.send(false));
    tokio::select! {
        biased;
        _ = &mut sending => panic!("the upload does not wait"),
        () = store.arrived.notified() => {}
    }
    line.take();
    a.write("meanwhile", "1");
    a.replica.tell().await.unwrap();
    let told = line.take();
    assert_eq!(told.len(), 1);
    for told in told {
        assert!(!p.replica.take(told).await.unwrap());
    }
    store.released.notify_one();
    sending.await.unwrap();
    assert!(clean(&mut cleaner, &a).await >= 2);
    p.receive().await;
    assert_eq!(p.content()["the last word"], "1");
}
