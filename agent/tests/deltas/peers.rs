//! Changes that peers tell each other before the store has them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use zonetide_agent::lmdb::{LmdbError, Writer};
use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::peer::{Peers, Told};

use crate::server::{DBI, SECOND, Server, Watched};

/// The other end of the line.
#[derive(Default)]
pub(crate) struct Line {
    told: Mutex<Vec<(String, Bytes)>>,
    announced: Mutex<Vec<u64>>,
    /// Who was heard just now, with what was told last.
    pub(crate) contacts: Mutex<BTreeMap<String, u64>>,
}

impl Peers for Line {
    fn tell(&self, _database: &str, name: &DeltaName, object: Bytes) {
        self.told.lock().unwrap().push((name.to_string(), object));
    }

    fn announce(&self, _database: &str, time: u64) {
        self.announced.lock().unwrap().push(time);
    }

    fn contacts(&self, _database: &str) -> BTreeMap<String, u64> {
        self.contacts.lock().unwrap().clone()
    }

    fn news(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

impl Line {
    pub(crate) fn take(&self) -> Vec<Told> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.into_iter()
            .map(|(name, object)| Told {
                from: DeltaName::parse("main", &name).unwrap().instance().to_owned(),
                name,
                object,
            })
            .collect()
    }
}

/// Two servers that both have begun, the first with a line.
pub(crate) async fn pair(store: &Arc<Watched>) -> (Server, Server, Arc<Line>) {
    let (mut a, b) = (Server::new("a", store), Server::new("b", store));
    let line = Arc::new(Line::default());
    a.replica.set_peers(line.clone());
    a.begin().await;
    b.begin().await;
    a.receive().await;
    a.send().await;
    b.receive().await;
    b.send().await;
    line.take();
    line.announced.lock().unwrap().clear();
    store.fetched();
    (a, b, line)
}

#[tokio::test]
async fn what_a_peer_told_is_there_at_once_and_never_fetched() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    for n in 0..5 {
        a.write("key", &n.to_string());
        a.replica.tell().await.unwrap();
        for told in line.take() {
            assert!(b.replica.take(told).await.unwrap());
        }
        assert_eq!(b.content()["key"], n.to_string());
        // b has nothing to say, and passes nothing on.
        b.send().await;
        if n % 2 == 1 {
            // Two of them in one delta.
            a.send().await;
        }
        b.receive().await;
    }
    assert!(line.take().is_empty());
    assert!(store.fetched().is_empty());
    let own = store
        .deltas()
        .await
        .into_iter()
        .filter(|listed| listed.name.contains("__b__"));
    assert_eq!(own.count(), 1, "only the one that told of its first snapshot");
}

#[tokio::test]
async fn what_was_told_and_got_lost_comes_from_the_store() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    a.write("one", "1");
    a.replica.tell().await.unwrap();
    line.take();
    a.write("two", "2");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(!b.replica.take(told).await.unwrap(), "there is a gap before it");
    }
    assert_eq!(b.content()["two"], "2");
    assert!(!b.content().contains_key("one"));
    a.send().await;
    b.receive().await;
    assert_eq!(b.content(), a.content());
    // From here on everything joins again.
    a.write("three", "3");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
}

#[tokio::test]
async fn a_change_that_only_a_peer_knows_survives_the_loss_of_its_server() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.write("precious", "1");
    assert!(a.replica.send(false).await.is_err());
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    drop(a);
    // The server may only be slow.
    b.receive().await;
    b.send().await;
    let c = Server::new("c", &store);
    c.receive().await;
    assert!(!c.content().contains_key("precious"));
    b.pass(61 * SECOND);
    b.receive().await;
    b.send().await;
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
    // Once is enough.
    let snapshots = store.snapshots().await.len();
    b.pass(120 * SECOND);
    b.receive().await;
    b.pass(120 * SECOND);
    b.receive().await;
    b.send().await;
    assert_eq!(store.snapshots().await.len(), snapshots);
}

/// A server whose snapshot is to be stored anew, for it is gone from the store.
async fn wants_a_snapshot(a: &Server, store: &Arc<Watched>) {
    let of_a = store.snapshots().await.into_iter().map(|listed| listed.name);
    for name in of_a.filter(|name| name.contains("__a__")) {
        store.delete(&name).await.unwrap();
    }
    a.receive().await;
}

#[tokio::test]
async fn peers_are_told_of_changes_while_a_snapshot_is_wanted_that_the_store_does_not_take() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    wants_a_snapshot(&a, &store).await;
    // The marker before it is stored, and then the store is full.
    store.holds.store(true, Ordering::Relaxed);
    let mut sending = std::pin::pin!(a.replica.send(false));
    tokio::select! {
        biased;
        _ = &mut sending => panic!("the upload does not wait"),
        () = store.arrived.notified() => {}
    }
    a.write("during", "1");
    store.refuses_writes.store(true, Ordering::Relaxed);
    store.released.notify_one();
    assert!(sending.await.is_err());
    for n in 0..3 {
        a.write(&format!("after{n}"), "1");
        a.replica.tell().await.unwrap();
        a.receive().await;
        a.write(&format!("before{n}"), "1");
        assert!(a.replica.send(false).await.is_err());
    }
    for told in line.take() {
        b.replica.take(told).await.unwrap();
    }
    assert_eq!(b.content(), a.content());

    store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    b.receive().await;
    b.send().await;
    let c = Server::new("c", &store);
    c.receive().await;
    assert_eq!(c.content(), a.content());
    // From here on everything joins again, and nothing is left to be stored by others.
    a.write("later", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn who_knows_a_state_that_was_told_meanwhile_reads_the_snapshot_that_was_wanted_all_the_same() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    wants_a_snapshot(&a, &store).await;
    assert!(a.replica.send(false).await.is_err());
    for n in 0..3 {
        a.write("key", &n.to_string());
        a.replica.tell().await.unwrap();
        let told = line.take();
        assert_eq!(told.len(), 1);
        for told in told {
            assert!(
                !b.replica.take(told).await.unwrap(),
                "it would not read the snapshot"
            );
        }
        assert!(a.replica.send(false).await.is_err());
    }
    store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    let mut snapshots = store.snapshots().await.into_iter().map(|listed| listed.name);
    let snapshot = snapshots.rfind(|name| name.contains("__a__")).unwrap();
    store.fetched();
    b.receive().await;
    assert!(store.fetched().contains(&snapshot), "{snapshot}");
}

#[tokio::test]
async fn a_new_server_whose_first_snapshot_the_store_does_not_take_tells_of_its_changes() {
    let store = Watched::new();
    let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
    let line = Arc::new(Line::default());
    a.replica.set_peers(line.clone());
    b.begin().await;
    a.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    assert!(a.replica.send(false).await.is_err());
    for n in 0..3 {
        a.write(&format!("key{n}"), "1");
        a.replica.tell().await.unwrap();
        a.receive().await;
        assert!(a.replica.send(false).await.is_err());
    }
    for told in line.take() {
        b.replica.take(told).await.unwrap();
    }
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn a_transaction_that_changes_nothing_leaves_no_gap_in_what_is_told() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    let create = |writer: &mut Writer<'_>| writer.dbi("empty_v5").map(|_| ());
    a.env.write::<(), LmdbError>(create).unwrap();
    a.replica.tell().await.unwrap();
    a.send().await;
    a.write("key", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    assert_eq!(b.content()["key"], "1");
}

#[tokio::test]
async fn what_is_too_large_to_be_told_is_announced() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    let mut noise = 1_u32;
    let mut random = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'!' + (noise >> 24) as u8 % 90
    };
    a.write_all((0..2_000).map(|n| (format!("key{n}"), (0..1_000).map(|_| random()).collect())));
    a.replica.tell().await.unwrap();
    assert!(line.take().is_empty());
    let announced = line.announced.lock().unwrap().clone();
    a.send().await;
    let name = store.deltas().await.pop().unwrap().name;
    let stored = DeltaName::parse("main", &name).unwrap();
    assert_eq!(announced, [stored.time()]);
    b.receive().await;
    assert_eq!(b.content(), a.content());
}

/// What the server tells when it writes twenty times.
async fn told_twenty_by(server: &Server, line: &Line) -> Vec<Told> {
    for n in 0..20 {
        server.write(&format!("key{}", n % 7), &n.to_string());
        server.replica.tell().await.unwrap();
    }
    line.take()
}

#[tokio::test]
async fn what_has_queued_up_is_committed_together_and_each_counts_for_itself() {
    let store = Watched::new();
    let (a, mut b, line) = pair(&store).await;
    let told = told_twenty_by(&a, &line).await;
    let before = b.env.last_txn_id();
    assert!(b.replica.take_together(&told).await.unwrap());
    assert_eq!(b.env.last_txn_id(), before + 1);
    assert_eq!(b.content(), a.content());
    // The next one joins, and nothing has to be fetched.
    a.write("key", "1");
    a.replica.tell().await.unwrap();
    for told in line.take() {
        assert!(b.replica.take(told).await.unwrap());
    }
    a.send().await;
    b.receive().await;
    assert!(store.fetched().is_empty());

    // One that is unusual makes all be looked at one by one.
    let mut told = told_twenty_by(&a, &line).await;
    told[3].object = b"nonsense".to_vec().into();
    let (before, content) = (b.env.last_txn_id(), b.content());
    assert!(!b.replica.take_together(&told).await.unwrap());
    assert_eq!((b.env.last_txn_id(), b.content()), (before, content));
    // As one from the future is, which is kept until its time comes.
    b.learn_the_time();
    a.pass(3600 * SECOND);
    let told = told_twenty_by(&a, &line).await;
    assert!(!b.replica.take_together(&told).await.unwrap());
    assert_eq!(b.env.last_txn_id(), before);
}

#[tokio::test]
async fn nonsense_from_a_peer_changes_nothing() {
    let store = Watched::new();
    let (_a, b, _) = pair(&store).await;
    let before = b.content();
    let name = DeltaName::new("main", "a", 1, 2).unwrap().to_string();
    for (name, object) in [(name.as_str(), &b"nonsense"[..]), ("main__x.pb.gz", b"")] {
        let told = Told {
            name: name.into(),
            from: "a".into(),
            object: object.to_vec().into(),
        };
        assert!(b.replica.take(told).await.is_err());
    }
    assert_eq!(b.content(), before);
}

#[tokio::test]
async fn what_one_transaction_wrote_is_seen_elsewhere_all_at_once() {
    let store = Watched::new();
    let (a, b, line) = pair(&store).await;
    a.write_all((0..5000).map(|number| (format!("key{number}"), vec![b'v'; 30])));
    a.replica.tell().await.unwrap();
    for told in line.take() {
        b.replica.take(told).await.unwrap();
    }
    let read = b.env.read::<_, LmdbError>(|reader| {
        let dbi = reader.dbi(DBI)?.unwrap();
        let mut written_by = BTreeMap::new();
        reader.for_each::<LmdbError>(&dbi, |key, header, _| {
            if key.starts_with(b"key") {
                *written_by.entry(header.txn_id).or_insert(0) += 1;
            }
            Ok(())
        })?;
        Ok(written_by)
    });
    let written_by: Vec<_> = read.unwrap().into_values().collect();
    assert_eq!(written_by, [5000]);
}
