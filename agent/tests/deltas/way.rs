//! The ordinary way of a change.

use std::time::{Duration, Instant};

use zonetide_agent::sync::{Cleaner, Received};

use crate::server::{Server, Watched};

const MUST_KEEP: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_change_goes_as_a_delta_of_its_own_size_and_needs_no_snapshot() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.write_all((0..5_000).map(|n| (format!("key{n}"), vec![b'x'; 50])));
    a.begin().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    let before = (store.snapshots().await.len(), store.deltas().await.len());
    store.fetched();
    a.write("key7", "changed");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["key7"], "changed");
    assert_eq!(
        (store.snapshots().await.len(), store.deltas().await.len()),
        (before.0, before.1 + 1)
    );
    let delta = store.deltas().await.pop().unwrap();
    assert!(delta.size < 300, "{delta:?}");
    assert_eq!(store.fetched(), [delta.name]);
}

#[tokio::test]
async fn a_look_at_news_finds_deltas_and_says_when_it_is_not_enough() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    // Nothing is known of a yet.
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::Gap);
    b.receive().await;
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::All);
    a.write("key", "1");
    a.send().await;
    a.delete("first");
    a.send().await;
    assert_eq!(b.replica.receive_news(false).await.unwrap(), Received::All);
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn what_was_merged_is_not_stored_again_and_own_changes_beside_it_are() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.receive().await;
    a.send().await;
    let before = store.deltas().await.len();
    for n in 0..3 {
        b.write(&format!("theirs{n}"), &"x".repeat(5_000));
        b.send().await;
        a.receive().await;
        a.send().await;
    }
    assert_eq!(store.deltas().await.len(), before + 3, "a has nothing to say");
    b.write("theirs4", "incompressible-".repeat(100).as_str());
    b.send().await;
    a.write("mine", "1");
    a.receive().await;
    a.write("mine too", "2");
    a.send().await;
    let own = store
        .deltas()
        .await
        .into_iter()
        .rfind(|listed| listed.name.contains("__a__"));
    assert!(own.unwrap().size < 250, "it holds what a wrote and nothing else");
    b.receive().await;
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn a_forced_snapshot_is_no_news_to_those_who_have_the_deltas() {
    let store = Watched::new();
    let (a, b, c) = (
        Server::new("a", &store),
        Server::new("b", &store),
        Server::new("c", &store),
    );
    a.begin().await;
    b.receive().await;
    a.write("key", "1");
    assert!(a.replica.send(true).await.unwrap());
    store.fetched();
    b.receive().await;
    assert_eq!(b.content(), a.content());
    let fetched = store.fetched();
    assert!(fetched.len() == 1 && fetched[0].contains("delta"), "{fetched:?}");
    // Without any change, too.
    assert!(a.replica.send(true).await.unwrap());
    b.receive().await;
    let fetched = store.fetched();
    assert!(fetched.len() == 1 && fetched[0].contains("delta"), "{fetched:?}");
    // And who begins takes the snapshot alone.
    c.receive().await;
    assert_eq!(c.content(), a.content());
    assert_eq!(store.fetched().len(), 1);
}

#[tokio::test]
async fn a_late_reader_takes_few_long_steps_and_the_cleaner_removes_the_short_ones() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.receive().await;
    store.fetched();
    for n in 0..100 {
        a.write(&format!("key{n}"), "1");
        a.send().await;
    }
    assert_eq!(store.snapshots().await.len(), 1);
    b.receive().await;
    assert_eq!(b.content(), a.content());
    let steps = store.fetched().len();
    assert!(steps <= 3 + 32, "{steps} steps for 100 changes");
    let (mut cleaner, start) = (Cleaner::default(), Instant::now());
    let clean = |cleaner: &mut Cleaner, at| {
        let clean = cleaner.clean_own_deltas(&a.replica, MUST_KEEP, at);
        futures::executor::block_on(clean).unwrap()
    };
    assert_eq!(clean(&mut cleaner, start), 0);
    let removed = clean(&mut cleaner, start + MUST_KEEP);
    assert!(removed >= 3 * 31, "{removed}");
    assert_eq!(clean(&mut cleaner, start + MUST_KEEP), 0);
    let c = Server::new("c", &store);
    c.receive().await;
    assert_eq!(c.content(), a.content());
}

#[tokio::test]
async fn a_snapshot_is_stored_when_deltas_have_become_much_against_the_last_one() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    a.begin().await;
    let mut noise = 1_u32;
    for n in 0..60 {
        // Incompressible, 4 KiB a change.
        let value = (0..4096).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + (noise >> 24) as u8 % 90)
        });
        a.write(&format!("key{n}"), &value.collect::<String>());
        a.send().await;
    }
    let snapshots = store.snapshots().await;
    assert!((2..8).contains(&snapshots.len()), "{snapshots:?}");
    let b = Server::new("b", &store);
    b.receive().await;
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn a_burst_arrives_complete() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.receive().await;
    a.write_all((0..20_000).map(|n| (format!("burst{n}"), vec![b'y'; 60])));
    a.send().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    assert_eq!(b.content().len(), 20_001);
}
