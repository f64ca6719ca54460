//! Beside Lightning Stream, which neither reads nor writes deltas.

use zonetide_agent::snapshot::{GENERATION, Meta, Snapshot, SnapshotName};
use zonetide_agent::store::{Store as _, spool};
use zonetide_agent::sync::{dump, merge};

use crate::server::{SECOND, Server, Watched};

/// Stores a server's database as Lightning Stream would.
async fn store_as_lightning_stream(server: &Server) {
    server.pass(SECOND);
    let name = SnapshotName::new("main", &server.name, server.now()).unwrap();
    let meta = Meta {
        generation: GENERATION.into(),
        instance: server.name.clone(),
        timestamp: server.now(),
        database: "main".into(),
        ..Meta::default()
    };
    let object = dump(&server.env, &meta).unwrap().object;
    server.store.put(name.as_str(), object).await.unwrap();
}

#[tokio::test]
async fn as_long_as_it_lives_every_change_is_in_a_snapshot_and_deltas_serve_the_others() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    let theirs = Server::new("theirs", &store);
    a.begin().await;
    b.receive().await;
    a.write("before", "1");
    a.send().await;
    assert_eq!(store.snapshots().await.len(), 1);
    // It appears: it must not wait for what is only in deltas.
    theirs.write("hello", "1");
    store_as_lightning_stream(&theirs).await;
    a.receive().await;
    a.send().await;
    assert_eq!(store.snapshots().await.len(), 3);
    a.write("after", "1");
    a.send().await;
    let snapshots = store.snapshots().await;
    assert_eq!(snapshots.len(), 4);
    b.receive().await;
    assert_eq!(b.content(), a.content());
    store.fetched();
    a.write("after", "2");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["after"], "2");
    let fetched = store.fetched();
    assert!(fetched.len() == 1 && fetched[0].contains("delta"), "{fetched:?}");
    // What it does not touch for so long that it must be gone is no reason any more.
    for server in [&a, &b] {
        server.pass(9 * 3_600 * SECOND);
    }
    let snapshots = store.snapshots().await.len();
    a.write("after", "3");
    a.send().await;
    assert_eq!(store.snapshots().await.len(), snapshots);
}

#[tokio::test]
async fn its_changes_arrive_as_ever() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    let theirs = Server::new("theirs", &store);
    a.begin().await;
    for n in 0..3 {
        theirs.write("key", &n.to_string());
        store_as_lightning_stream(&theirs).await;
        a.receive().await;
        assert_eq!(a.content()["key"], n.to_string());
    }
}

#[tokio::test]
async fn what_is_written_over_its_changes_is_later_in_its_eyes_too_though_the_clock_here_is_behind() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    let theirs = Server::new("theirs", &store);
    a.begin().await;
    theirs.set_clock(a.now() + 3_600 * SECOND);
    theirs.write("key", "theirs");
    store_as_lightning_stream(&theirs).await;
    a.receive().await;
    a.write("key", "of a");
    // Its snapshot comes once more before ours is stored.
    store_as_lightning_stream(&theirs).await;
    a.receive().await;
    a.send().await;
    assert_eq!(a.content()["key"], "of a");
    let mut ours = store
        .snapshots()
        .await
        .into_iter()
        .filter(|listed| listed.name.contains("__a__"));
    let object = store
        .get(&ours.next_back().unwrap().name, spool(&std::env::temp_dir()))
        .await;
    let mut snapshot = Snapshot::open(object.unwrap().unwrap()).unwrap();
    merge(&theirs.env, &mut snapshot, 0).unwrap();
    assert_eq!(theirs.content()["key"], "of a");
}
