//! What PowerDNS put over what it had is later, whatever the clocks say.

use std::collections::BTreeMap;
use std::sync::Arc;

use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::sync::AHEAD_DBI;
use zonetide_agent::sync::peer::Told;

use crate::peers::Line;
use crate::server::{SECOND, Server, Watched};

const HOUR: u64 = 3600 * SECOND;

/// Two servers that tell each other, and the lines that they are heard on.
struct Pair {
    a: Server,
    b: Server,
    lines: [Arc<Line>; 2],
}

impl Pair {
    /// The clock of b is behind by so much.
    async fn behind(ns: u64) -> Self {
        let store = Watched::new();
        let (mut a, mut b) = (Server::new("a", &store), Server::new("b", &store));
        let lines = [Arc::default(), Arc::default()];
        for (server, line) in [&mut a, &mut b].into_iter().zip(&lines) {
            let line: &Arc<Line> = line;
            server.replica.set_peers(line.clone());
        }
        for server in [&a, &b, &a, &b] {
            server.receive().await;
            server.write("first", &server.name);
            server.send().await;
        }
        for server in [&a, &b, &a] {
            server.receive().await;
            server.send().await;
        }
        b.set_clock(a.now() - ns);
        for line in &lines {
            line.take();
        }
        Self { a, b, lines }
    }

    async fn a_tells(&self) -> Vec<Told> {
        self.a.replica.tell().await.unwrap();
        self.lines[0].take()
    }

    async fn b_tells(&self) -> Vec<Told> {
        self.b.replica.tell().await.unwrap();
        self.lines[1].take()
    }

    /// Everything goes both ways, by peers and by the store.
    async fn calm(&self) {
        for _ in 0..3 {
            hear(&self.b, self.a_tells().await).await;
            hear(&self.a, self.b_tells().await).await;
            for server in [&self.a, &self.b] {
                server.send().await;
            }
            for server in [&self.a, &self.b] {
                server.receive().await;
            }
        }
    }

    /// The agent of a is another one.
    async fn calm_again(&self) {
        self.a.receive().await;
        self.a.send().await;
        self.calm().await;
    }

    async fn both_end_with(&self, key: &str, value: Option<&str>) {
        self.calm().await;
        for server in [&self.a, &self.b] {
            let found = server.content().get(key).cloned();
            assert_eq!(found.as_deref(), value, "{key} on {}", server.name);
        }
    }
}

async fn hear(server: &Server, told: Vec<Told>) {
    for told in told {
        server.replica.take(told).await.unwrap();
    }
}

/// Keys with notes.
fn noted(server: &Server) -> Vec<(String, u64)> {
    let read = server.env.read(|reader| {
        let mut keys = Vec::new();
        if let Some(dbi) = reader.dbi(AHEAD_DBI)? {
            reader.for_each(&dbi, |key, note, _| {
                keys.push((String::from_utf8_lossy(key).into_owned(), note.timestamp));
                Ok::<(), LmdbError>(())
            })?;
        }
        Ok::<_, LmdbError>(keys)
    });
    read.unwrap()
}

#[tokio::test]
async fn the_later_of_two_writes_wins_though_its_server_has_the_slower_clock() {
    for behind in [300_000_000, HOUR] {
        let pair = Pair::behind(behind + SECOND).await;
        for round in 0..20 {
            let key = format!("key-{round}");
            pair.a.write(&key, "of a");
            hear(&pair.b, pair.a_tells().await).await;
            assert_eq!(pair.b.content()[&key], "of a");
            pair.b.write(&key, "of b");
            hear(&pair.a, pair.b_tells().await).await;
            assert_eq!(pair.a.content()[&key], "of b", "at once");
        }
        for round in 0..20 {
            pair.both_end_with(&format!("key-{round}"), Some("of b")).await;
        }
    }
}

#[tokio::test]
async fn servers_that_take_turns_on_one_name_lose_no_turn() {
    let pair = Pair::behind(HOUR).await;
    for round in 0..20 {
        let value = format!("{round}");
        if round % 3 == 0 {
            pair.a.write("key", &value);
        } else {
            pair.b.write("key", &value);
        }
        hear(&pair.b, pair.a_tells().await).await;
        hear(&pair.a, pair.b_tells().await).await;
        assert_eq!(
            (&pair.a.content()["key"], &pair.b.content()["key"]),
            (&value, &value)
        );
    }
}

#[tokio::test]
async fn what_is_delivered_twice_does_not_undo_a_later_write_that_is_not_collected_yet() {
    let pair = Pair::behind(HOUR).await;
    pair.a.write("key", "of a");
    let told = pair.a_tells().await;
    hear(&pair.b, told.clone()).await;
    pair.b.write("key", "of b");
    hear(&pair.b, told).await;
    assert_eq!(pair.b.content()["key"], "of b");
    pair.both_end_with("key", Some("of b")).await;
}

#[tokio::test]
async fn a_later_write_wins_though_the_agent_is_killed_before_it_collects_it() {
    let mut pair = Pair::behind(HOUR).await;
    pair.a.write("key", "of a");
    let told = pair.a_tells().await;
    hear(&pair.b, told.clone()).await;
    pair.b.write("key", "of b");
    pair.b.restart();
    pair.b.replica.set_peers(pair.lines[1].clone());
    hear(&pair.b, told).await;
    pair.b.receive().await;
    assert_eq!(pair.b.content()["key"], "of b");
    pair.both_end_with("key", Some("of b")).await;
}

#[tokio::test]
async fn a_deletion_of_what_came_from_a_faster_clock_is_one_and_so_is_a_write_over_its_mark() {
    let pair = Pair::behind(HOUR).await;
    pair.a.write("key", "of a");
    hear(&pair.b, pair.a_tells().await).await;
    pair.b.delete("key");
    pair.both_end_with("key", None).await;
    pair.a.write("other", "of a");
    pair.a.delete("other");
    hear(&pair.b, pair.a_tells().await).await;
    pair.b.write("other", "of b");
    pair.both_end_with("other", Some("of b")).await;
}

#[tokio::test]
async fn a_write_after_the_clock_was_set_back_wins_over_the_one_before() {
    let pair = Pair::behind(0).await;
    pair.b.write("key", "before");
    let told = pair.b_tells().await;
    hear(&pair.a, told.clone()).await;
    pair.a.write("of-a", "1");
    let of_a = pair.a_tells().await;
    hear(&pair.b, of_a.clone()).await;
    pair.b.set_clock(pair.b.now() - HOUR);
    pair.b.write("key", "after");
    pair.b.write("of-a", "2");
    // The agent has not collected it when what it replaced comes once more.
    hear(&pair.b, of_a).await;
    assert_eq!(pair.b.content()["of-a"], "2");
    pair.both_end_with("key", Some("after")).await;
    pair.both_end_with("of-a", Some("2")).await;
}

#[tokio::test]
async fn of_concurrent_writes_the_newer_one_wins_as_ever() {
    let pair = Pair::behind(HOUR).await;
    pair.a.write("key", "of a");
    pair.b.write("key", "of b");
    pair.both_end_with("key", Some("of a")).await;
}

#[tokio::test]
async fn a_database_that_is_filled_anew_knows_what_is_ahead_of_its_clock() {
    let mut pair = Pair::behind(HOUR).await;
    pair.a.write("key", "of a");
    pair.calm().await;
    pair.b.wipe();
    pair.b.replica.set_peers(pair.lines[1].clone());
    pair.b.receive().await;
    pair.b.write("key", "of b");
    pair.both_end_with("key", Some("of b")).await;
}

#[tokio::test]
async fn notes_go_once_the_clock_has_passed_them_and_nothing_is_noted_that_is_not_ahead() {
    let pair = Pair::behind(HOUR).await;
    let before = noted(&pair.b).len();
    for n in 0..200 {
        pair.a.write(&format!("key-{n}"), "1");
    }
    hear(&pair.b, pair.a_tells().await).await;
    assert_eq!(noted(&pair.b).len(), before + 200);
    pair.b.set_clock(pair.a.now() + SECOND);
    for n in 0..20 {
        pair.a.write("another", &n.to_string());
        pair.b.set_clock(pair.a.now() + 1);
        hear(&pair.b, pair.a_tells().await).await;
    }
    assert_eq!(noted(&pair.b), [], "{}", pair.b.now());
}

#[tokio::test]
async fn ten_thousand_later_writes_at_once_all_win() {
    let pair = Pair::behind(HOUR).await;
    let entries = |value: &str| {
        let entries = (0..10_000).map(|n| (format!("key-{n:05}"), value.as_bytes().to_vec()));
        entries.collect::<BTreeMap<_, _>>()
    };
    pair.a.write_all(entries("of a"));
    pair.a.send().await;
    pair.b.receive().await;
    pair.b.write_all(entries("of b"));
    pair.calm().await;
    for server in [&pair.a, &pair.b] {
        let content = server.content();
        let of_b = content.values().filter(|value| *value == "of b").count();
        assert_eq!(of_b, 10_000, "on {}", server.name);
    }
}

#[tokio::test]
async fn a_later_write_is_told_though_what_it_replaced_came_after_the_state_that_was_told_last() {
    let mut pair = Pair::behind(0).await;
    let _time = pair.a.learn_the_time();
    pair.a.replica.set_peers(pair.lines[0].clone());
    pair.calm_again().await;
    let now = pair.a.now();
    // Each write lets a second pass.
    let at = |server: &Server, time: u64| server.set_clock(time - SECOND);
    at(&pair.a, now);
    pair.a.write("other", "1");
    at(&pair.b, now + 300_000_000);
    pair.b.write("key", "of b");
    hear(&pair.a, pair.b_tells().await).await;
    at(&pair.a, now + 1_000);
    pair.a.write("key", "of a");
    hear(&pair.b, pair.a_tells().await).await;
    assert_eq!(pair.b.content()["key"], "of a");
    pair.both_end_with("key", Some("of a")).await;
}
