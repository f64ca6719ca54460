//! What it costs the others that servers join, leave, or cannot store: never a snapshot of each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::{Cleaner, Retention};

use crate::peers::{Line, pair};
use crate::server::{SECOND, Server, Watched};

/// Servers that have begun and have all of each other, each with the name of its letter.
async fn fleet(names: &str, store: &Arc<Watched>) -> Vec<Server> {
    let mut servers = Vec::new();
    for name in names.chars() {
        let server = Server::new(&name.to_string(), store);
        server.begin().await;
        servers.push(server);
    }
    for server in &servers {
        server.receive().await;
        server.send().await;
    }
    store.fetched();
    servers
}

/// Stores a snapshot that has all of the others.
async fn store_a_snapshot(server: &Server) {
    server.receive().await;
    assert!(server.replica.send(true).await.unwrap());
    server.store.fetched();
}

fn snapshots_in(fetched: &[String]) -> Vec<&String> {
    fetched.iter().filter(|name| name.starts_with("main__")).collect()
}

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
async fn a_newcomer_reads_one_snapshot_of_many_and_what_was_written_since() {
    let store = Watched::new();
    let servers = fleet("abcdefgh", &store).await;
    store_a_snapshot(&servers[4]).await;
    for server in &servers[..4] {
        server.write(&format!("since {}", server.name), "1");
        server.send().await;
    }
    let new = Server::new("new", &store);
    new.pass(60 * SECOND);
    new.receive().await;
    let fetched = store.fetched();
    assert_eq!(snapshots_in(&fetched).len(), 1, "{fetched:?}");
    assert_eq!(fetched.len(), 1 + 4, "and what is newer: {fetched:?}");
    assert!(new.replica.is_ready());
    for server in &servers {
        server.receive().await;
    }
    assert_eq!(new.content(), servers[0].content());
    assert_eq!(new.content().len(), 1 + 4);
}

#[tokio::test]
async fn who_comes_back_without_its_volume_reads_its_own_snapshot_and_what_was_written_since() {
    let store = Watched::new();
    let mut servers = fleet("abcd", &store).await;
    store_a_snapshot(&servers[0]).await;
    servers[1].write("since", "1");
    servers[1].send().await;
    servers[0].wipe();
    servers[0].receive().await;
    let fetched = store.fetched();
    assert_eq!(snapshots_in(&fetched).len(), 1, "{fetched:?}");
    servers[1].receive().await;
    assert_eq!(servers[0].content(), servers[1].content());
}

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
        let again = zonetide_agent::sync::peer::Told {
            name: told.name.clone(),
            from: told.from.clone(),
            object: told.object.clone(),
        };
        b.replica.take(told).await.unwrap();
        d.replica.take(again).await.unwrap();
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
async fn a_snapshot_that_says_nothing_of_others_has_them_read_one_by_one() {
    let store = Watched::new();
    let servers = fleet("abcd", &store).await;
    // Something is kept out of the zones of this one, so its snapshot is not all that it has.
    let ahead = servers[0].now() + 3600 * SECOND;
    let mut future = Server::new("f", &store);
    future.set_clock(ahead);
    future.begin().await;
    let mut keeps = Server::new("k", &store);
    keeps.learn_the_time();
    keeps.receive().await;
    store_a_snapshot(&keeps).await;
    let mut new = Server::new("new", &store);
    new.pass(60 * SECOND);
    new.learn_the_time();
    new.receive().await;
    let fetched = store.fetched();
    assert_eq!(snapshots_in(&fetched).len(), 6, "{fetched:?}");
    future.wipe();
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
    for again in &told {
        let told = zonetide_agent::sync::peer::Told {
            name: again.name.clone(),
            from: again.from.clone(),
            object: again.object.clone(),
        };
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
    let object = zonetide_agent::store::spool(&std::env::temp_dir());
    let object = store.get(&last, object).await.unwrap().unwrap();
    let delta = zonetide_agent::snapshot::Snapshot::open(object).unwrap();
    assert_eq!(delta.outline().meta.adopted["a"].len(), 1, "{last}");
    assert_eq!(delta.outline().dbis.len(), 1);
    c.receive().await;
    assert_eq!(c.content()["precious"], "1");
}

#[tokio::test]
async fn a_snapshot_whose_start_cannot_be_read_keeps_nobody_from_the_others() {
    let store = Watched::new();
    let servers = fleet("abyz", &store).await;
    let [a, b, _y, z] = &servers[..] else { panic!() };
    z.write("the last word", "1");
    z.send().await;
    a.receive().await;
    let empty = zonetide_agent::snapshot::SnapshotName::new("main", "y", a.now() + 30 * SECOND).unwrap();
    let nothing = zonetide_agent::store::spool(&std::env::temp_dir());
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
async fn what_a_server_keeps_out_of_its_zones_its_snapshot_does_not_say_that_it_has() {
    let store = Watched::new();
    let servers = fleet("ab", &store).await;
    let now = servers[0].now();
    let future = Server::new("f", &store);
    future.set_clock(now + 3600 * SECOND);
    future.write("first", "f");
    // Its clock is right again, so that its snapshot is not the newest.
    future.set_clock(now);
    future.receive().await;
    future.send().await;
    let mut keeps = Server::new("k", &store);
    keeps.pass(60 * SECOND);
    keeps.learn_the_time();
    keeps.receive().await;
    assert_ne!(keeps.content()["first"], "f");
    store_a_snapshot(&keeps).await;
    // Who knows no other time than its own goes by what is in the objects.
    let new = Server::new("new", &store);
    new.pass(7200 * SECOND);
    new.receive().await;
    assert_eq!(new.content()["first"], "f");
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
