//! What was written can be seen again: the state at a time, by the history in the store, is what the database was then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code,
    unreachable_pub
)]

#[path = "../deltas/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use server::{DBI, SECOND, Server, Watched};
use zonetide_agent::history::{Catalog, DAY, HOUR, Note, Past, replay};
use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::snapshot::{BaseName, SegmentName};
use zonetide_agent::store::Store;
use zonetide_agent::sync::{Cleaner, History};

const KEEP: Duration = Duration::from_nanos(30 * DAY);

type Content = BTreeMap<String, String>;

/// Two servers whose clocks agree, the cleaners of both, and what the database was at some times.
struct Fleet {
    store: Arc<Watched>,
    servers: [Server; 2],
    cleaners: [Cleaner; 2],
    then: Vec<(u64, Content)>,
}

impl Fleet {
    async fn begin() -> Self {
        let store = Watched::new();
        let servers = ["a", "b"].map(|name| Server::new(name, &store));
        let mut fleet = Self {
            store,
            servers,
            cleaners: [(); 2].map(|()| Cleaner::with_history(History::new(KEEP))),
            then: Vec::new(),
        };
        for n in 0..2 {
            fleet.servers[n].begin().await;
            fleet.agree();
        }
        fleet.servers[0].receive().await;
        fleet.clean(0, false).await;
        fleet.pass(SECOND);
        fleet
    }

    fn now(&self) -> u64 {
        self.servers.iter().map(Server::now).max().unwrap()
    }

    fn agree(&self) {
        let now = self.now();
        self.servers.iter().for_each(|server| server.set_clock(now));
    }

    fn pass(&self, ns: u64) {
        self.agree();
        self.servers.iter().for_each(|server| server.pass(ns));
    }

    /// Removes, and puts into history first, what need not stay; deltas alone or snapshots too.
    async fn clean(&mut self, n: usize, snapshots: bool) {
        let (server, cleaner) = (&self.servers[n], &mut self.cleaners[n]);
        if snapshots {
            server.replica.send(true).await.unwrap();
        }
        cleaner
            .clean_own_deltas(&server.replica, Duration::ZERO, Instant::now())
            .await
            .unwrap();
    }

    /// Both have everything, and it is noted what that is.
    async fn settle(&mut self) {
        for (from, to) in [(1, 0), (0, 1)] {
            self.servers[from].send().await;
            self.servers[to].receive().await;
            self.agree();
        }
        let content = self.servers[0].content();
        assert_eq!(self.servers[1].content(), content);
        self.then.push((self.now(), content));
        self.pass(SECOND);
    }

    async fn past(&self, since: u64, until: u64) -> Past {
        let (store, folder) = (&*self.store, std::env::temp_dir());
        Past::fetch(store, &folder, "main", (since, until), |_, _| {})
            .await
            .unwrap()
    }

    /// The state at a time, by what is in the store.
    async fn at(&self, time: u64) -> Content {
        let mut past = self.past(time, time).await;
        state(&mut past, time)
    }

    async fn check(&self) {
        for (time, content) in &self.then {
            assert_eq!(self.at(*time).await, *content, "at {time}");
        }
    }

    async fn names(&self, folder: &str) -> Vec<String> {
        let listed = self.store.list(folder).await.unwrap();
        listed.into_iter().map(|object| object.name).collect()
    }

    async fn segments(&self) -> Vec<String> {
        self.names(&SegmentName::folder("main")).await
    }

    async fn bases(&self) -> Vec<String> {
        self.names(&BaseName::folder("main")).await
    }
}

fn state(past: &mut Past, time: u64) -> Content {
    let timeline = replay(past, &std::env::temp_dir(), time, |_, _| true, |_| Ok(())).unwrap();
    let mut content = Content::new();
    let read = timeline.env().read(|reader| {
        let dbi = reader.dbi(DBI)?.expect("records");
        reader.for_each(&dbi, |key, header, value| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            if !header.deleted {
                content.insert(text(key), text(value));
            }
            Ok::<(), LmdbError>(())
        })
    });
    read.unwrap();
    content
}

#[tokio::test]
async fn the_state_at_a_time_is_what_the_database_was_then() {
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut fleet = Fleet::begin().await;
        for step in 0..60 {
            let n = random.random_range(0..2);
            let key = format!("key{}", random.random_range(0..6));
            fleet.agree();
            match random.random_range(0..10) {
                0..4 => fleet.servers[n].write(&key, &format!("{seed}.{step}")),
                4 => fleet.servers[n].delete(&key),
                5 => fleet.servers[n].send().await,
                6 => fleet.servers[n].receive().await,
                7 => fleet.clean(n, random.random_bool(0.5)).await,
                8 => fleet.pass(random.random_range(0..40 * 60) * SECOND),
                _ => fleet.settle().await,
            }
        }
        fleet.settle().await;
        fleet.check().await;
        for n in 0..2 {
            fleet.clean(n, true).await;
            fleet.clean(n, false).await;
        }
        fleet.check().await;
    }
}

#[tokio::test]
async fn what_was_written_twice_between_two_states_is_seen_twice() {
    let mut fleet = Fleet::begin().await;
    let begin = fleet.now();
    for value in ["1", "2", "3"] {
        fleet.servers[0].write("key", value);
        fleet.servers[0].send().await;
    }
    fleet.servers[0].delete("key");
    fleet.servers[0].send().await;
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    assert!(
        fleet.store.deltas().await.len() <= 2,
        "{:?}",
        fleet.store.deltas().await
    );
    let mut past = fleet.past(begin, u64::MAX).await;
    assert_eq!(past.notes, []);
    let mut seen = Vec::new();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    replay(
        &mut past,
        &std::env::temp_dir(),
        u64::MAX,
        |_, key| key == b"key",
        |written| {
            let before = written.before.map(|entry| text(entry.value));
            let after = (!written.after.deleted).then(|| text(written.after.value));
            seen.push((written.instance.to_owned(), written.moment - begin, before, after));
            Ok(())
        },
    )
    .unwrap();
    let of = |value: &str| Some(value.to_owned());
    let a = || "a".to_owned();
    assert_eq!(
        seen,
        [
            (a(), SECOND, None, of("1")),
            (a(), 2 * SECOND, of("1"), of("2")),
            (a(), 3 * SECOND, of("2"), of("3")),
            (a(), 4 * SECOND, of("3"), None)
        ]
    );
}

#[tokio::test]
async fn segments_are_put_together_by_the_hour_and_the_day_and_nothing_is_lost() {
    let mut fleet = Fleet::begin().await;
    let mut most = 0;
    for n in 0..3 * 24 * 4 {
        fleet.servers[n % 2].write(&format!("key{}", n % 5), &n.to_string());
        if n % 16 == 0 {
            fleet.settle().await;
        } else {
            fleet.servers[n % 2].send().await;
        }
        fleet.clean(n % 2, n % 8 < 2).await;
        fleet.pass(15 * 60 * SECOND);
        most = most.max(fleet.segments().await.len());
    }
    fleet.settle().await;
    // Of each server days, the hours of one, and the quarters of an hour or two.
    assert!(most <= 2 * (3 + 25 + 10), "{most} segments");
    assert_eq!(fleet.bases().await.len(), 1);
    fleet.check().await;
}

#[tokio::test]
async fn a_process_that_ends_between_storing_and_removing_loses_and_doubles_nothing() {
    let mut fleet = Fleet::begin().await;
    for n in 0..8 {
        fleet.servers[0].write("key", &n.to_string());
        fleet.settle().await;
    }
    fleet.servers[0].replica.send(true).await.unwrap();
    // The deltas are back, as if they had not been removed yet.
    let mut before = Vec::new();
    for delta in fleet.store.deltas().await {
        let object = fleet.store.get(&delta.name, support::spooled(b"")).await.unwrap();
        before.push((delta.name, object.unwrap()));
    }
    fleet.clean(0, false).await;
    let segments = fleet.segments().await;
    assert!(!segments.is_empty());
    for (name, object) in before {
        fleet.store.put(&name, object).await.unwrap();
    }
    // A new process knows nothing of the segments but what it lists.
    fleet.cleaners[0] = Cleaner::with_history(History::new(KEEP));
    fleet.clean(0, false).await;
    assert_eq!(fleet.segments().await, segments);
    fleet.check().await;
}

/// A server whose agent lost its memory, and wrote while it did not run: that is in no delta.
async fn began_anew() -> Fleet {
    let mut fleet = Fleet::begin().await;
    fleet.servers[0].write("key", "1");
    fleet.settle().await;
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    fleet.pass(2 * HOUR);
    fleet.servers[0].write("key", "2");
    fleet.agree();
    fleet.servers[0].restart();
    fleet.servers[0].receive().await;
    fleet.servers[0].send().await;
    fleet.pass(SECOND);
    fleet.servers[0].write("other", "3");
    fleet.settle().await;
    fleet.cleaners[0] = Cleaner::with_history(History::new(KEEP));
    fleet
}

#[tokio::test]
async fn what_a_server_that_began_anew_stored_in_a_snapshot_alone_is_seen_too() {
    let mut fleet = began_anew().await;
    fleet.check().await;
    for _ in 0..3 {
        fleet.clean(0, true).await;
        fleet.clean(0, false).await;
        fleet.settle().await;
    }
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    fleet.check().await;
    let past = fleet.past(fleet.then[0].0, u64::MAX).await;
    assert_eq!(past.notes, []);
    assert_eq!(fleet.bases().await.len(), 1);
}

#[tokio::test]
async fn what_was_written_before_a_server_began_anew_is_seen_though_nothing_was_put_away_before() {
    let mut fleet = Fleet::begin().await;
    for value in ["1", "2", "3"] {
        fleet.servers[0].write("key", value);
        fleet.settle().await;
    }
    fleet.servers[0].restart();
    fleet.servers[0].receive().await;
    fleet.servers[0].send().await;
    fleet.settle().await;
    fleet.check().await;
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    fleet.check().await;
}

#[tokio::test]
async fn what_a_server_brings_along_from_long_before_is_seen_when_it_has_come() {
    let mut fleet = Fleet::begin().await;
    fleet.pass(3 * DAY);
    let c = Server::new("c", &fleet.store);
    c.set_clock(fleet.now() - 20 * DAY);
    c.write("old", "1");
    c.set_clock(fleet.now());
    c.receive().await;
    c.send().await;
    fleet.servers[0].receive().await;
    fleet.settle().await;
    assert_eq!(fleet.then.last().unwrap().1.get("old").unwrap(), "1");
    let mut cleaner = Cleaner::with_history(History::new(KEEP));
    for _ in 0..2 {
        c.replica.send(true).await.unwrap();
        let clean = cleaner.clean_own_deltas(&c.replica, Duration::ZERO, Instant::now());
        clean.await.unwrap();
    }
    fleet.pass(2 * DAY);
    fleet.settle().await;
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    fleet.check().await;
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_cleaned_all_the_same() {
    let mut fleet = Fleet::begin().await;
    for value in ["1", "2"] {
        fleet.servers[0].write("key", value);
        fleet.servers[0].replica.send(true).await.unwrap();
    }
    let deltas = fleet.store.deltas().await.len();
    let refuses = |refuses| {
        fleet
            .store
            .refuses_writes
            .store(refuses, std::sync::atomic::Ordering::Relaxed);
    };
    refuses(true);
    let start = Instant::now();
    let (server, cleaner) = (&fleet.servers[0], &mut fleet.cleaners[0]);
    let error = cleaner
        .clean_own_deltas(&server.replica, Duration::ZERO, start)
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("cannot keep the history"),
        "{error}"
    );
    assert_eq!(
        fleet.store.deltas().await.len(),
        deltas,
        "they are kept for a while"
    );
    let later = start + Duration::from_secs(3600);
    cleaner
        .clean_own_deltas(&server.replica, Duration::ZERO, later)
        .await
        .unwrap_err();
    assert!(fleet.store.deltas().await.len() < deltas);
    refuses(false);
    cleaner
        .clean_own_deltas(&server.replica, Duration::ZERO, later)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_gap_is_told_to_whoever_asks_for_a_time_within_it() {
    let fleet = began_anew().await;
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    let within = fleet.then[0].0 + HOUR;
    let past = fleet.past(within, within).await;
    let is_told = past.notes.iter().any(
        |note| matches!(note, Note::Missing { instance, span } if instance == "a" && span.since < within),
    );
    assert!(is_told, "{:?}", past.notes);
}

#[tokio::test]
async fn where_that_snapshot_is_gone_a_gap_is_told_and_closed_by_a_base_snapshot() {
    let mut fleet = began_anew().await;
    for snapshot in fleet.store.snapshots().await {
        fleet.store.delete(&snapshot.name).await.unwrap();
    }
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    let bases = fleet.bases().await;
    assert_eq!(bases.len(), 2, "{bases:?}");
    fleet.pass(SECOND);
    fleet.settle().await;
    let (time, content) = fleet.then.last().unwrap();
    assert_eq!(content.get("key").unwrap(), "2");
    assert_eq!(fleet.at(*time).await, *content);
    let first = fleet.then[0].0;
    let past = fleet.past(first, *time).await;
    let missing = past
        .notes
        .iter()
        .filter(|note| matches!(note, Note::Missing { instance, .. } if instance == "a"));
    assert_eq!(missing.count(), 1, "{:?}", past.notes);
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_the_rest_is_shown() {
    let mut fleet = Fleet::begin().await;
    for n in 0..3 {
        fleet.servers[0].write(&format!("key{n}"), "1");
        fleet.servers[0].send().await;
        fleet.clean(0, true).await;
        fleet.clean(0, false).await;
    }
    fleet.settle().await;
    let mut segments = fleet.segments().await;
    segments.retain(|name| name.contains("__a__"));
    let segment = segments.last().unwrap();
    fleet.store.put(segment, support::spooled(b"torn")).await.unwrap();
    let (time, content) = fleet.then.last().unwrap();
    let mut past = fleet.past(*time, *time).await;
    let shown = state(&mut past, *time);
    assert!(
        matches!(&past.notes[..], [Note::Damaged { name, .. }] if name == segment),
        "{:?}",
        past.notes
    );
    assert!(shown.len() < content.len() && !shown.is_empty(), "{shown:?}");
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_and_all_else_can_still_be_seen() {
    let mut fleet = Fleet::begin().await;
    for day in 0..80 {
        fleet.servers[0].write("key", &day.to_string());
        fleet.settle().await;
        fleet.clean(0, true).await;
        fleet.clean(0, false).await;
        fleet.pass(DAY);
    }
    let from = fleet.now() - 30 * DAY;
    fleet.then.retain(|(time, _)| *time > from);
    assert!(fleet.then.len() >= 29);
    fleet.check().await;
    let (segments, bases) = (fleet.segments().await, fleet.bases().await);
    assert!(bases.len() <= 3, "{bases:?}");
    assert!(segments.len() <= 55, "{}", segments.len());
    let listed = |names: &[String]| {
        let listed = names.iter().map(|name| zonetide_agent::store::Listed {
            name: name.clone(),
            size: 0,
            modified: None,
        });
        listed.collect::<Vec<_>>()
    };
    let catalog = Catalog::sort("main", &listed(&segments), &listed(&bases));
    assert!(catalog.bases().next().unwrap().time() <= from);
}
