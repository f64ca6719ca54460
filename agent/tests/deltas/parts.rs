//! A long merge goes in parts: what is written here meanwhile is told between two of them.

use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::sync::TakenOver;

use crate::peers::pair;
use crate::server::{DBI, Server, Watched};

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
