//! What was written can be seen again: the state at a time, by the history in the store, is what the database was then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code,
    unreachable_pub
)]

mod gaps;
mod keeping;
#[path = "../deltas/server.rs"]
mod server;
mod states;
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
