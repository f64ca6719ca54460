//! An avalanche of deleted zones is held back.

use std::sync::Arc;
use std::time::Duration;

use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::{Deletions, HeldDeletions, Hold, SchemaGuard, Schemas};

use crate::peers::Line;
use crate::server::{SECOND, Server, Watched};

const RECORDS: &str = "records_v5";
const MOST: u32 = 2;

fn soa(zone: u32) -> Vec<u8> {
    [&(zone + 1).to_be_bytes()[..], &[0, 0, 6]].concat()
}

/// As PowerDNS writes or deletes zones.
fn put(server: &Server, zones: impl IntoIterator<Item = u32>, deleted: bool) {
    server.pass(SECOND);
    let now = server.now();
    let written = server.env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi(RECORDS)?;
        for zone in zones {
            writer.put(&dbi, &soa(zone), now, deleted, if deleted { b"" } else { b"soa" })?;
        }
        Ok(())
    });
    written.unwrap();
}

fn live(server: &Server) -> usize {
    let mut live = 0;
    let read = server.env.read::<(), LmdbError>(|reader| {
        let Some(dbi) = reader.dbi(RECORDS)? else {
            return Ok(());
        };
        reader.for_each::<LmdbError>(&dbi, |_, header, _| {
            live += usize::from(!header.deleted);
            Ok(())
        })
    });
    read.unwrap();
    live
}

/// A server with nine zones that tells of two deleted ones within a minute, and another that has them, too.
async fn guarded(store: &Arc<Watched>, with_peers: bool) -> (Server, Server, Arc<Line>) {
    let (mut a, b) = (Server::new("a", store), Server::new("b", store));
    let line = Arc::new(Line::default());
    if with_peers {
        a.replica.set_peers(line.clone());
    }
    protect(&mut a);
    put(&a, 0..9, false);
    a.begin().await;
    b.receive().await;
    assert_eq!(live(&b), 9);
    line.take();
    (a, b, line)
}

fn protect(server: &mut Server) {
    server
        .replica
        .set_deletions(Arc::new(Deletions::at_most(Some(MOST))));
}

fn held(server: &Server) -> Option<usize> {
    let held = HeldDeletions::read(&server.env).unwrap();
    held.map(|held| held.zones.len())
}

/// Tells and stores what it may, and has the other one take all of it.
async fn replicate(a: &Server, b: &Server, line: &Line) {
    a.replica.tell().await.unwrap();
    for told in line.take() {
        b.replica.take(told).await.unwrap();
    }
    a.replica.send(false).await.unwrap();
    b.set_clock(a.now());
    b.receive().await;
}

const HELD: Option<Hold> = Some(Hold::DeletedZones { zones: 3, most: MOST });

#[tokio::test]
async fn what_is_deleted_beyond_the_limit_is_neither_told_nor_stored_nor_given_away() {
    for with_peers in [true, false] {
        let store = Watched::new();
        let (a, b, line) = guarded(&store, with_peers).await;
        put(&a, 0..2, true);
        replicate(&a, &b, &line).await;
        assert_eq!((live(&b), a.replica.hold()), (7, None));
        a.pass(61 * SECOND);
        put(&a, 2..5, true);
        replicate(&a, &b, &line).await;
        assert_eq!((live(&b), a.replica.hold(), held(&a)), (7, HELD, Some(3)));
        // Neither is what is written later, nor by a snapshot.
        put(&a, 20..21, false);
        a.replica.tell().await.unwrap();
        assert!(!a.replica.send(true).await.unwrap());
        b.receive().await;
        assert_eq!((live(&b), live(&a)), (7, 5));
        let error = a.replica.hand_over().await.err().unwrap().to_string();
        assert!(
            error.starts_with("more than 2 zones were deleted here within a minute"),
            "{error}"
        );
        // What others write still comes.
        put(&b, 30..31, false);
        b.send().await;
        a.receive().await;
        assert_eq!(live(&a), 6);
    }
}

#[tokio::test]
async fn it_is_over_once_the_zones_are_back() {
    let store = Watched::new();
    let (a, b, line) = guarded(&store, true).await;
    put(&a, 0..3, true);
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold()), (9, HELD));
    tokio::time::pause();
    put(&a, 0..2, false);
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold(), held(&a)), (8, None, None));
    assert_eq!(live(&a), 8);
}

#[tokio::test]
async fn what_is_let_go_is_told_at_once_also_by_an_agent_that_was_restarted_and_what_comes_later_is_not() {
    let store = Watched::new();
    let (mut a, b, line) = guarded(&store, true).await;
    put(&a, 0..3, true);
    replicate(&a, &b, &line).await;
    let seen = HeldDeletions::read(&a.env).unwrap().unwrap();
    assert_eq!((live(&b), seen.zones.len(), seen.most), (9, 3, MOST));
    seen.let_go(&a.env).unwrap();
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold(), held(&a)), (6, None, None));
    // Those are not among what was let go.
    a.replica.remember("here");
    put(&a, 3..6, true);
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold()), (6, HELD));
    a.restart();
    protect(&mut a);
    a.replica.set_peers(line.clone());
    a.replica.resume("here");
    a.receive().await;
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold(), held(&a)), (6, HELD, Some(3)));
    let seen = HeldDeletions::read(&a.env).unwrap().unwrap();
    seen.let_go(&a.env).unwrap();
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold(), held(&a)), (3, None, None));
}

#[tokio::test]
async fn what_another_server_has_deleted_is_no_avalanche_here() {
    let store = Watched::new();
    let (a, b, line) = guarded(&store, true).await;
    put(&b, 0..9, true);
    b.begin().await;
    a.set_clock(b.now());
    a.receive().await;
    assert_eq!(live(&a), 0);
    put(&a, 20..21, false);
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold()), (1, None));
}

#[tokio::test]
async fn a_shard_that_holds_back_holds_back_its_main_database_too() {
    let mut both = ["main", "shard"].map(|name| Server::new(name, &Watched::new()));
    let (guard, deletions) = (
        Arc::new(SchemaGuard::default()),
        Arc::new(Deletions::at_most(Some(MOST))),
    );
    let line = Arc::new(Line::default());
    for (server, main) in both.iter_mut().zip([true, false]) {
        let guard = guard.clone();
        server.replica.set_schemas(Schemas { guard, main });
        server.replica.set_deletions(deletions.clone());
        server.replica.set_peers(line.clone());
        put(server, 0..9, false);
        server.begin().await;
    }
    let [main, shard] = both;
    line.take();
    put(&shard, 0..3, true);
    shard.replica.tell().await.unwrap();
    put(&main, 0..3, true);
    main.replica.tell().await.unwrap();
    assert!(line.take().is_empty());
    assert_eq!((main.replica.hold(), shard.replica.hold()), (HELD, HELD));
    // It is written down beside the main database.
    assert_eq!((held(&main), held(&shard)), (Some(3), None));
    HeldDeletions::read(&main.env)
        .unwrap()
        .unwrap()
        .let_go(&main.env)
        .unwrap();
    shard.replica.tell().await.unwrap();
    main.replica.tell().await.unwrap();
    assert_eq!(line.take().len(), 2);
}

#[tokio::test]
async fn an_agent_that_was_restarted_without_its_memory_goes_on_holding_back() {
    let store = Watched::new();
    let (mut a, b, line) = guarded(&store, true).await;
    put(&a, 0..3, true);
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), held(&a)), (9, Some(3)));
    a.restart();
    protect(&mut a);
    a.replica.set_peers(line.clone());
    replicate(&a, &b, &line).await;
    a.receive().await;
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold(), held(&a)), (9, HELD, Some(3)));
    HeldDeletions::read(&a.env)
        .unwrap()
        .unwrap()
        .let_go(&a.env)
        .unwrap();
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), a.replica.hold(), held(&a)), (6, None, None));
    // Without a limit nothing is held back, nor shown.
    put(&a, 3..6, true);
    replicate(&a, &b, &line).await;
    assert_eq!((live(&b), held(&a)), (6, Some(3)));
    a.restart();
    a.replica.set_deletions(Arc::default());
    a.receive().await;
    a.send().await;
    b.receive().await;
    assert_eq!((live(&b), held(&a)), (3, None));
}

#[tokio::test]
async fn one_zone_too_many_is_held_back_after_a_restart_as_well() {
    for remembers in [true, false] {
        let store = Watched::new();
        let (mut a, b, line) = guarded(&store, true).await;
        for zone in 0..3 {
            put(&a, [zone], true);
            replicate(&a, &b, &line).await;
        }
        assert_eq!((live(&b), held(&a)), (7, Some(1)));
        if remembers {
            a.replica.remember("here");
        }
        a.restart();
        protect(&mut a);
        a.replica.set_peers(line.clone());
        if remembers {
            a.replica.resume("here");
        }
        a.receive().await;
        replicate(&a, &b, &line).await;
        assert_eq!((live(&b), held(&a)), (7, Some(1)), "remembers: {remembers}");
    }
}

#[tokio::test]
async fn what_peers_were_told_before_is_stored_while_deletions_are_held_back() {
    let store = Watched::new();
    let (a, b, line) = guarded(&store, true).await;
    put(&a, 20..21, false);
    a.replica.tell().await.unwrap();
    line.take();
    put(&a, 0..3, true);
    a.replica.tell().await.unwrap();
    assert_eq!(a.replica.hold(), HELD);
    a.replica.send(false).await.unwrap();
    b.set_clock(a.now());
    b.receive().await;
    assert_eq!(live(&b), 10);
}

#[tokio::test]
async fn a_snapshot_that_is_wanted_has_no_avalanche_in_it() {
    for with_peers in [true, false] {
        let store = Watched::new();
        let (a, _, _) = guarded(&store, with_peers).await;
        for listed in [store.snapshots().await, store.deltas().await].concat() {
            store.delete(&listed.name).await.unwrap();
        }
        a.receive().await;
        put(&a, 0..3, true);
        assert!(!a.replica.send(false).await.unwrap(), "{with_peers}");
        assert_eq!(
            (a.replica.hold(), store.snapshots().await.len()),
            (HELD, 0),
            "{with_peers}"
        );
        put(&a, 0..1, false);
        a.replica.send(false).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
        a.send().await;
        assert_eq!((a.replica.hold(), store.snapshots().await.len()), (None, 1));
    }
}

#[tokio::test]
async fn a_server_that_starts_is_given_no_avalanche_that_nobody_was_told_of_yet() {
    let store = Watched::new();
    let (a, _, _) = guarded(&store, true).await;
    put(&a, 0..3, true);
    assert!(a.replica.hand_over().await.is_err());
    assert_eq!(a.replica.hold(), HELD);
}
