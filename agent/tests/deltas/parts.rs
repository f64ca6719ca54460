//! A long merge goes in parts, and so does a sweep: what is written here meanwhile is told between two of them.

use std::time::Duration;

use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::{Sweep, TakenOver};

use crate::peers::pair;
use crate::server::{DBI, SECOND, Server, Watched};

/// More than a few transactions of a merge.
const MANY: usize = 25_000;

fn write_many(server: &Server) {
    server.write_all((0..MANY).map(|number| (format!("theirs{number:05}"), b"1".to_vec())));
}

fn has(server: &Server, key: &str) -> bool {
    let found = server.env.read::<_, LmdbError>(|reader| {
        let dbi = reader.dbi(DBI)?.unwrap();
        Ok(reader.get(&dbi, key.as_bytes())?.is_some())
    });
    found.unwrap()
}

/// The state of b that a says it has, once it has told what was written to it while it merged.
async fn known_once_told(a: &Server) -> u64 {
    while !has(a, "meanwhile") {
        tokio::task::yield_now().await;
    }
    a.replica.tell().await.unwrap();
    let word = a.replica.word().await.unwrap();
    word.have.get("b").copied().unwrap_or(0)
}

#[tokio::test]
async fn a_long_delta_and_a_whole_database_hold_up_no_telling_and_count_once_they_are_merged() {
    for is_whole in [false, true] {
        let store = Watched::new();
        let (mut a, b, line) = pair(&store).await;
        write_many(&b);
        let before = a.replica.word().await.unwrap().have["b"];
        a.write_after_the_next_merge("meanwhile", "1");
        let merging = async {
            if is_whole {
                let (word, dump) = b.replica.hand_over().await.unwrap();
                let taken = a.replica.take_over("b", &word, dump.object).await.unwrap();
                assert_eq!(taken, TakenOver::Merged(MANY as u64));
            } else {
                b.send().await;
                a.receive().await;
            }
        };
        let ((), known) = tokio::join!(merging, known_once_told(&a));
        assert_eq!(known, before, "telling waited until all was merged");
        let mut told = line.take();
        assert_eq!(told.len(), 1);
        assert!(told[0].object.len() < 300, "it has what was merged in it");
        // Nothing else is to be told.
        a.replica.tell().await.unwrap();
        assert!(line.take().is_empty());
        b.replica.take(told.remove(0)).await.unwrap();
        assert_eq!(a.content(), b.content());
    }
}

#[tokio::test]
async fn a_snapshot_holds_up_no_telling_and_counts_once_it_is_merged() {
    let store = Watched::new();
    let (mut a, _, line) = pair(&store).await;
    let c = Server::new("c", &store);
    write_many(&c);
    c.begin().await;
    a.write_after_the_next_merge("meanwhile", "1");
    let telling = async {
        known_once_told(&a).await;
        a.replica.word().await.unwrap().have.contains_key("c")
    };
    let ((), has_all) = tokio::join!(a.receive(), telling);
    assert!(!has_all, "telling waited until all was merged");
    assert!(a.replica.word().await.unwrap().have.contains_key("c"));
    let told = line.take();
    assert_eq!(told.len(), 1);
    assert!(told[0].object.len() < 300, "it has what was merged in it");
    a.replica.tell().await.unwrap();
    assert!(line.take().is_empty());
    a.send().await;
    c.receive().await;
    assert_eq!(a.content(), c.content());
}

/// Where an agent says that its objects are.
const PLACE: &str = "the store";

#[tokio::test]
async fn a_database_does_not_count_as_merged_if_all_was_forgotten_meanwhile() {
    let store = Watched::new();
    let (mut a, b, line) = pair(&store).await;
    write_many(&b);
    let (word, dump) = b.replica.hand_over().await.unwrap();
    a.replica.remember(PLACE);
    a.restart();
    a.replica.set_peers(line);
    a.replica.resume(PLACE);
    a.write_after_the_next_merge("meanwhile", "1");
    // The store is another one: what a knows of it is void.
    for listed in [store.snapshots().await, store.deltas().await].concat() {
        if listed.name.contains("__a__") {
            store.delete(&listed.name).await.unwrap();
        }
    }
    let looking = async {
        while !has(&a, "meanwhile") {
            tokio::task::yield_now().await;
        }
        a.replica.receive().await.unwrap();
    };
    let (taken, ()) = tokio::join!(a.replica.take_over("b", &word, dump.object), looking);
    assert_eq!(taken.unwrap(), TakenOver::Again);
    b.send().await;
    a.receive().await;
    a.send().await;
    b.receive().await;
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn a_sweep_under_way_holds_up_no_telling() {
    let store = Watched::new();
    let (mut a, b, line) = pair(&store).await;
    for key in ["one", "two"] {
        a.write(key, "1");
        a.delete(key);
    }
    a.send().await;
    // No snapshot needs the marks any more.
    for server in [&a, &b] {
        server.pass(3 * 86_400 * SECOND);
        server.receive().await;
        server.replica.send(true).await.unwrap();
    }
    a.receive().await;
    line.take();
    // One mark in each transaction, and no end of the pause after the first.
    let sweep = Sweep {
        retention: Duration::from_secs(60),
        load_cutoff: Duration::from_secs(50),
        lock: Duration::ZERO,
        release: Duration::from_secs(3600),
    };
    a.replica.set_sweep(sweep);
    let before = a.env.last_txn_id();
    let sweeping = a.replica.sweep();
    let telling = async {
        while a.env.last_txn_id() == before {
            tokio::task::yield_now().await;
        }
        a.write("meanwhile", "1");
        a.replica.tell().await.unwrap();
    };
    tokio::select! {
        swept = sweeping => panic!("it did not pause: {swept:?}"),
        told = tokio::time::timeout(Duration::from_secs(20), telling) => told.expect("it waits for the sweep"),
    }
    assert_eq!(line.take().len(), 1);
}
