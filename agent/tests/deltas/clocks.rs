//! What a clock that is far off does to the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use zonetide_agent::lmdb::{LmdbError, Writer};
use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::AHEAD_DBI;

use crate::server::{DBI, Dated, SECOND, Server, Watched};
use crate::support::{database_content, spooled};

const HOUR: u64 = 3_600 * SECOND;

#[tokio::test]
async fn a_delta_that_is_named_after_a_time_to_come_does_not_hide_those_of_the_others() {
    for ahead in [2 * 60 * SECOND, HOUR, 365 * 24 * HOUR] {
        let store = Watched::new();
        let (a, b) = (Server::new("a", &store), Server::new("b", &store));
        a.begin().await;
        b.begin().await;
        a.receive().await;
        let time = a.now() + ahead;
        let name = DeltaName::new("main", "c", time, time).unwrap();
        store
            .put(name.as_str(), spooled(b"whatever it says"))
            .await
            .unwrap();
        for reader in [&a, &b] {
            reader.receive().await;
        }
        for (value, (writer, reader)) in [(&a, &b), (&b, &a)].into_iter().enumerate() {
            let value = value.to_string();
            writer.write("after", &value);
            writer.send().await;
            reader.pass(SECOND);
            reader.replica.receive_news(false).await.unwrap();
            assert_eq!(reader.content()["after"], value, "{ahead}");
        }
    }
}

/// The own time of an entry in the database, ns since the epoch.
fn time_of(server: &Server, key: &str) -> u64 {
    database_content(&server.env)[DBI][key.as_bytes()].0
}

/// A server whose clock is off by so much, which it knows, and one whose clock is right; both have begun and have each other's.
async fn off_by(ahead: i64) -> (Server, Server, Arc<Dated>) {
    let store = Watched::new();
    let (mut a, mut b) = (Server::new("a", &store), Server::new("b", &store));
    let (wrong, right) = (a.learn_the_time(), b.learn_the_time());
    right.tell(0);
    for server in [&a, &b] {
        server.begin().await;
    }
    a.receive().await;
    b.receive().await;
    a.set_clock(b.now().strict_add_signed(ahead));
    wrong.tell(ahead);
    (a, b, wrong)
}

#[tokio::test]
async fn what_is_written_by_a_clock_that_is_known_to_be_wrong_gets_the_fleets_time_and_arrives_at_once() {
    for ahead in [HOUR.cast_signed(), -HOUR.cast_signed(), 2 * SECOND.cast_signed()] {
        let (a, b, _wrong) = off_by(ahead).await;
        for (key, snapshot) in [("by-delta", false), ("by-snapshot", true)] {
            a.write(key, "a");
            b.pass(SECOND);
            assert!(a.replica.send(snapshot).await.unwrap());
            b.receive().await;
            assert_eq!(b.content()[key], "a", "{ahead}");
            assert_eq!(time_of(&b, key), b.now(), "{ahead}");
            assert_eq!(time_of(&a, key), b.now(), "{ahead}");
        }
        assert_eq!(b.status.state().quarantine.entries, 0);
        // A later write elsewhere is later.
        b.write("by-delta", "b");
        a.pass(SECOND);
        b.send().await;
        a.receive().await;
        assert_eq!(a.content()["by-delta"], "b", "{ahead}");
        a.write("by-delta", "a again");
        b.pass(SECOND);
        a.send().await;
        b.receive().await;
        assert_eq!(b.content()["by-delta"], "a again", "{ahead}");
    }
}

#[tokio::test]
async fn of_two_writes_that_do_not_know_of_each_other_the_later_wins_though_its_clock_is_an_hour_behind() {
    let (a, b, _wrong) = off_by(-HOUR.cast_signed()).await;
    b.write("both", "earlier");
    b.pass(10 * 60 * SECOND);
    a.pass(10 * 60 * SECOND);
    a.write("both", "later");
    b.send().await;
    a.receive().await;
    a.send().await;
    b.receive().await;
    for server in [&a, &b] {
        assert_eq!(server.content()["both"], "later");
    }
    assert_eq!(time_of(&a, "both"), time_of(&b, "both"));
}

#[tokio::test]
async fn a_time_is_corrected_once_though_it_cannot_be_stored_for_long() {
    let (a, b, _wrong) = off_by(-3 * SECOND.cast_signed()).await;
    a.write("key", "a");
    b.pass(SECOND);
    a.store.refuses_writes.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        assert!(a.replica.send(false).await.is_err());
        a.pass(2 * SECOND);
    }
    assert_eq!(time_of(&a, "key"), b.now());
    a.store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    b.receive().await;
    assert_eq!(time_of(&b, "key"), b.now());
}

#[tokio::test]
async fn what_was_written_before_a_clock_was_set_right_or_went_wrong_is_never_from_the_future() {
    let (a, b, wrong) = off_by(HOUR.cast_signed()).await;
    a.write("before", "a");
    // It is set right before the change is looked at.
    a.set_clock(b.now());
    wrong.tell(0);
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["before"], "a");
    assert!(time_of(&b, "before") <= b.now());
    a.write("after", "a");
    b.pass(SECOND);
    // It goes wrong before the change is looked at.
    a.set_clock(b.now() + HOUR);
    wrong.tell(HOUR.cast_signed());
    a.send().await;
    b.receive().await;
    assert_eq!(time_of(&b, "after"), b.now());
}

#[tokio::test]
async fn times_to_come_that_are_in_the_databases_already_become_the_present_one_once_it_is_known_what_time_it_is()
 {
    let store = Watched::new();
    let (mut a, mut b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    // Neither knows the time: what A writes by its clock goes everywhere.
    a.set_clock(b.now() + HOUR);
    a.write("key", "a");
    a.delete("first");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["key"], "a");
    assert!(time_of(&b, "key") > b.now());
    // New agents that learn the time; the clock is right again.
    a.set_clock(b.now() + SECOND);
    let _times = [a.learn_the_time(), b.learn_the_time()];
    for _ in 0..3 {
        for server in [&a, &b] {
            server.pass(SECOND);
            server.receive().await;
            server.send().await;
        }
    }
    for server in [&a, &b] {
        assert!(time_of(server, "key") <= server.now());
        assert_eq!(server.content()["key"], "a");
        assert!(!server.content().contains_key("first"));
    }
    b.write("key", "b");
    b.send().await;
    a.pass(2 * SECOND);
    a.receive().await;
    assert_eq!(a.content()["key"], "b");
    assert_eq!(a.status.state().quarantine.entries, 0);
}

#[tokio::test]
async fn what_is_written_over_a_merged_entry_at_once_is_later_though_the_fleets_time_is_known_to_a_second_only()
 {
    let half = SECOND.cast_signed() / 2;
    for error in [-half, half] {
        let (mut a, b, wrong) = off_by(HOUR.cast_signed()).await;
        let middle = HOUR.cast_signed() + error;
        wrong.tell_between(middle - half, middle + half);
        a.write_after_the_next_merge("key", "later");
        b.write("key", "earlier");
        b.send().await;
        a.pass(SECOND);
        a.receive().await;
        a.send().await;
        b.receive().await;
        for server in [&a, &b] {
            assert_eq!(server.content()["key"], "later", "{error}");
        }
    }
}

#[tokio::test]
async fn a_fleet_whose_agents_learn_the_time_one_after_the_other_keeps_what_is_written_over_a_time_to_come() {
    let store = Watched::new();
    let (mut a, mut b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.set_clock(b.now() + 365 * 24 * HOUR);
    a.write("key", "a");
    a.send().await;
    b.receive().await;
    b.write("other", "b");
    b.send().await;
    a.set_clock(b.now() + SECOND);
    let _time = a.learn_the_time();
    a.receive().await;
    a.send().await;
    a.pass(60 * SECOND);
    a.write("key", "later");
    a.send().await;
    b.set_clock(a.now() + 60 * SECOND);
    b.receive().await;
    assert_eq!(b.content()["key"], "a", "it does not know the time yet");
    replicates_from_its_memory(&mut b).await;
    for _ in 0..2 {
        for server in [&a, &b] {
            server.set_clock(b.now() + 60 * SECOND);
            server.receive().await;
            server.send().await;
        }
    }
    for server in [&a, &b] {
        assert_eq!(server.content()["key"], "later", "{}", server.name);
    }
}

#[tokio::test]
async fn nothing_is_stored_in_the_moments_before_it_is_known_what_time_it_is() {
    let (mut a, b, _wrong) = off_by(HOUR.cast_signed()).await;
    a.replica.remember("here");
    let wrong = a.learn_the_time();
    a.replica.resume("here");
    wrong.tell(HOUR.cast_signed());
    wrong.is_unsure_for(u32::MAX);
    a.receive().await;
    a.write("key", "a");
    b.pass(SECOND);
    wrong.is_unsure_for(40);
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["key"], "a");
    assert_eq!(time_of(&b, "key"), b.now());
}

/// A new agent that goes by the fleet's time knows what the last one knew, which noted nothing.
async fn replicates_from_its_memory(server: &mut Server) {
    const STORE: &str = "here";
    server.replica.remember(STORE);
    let no_notes = |writer: &mut Writer<'_>| {
        let notes = writer.dbi(AHEAD_DBI)?;
        for (key, _) in writer.keys_after(&notes, &[], 100)? {
            writer.delete(&notes, &key)?;
        }
        Ok(())
    };
    server.env.write::<(), LmdbError>(no_notes).unwrap();
    let _time = server.learn_the_time();
    server.replica.resume(STORE);
    server.replica.look_at_the_clock().await;
}
