//! Entries from a time to come are kept out of the zones, and nothing is lost.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::peer::Told;
use zonetide_agent::sync::{Cleaner, QUARANTINE_DBI, Retention};

use crate::server::{Dated, SECOND, Server, Watched};
use crate::support::spooled;

pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;

/// A server that does not know that its clock is an hour ahead, and one that knows the time.
pub(super) async fn pair() -> (Server, Server, Arc<Dated>) {
    let store = Watched::new();
    let (a, mut b) = (Server::new("a", &store), Server::new("b", &store));
    let dated = b.learn_the_time();
    for server in [&a, &b] {
        server.begin().await;
    }
    a.receive().await;
    for value in ["kept", "deleted"] {
        b.write(value, "b");
    }
    b.send().await;
    a.receive().await;
    a.pass(HOUR);
    (a, b, dated)
}

pub(super) fn quarantined(server: &Server) -> usize {
    let mut entries = 0;
    server
        .env
        .read(|reader| {
            let Some(dbi) = reader.dbi(QUARANTINE_DBI)? else {
                return Ok(());
            };
            reader.for_each(&dbi, |_, _, value| {
                // Its writer may have given it up.
                entries += usize::from(value[8] & 2 == 0);
                Ok::<(), LmdbError>(())
            })
        })
        .unwrap();
    entries
}

#[tokio::test]
async fn what_a_server_writes_an_hour_ahead_is_kept_shown_and_merged_when_it_is_time_deletions_too() {
    let (a, b, _dated) = pair().await;
    a.write("kept", "a");
    a.write("new", "a");
    a.delete("deleted");
    a.send().await;
    for _ in 0..3 {
        b.receive().await;
        assert_eq!(b.content()["kept"], "b");
        assert_eq!(b.content()["deleted"], "b");
        assert!(!b.content().contains_key("new"));
        assert_eq!(quarantined(&b), 3);
    }
    let state = b.status.state();
    assert_eq!(state.quarantine.entries, 3);
    assert_eq!(state.quarantine.instances["a"], 3);
    let text = &state.conditions["quarantine"].text;
    assert!(text.contains("set the clock of a right"), "{text}");
    // Neither of the others is told of it, nor is it a change of the own.
    let snapshots = b.store.snapshots().await;
    assert!(b.replica.send(true).await.unwrap());
    assert_eq!(b.store.snapshots().await.len(), snapshots.len() + 1);
    let c = Server::new("c", &b.store);
    c.receive().await;
    // The one that does not know the time merges as ever.
    assert_eq!(c.content()["kept"], "a");

    b.pass(HOUR - 6 * MINUTE);
    b.receive().await;
    assert_eq!(quarantined(&b), 3, "it is six minutes yet");
    b.pass(2 * MINUTE);
    b.receive().await;
    assert_eq!(quarantined(&b), 0);
    assert_eq!(b.content(), a.content());
    assert!(!b.content().contains_key("deleted"));
    assert!(!b.status.state().conditions.contains_key("quarantine"));
    // The others need not have kept it.
    b.send().await;
    let mut d = Server::new("d", &b.store);
    let _dated = d.learn_the_time();
    d.set_clock(b.now());
    d.receive().await;
    assert_eq!(d.content(), b.content());
}

#[tokio::test]
async fn what_is_not_known_to_be_ahead_is_merged_and_what_was_kept_by_a_wrong_clock_when_it_is_healed() {
    let (a, b, dated) = pair().await;
    dated.tell_nothing();
    a.write("kept", "a");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["kept"], "a", "nobody has told the time");
    // The store's clock is an hour behind, or so it says, and a server that goes by it is wrong.
    dated.tell(0);
    a.write("new", "a");
    a.send().await;
    b.receive().await;
    assert!(!b.content().contains_key("new"));
    assert_eq!(
        quarantined(&b),
        2,
        "B has the other one as well, with a time of its own"
    );
    dated.tell(-(HOUR.cast_signed()));
    b.receive().await;
    assert_eq!(quarantined(&b), 0);
    assert_eq!(b.content(), a.content());
}

#[tokio::test]
async fn what_replaces_an_entry_that_is_as_far_ahead_is_merged() {
    let (a, b, dated) = pair().await;
    dated.tell_nothing();
    a.write("kept", "a");
    a.send().await;
    b.receive().await;
    dated.tell(0);
    a.write("kept", "a again");
    a.write("deleted", "a");
    a.send().await;
    let name = b.store.deltas().await.pop().unwrap().name;
    let mut object = b.store.get(&name, spooled(b"")).await.unwrap().unwrap();
    let mut content = Vec::new();
    object.read_to_end(&mut content).unwrap();
    let told = Told {
        name,
        from: "a".into(),
        object: content.into(),
    };
    b.replica.take(told).await.unwrap();
    assert_eq!(b.content()["kept"], "a again");
    assert_eq!(b.content()["deleted"], "b");
    assert_eq!(quarantined(&b), 1);
}

#[tokio::test]
async fn of_several_versions_the_newest_is_kept_over_a_restart() {
    let (a, mut b, _dated) = pair().await;
    for value in ["first", "second", "third"] {
        a.write("kept", value);
        a.send().await;
        b.receive().await;
    }
    assert_eq!(quarantined(&b), 1);
    let _dated = b.learn_the_time();
    b.pass(HOUR);
    b.receive().await;
    assert_eq!(quarantined(&b), 0);
    assert_eq!(b.content()["kept"], "third");
}

#[tokio::test]
async fn what_its_writer_replaces_once_its_clock_is_right_is_not_merged_later() {
    let (mut a, b, _dated) = pair().await;
    a.write("kept", "wrong");
    a.write("other", "wrong");
    a.send().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 2);
    // It has lost its database, and with it what was ahead.
    a.wipe();
    a.set_clock(b.now() + SECOND);
    let _a = a.learn_the_time();
    a.receive().await;
    assert_eq!(a.content(), b.content());
    a.write("kept", "right");
    assert!(a.replica.send(true).await.unwrap());
    b.pass(2 * SECOND);
    b.receive().await;
    assert_eq!(b.content()["kept"], "right");
    assert_eq!(quarantined(&b), 1, "the other one may be all there is of it");
    for server in [&a, &b] {
        server.pass(HOUR);
        server.receive().await;
        assert_eq!(server.content()["kept"], "right");
        assert_eq!(server.content()["other"], "wrong");
    }
}

#[tokio::test]
async fn what_was_kept_is_merged_where_nobody_goes_by_the_fleets_time_any_more_unless_its_writer_replaced_it()
{
    let (mut a, mut b, _dated) = pair().await;
    a.write("kept", "wrong");
    a.write("other", "wrong");
    a.send().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 2);
    a.wipe();
    a.set_clock(b.now() + SECOND);
    let _a = a.learn_the_time();
    a.receive().await;
    a.write("kept", "right");
    assert!(a.replica.send(true).await.unwrap());
    b.pass(2 * SECOND);
    b.restart();
    b.receive().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 0);
    assert_eq!(b.content()["kept"], "right");
    assert_eq!(b.content()["other"], "wrong");
}

#[tokio::test]
async fn an_empty_database_is_not_filled_with_what_is_ahead() {
    let (a, b, _dated) = pair().await;
    a.write("kept", "a");
    assert!(a.replica.send(true).await.unwrap());
    let mut c = Server::new("c", &b.store);
    let _dated = c.learn_the_time();
    c.set_clock(b.now());
    c.receive().await;
    assert_eq!(c.content(), b.content());
    assert_eq!(quarantined(&c), 1);
    c.pass(HOUR);
    c.receive().await;
    assert_eq!(c.content(), a.content());
}

#[tokio::test]
async fn where_there_is_no_room_the_map_is_left_to_powerdns_and_the_writers_snapshot_is_read_again() {
    let (a, mut b, _dated) = pair().await;
    // The map has 16 MiB, and room for one of them.
    let large = |number: u32| (format!("large{number}"), vec![b'x'; 1000]);
    a.write_all((0..2000).map(large));
    a.send().await;
    assert!(a.replica.send(true).await.unwrap());
    b.receive().await;
    let kept = quarantined(&b);
    assert!((500..1100).contains(&kept), "{kept}");
    let text = b.status.state().conditions["quarantine"].text.clone();
    assert!(text.contains("more than there is room for"), "{text}");
    // A new agent knows as much, though all of the writer's objects were read.
    b.send().await;
    b.replica.remember("here");
    let _dated = b.learn_the_time();
    b.replica.resume("here");
    b.pass(HOUR);
    b.receive().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 0);
    assert_eq!(b.content().len(), a.content().len());
    assert!(!b.status.state().conditions.contains_key("quarantine"));
}

#[tokio::test]
async fn the_last_objects_of_an_instance_are_not_removed_while_something_of_it_is_kept() {
    let (a, b, _dated) = pair().await;
    a.write("kept", "too far ahead");
    assert!(a.replica.send(true).await.unwrap());
    b.receive().await;
    let retention = Retention {
        must_keep: Duration::ZERO,
        remove_old_instances: Duration::ZERO,
    };
    let mut cleaner = Cleaner::default();
    for kept in [true, false] {
        for _ in 0..3 {
            b.pass(SECOND);
            b.receive().await;
            assert!(b.replica.send(true).await.unwrap());
            let now = Instant::now();
            cleaner.clean(&b.replica, retention, now, b.now()).await.unwrap();
        }
        assert_eq!(quarantined(&b) > 0, kept);
        let left = b.store.snapshots().await;
        let left = left.iter().any(|listed| listed.name.contains("__a__"));
        assert_eq!(left, kept);
        b.pass(HOUR);
    }
    assert_eq!(b.content()["kept"], "too far ahead");
}
