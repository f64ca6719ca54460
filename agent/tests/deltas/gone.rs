//! Entries that are gone without a deletion mark, and keys that PowerDNS cannot have meant.

use std::sync::atomic::Ordering;
use std::time::Duration;

use zonetide_agent::lmdb::header::Header;
use zonetide_agent::lmdb::{LmdbError, Writer};
use zonetide_agent::snapshot::{DbiHeader, Entry, GENERATION, Meta, SnapshotName, SnapshotWriter, entry_len};
use zonetide_agent::store::{Store as _, spool};
use zonetide_agent::sync::{Received, Sweep};

use crate::server::{DBI, SECOND, Server, Watched};
use crate::support::database_content;

const DAY: u64 = 24 * 3600 * SECOND;
/// Where keys have a form.
const RECORDS: &str = "records_v5";
const WWW: &[u8] = b"\0\0\0\x01www\0\0\0\x01";
/// As PowerDNS 4.9.18 was seen to make one.
const NO_KEY: &[u8] = b"\0\0\0\0\0\0\x04\0\xc63d";

fn change(server: &Server, change: impl FnOnce(&mut Writer<'_>) -> Result<(), LmdbError>) {
    server.env.write(change).unwrap();
}

/// Removes entries and leaves no mark.
fn lose(server: &Server, keys: &[String]) {
    change(server, |writer| {
        let dbi = writer.dbi(DBI)?;
        keys.iter()
            .try_for_each(|key| writer.delete(&dbi, key.as_bytes()))
    });
}

#[tokio::test]
async fn what_is_gone_without_a_mark_is_back_as_it_was_and_nobody_is_told_of_it() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    // More than is put back at once.
    let entries: Vec<_> = (0..1500).map(|n| (format!("{n:04}"), vec![b'v'; 3000])).collect();
    a.write_all(entries.clone());
    a.write("stays", "1");
    a.send().await;
    b.receive().await;
    let before = database_content(&a.env);

    let keys: Vec<_> = entries.into_iter().map(|(key, _)| key).collect();
    lose(&a, &keys);
    a.write("stays", "2");
    // It was made again before the agent looked.
    a.write("0007", "anew");
    let deltas = store.deltas().await.len();
    a.send().await;
    let after = database_content(&a.env);
    assert_eq!(before[DBI].len(), after[DBI].len());
    for (key, entry) in &before[DBI] {
        if key != b"stays" && key != b"0007" {
            assert_eq!(Some(entry), after[DBI].get(key), "{key:?}");
        }
    }
    assert_eq!(a.content()["0007"], "anew");
    let new = &store.deltas().await[deltas..];
    assert_eq!(new.len(), 1);
    assert!(new[0].size < 500, "{new:?}");
    b.receive().await;
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn what_came_from_others_and_is_gone_without_a_mark_is_back_too() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.write("first", "1");
    a.write("stays", "1");
    a.send().await;
    b.receive().await;
    a.write("later", "1");
    a.send().await;
    // Nothing was written here since.
    b.receive().await;
    let before = database_content(&b.env);
    lose(&b, &["first".to_owned(), "later".to_owned()]);
    b.send().await;
    assert_eq!(before[DBI], database_content(&b.env)[DBI]);
    lose(&b, &["later".to_owned()]);
    // What is merged afterwards hides nothing.
    a.write("last", "1");
    a.send().await;
    b.receive().await;
    b.send().await;
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn what_came_from_others_is_back_even_if_what_was_written_here_could_not_be_stored_since() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    b.write("own", "1");
    assert!(b.replica.send(false).await.is_err());
    store.refuses_writes.store(false, Ordering::Relaxed);
    for key in ["later", "last"] {
        a.write(key, "1");
        a.send().await;
        store.refuses_writes.store(true, Ordering::Relaxed);
        b.receive().await;
        store.refuses_writes.store(false, Ordering::Relaxed);
        lose(&b, &["later".to_owned()]);
    }
    b.send().await;
    a.receive().await;
    assert_eq!(b.content()["later"], "1");
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn what_is_gone_is_back_though_an_older_version_was_merged_where_it_was() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.receive().await;
    b.write("key", "older");
    a.pass(10 * SECOND);
    a.write("key", "newer");
    a.send().await;
    lose(&a, &["key".to_owned()]);
    b.send().await;
    a.receive().await;
    a.send().await;
    assert_eq!(a.content()["key"], "newer");
    b.receive().await;
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn what_is_gone_is_back_while_storing_is_on_hold() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    a.write("key", "1");
    a.write("stays", "1");
    // Nobody knows yet what the store has of its own.
    assert!(!a.replica.send(false).await.unwrap());
    lose(&a, &["key".to_owned()]);
    assert!(!a.replica.send(false).await.unwrap());
    assert_eq!(a.content()["key"], "1");
}

#[tokio::test]
async fn what_was_not_stored_yet_is_stored_though_it_was_lost_meanwhile() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    b.begin().await;
    a.receive().await;
    a.write("own", "1");
    b.write("other", "1");
    b.send().await;
    a.receive().await;
    lose(&a, &["own".to_owned()]);
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["own"], "1");
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn what_has_an_empty_header_since_powerdns_upgraded_the_database_is_in_the_snapshot() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    let header = Header {
        timestamp: 0,
        txn_id: 0,
        deleted: false,
    };
    change(&a, |writer| {
        let dbi = writer.dbi(DBI)?;
        writer.refill(&dbi, [(&b"old"[..], header, &b"1"[..])])
    });
    a.begin().await;
    b.receive().await;
    assert_eq!(b.content()["old"], "1");
    assert_eq!(a.content(), b.content());
}

#[tokio::test]
async fn a_mark_that_was_swept_before_it_was_stored_does_not_look_like_a_loss() {
    let store = Watched::new();
    let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.replica.set_sweep(Sweep {
        retention: Duration::from_secs(100 * 24 * 3600),
        load_cutoff: Duration::from_secs(99 * 24 * 3600),
        lock: Duration::from_millis(50),
        release: Duration::ZERO,
    });
    a.begin().await;
    a.write("deleted", "1");
    a.send().await;
    b.receive().await;
    store.refuses_writes.store(true, Ordering::Relaxed);
    a.delete("deleted");
    assert!(a.replica.send(false).await.is_err());
    a.pass(101 * DAY);
    a.replica.sweep().await.unwrap();
    store.refuses_writes.store(false, Ordering::Relaxed);
    a.send().await;
    b.receive().await;
    for server in [&a, &b] {
        assert!(!server.content().contains_key("deleted"), "{}", server.name);
    }
    // Now that it is stored it may go.
    assert_eq!(a.replica.sweep().await.unwrap(), 1);
    a.write("other", "1");
    a.send().await;
    assert!(!a.content().contains_key("deleted"));
}

#[tokio::test]
async fn a_key_that_is_none_is_removed_and_neither_sent_nor_taken() {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.begin().await;
    let now = a.now();
    change(&a, |writer| {
        let dbi = writer.dbi(RECORDS)?;
        writer.put(&dbi, WWW, now, false, b"1")?;
        writer.put(&dbi, NO_KEY, now, false, b"2")
    });
    a.send().await;
    b.receive().await;
    for server in [&a, &b] {
        let content = database_content(&server.env);
        let keys: Vec<_> = content[RECORDS].keys().collect();
        assert_eq!(keys, [WWW], "{}", server.name);
    }
}

/// What Lightning Stream, which knows nothing of keys, would store.
async fn store_theirs(store: &Watched, now: u64) {
    let meta = Meta {
        generation: GENERATION.into(),
        instance: "theirs".into(),
        timestamp: now,
        database: "main".into(),
        ..Meta::default()
    };
    let entry = |key| Entry {
        key,
        value: b"1",
        timestamp: now,
        deleted: false,
    };
    let header = DbiHeader {
        name: RECORDS.into(),
        ..DbiHeader::default()
    };
    let entries = [entry(NO_KEY), entry(WWW)];
    let mut writer = SnapshotWriter::new(spool(&std::env::temp_dir()), &meta).unwrap();
    writer
        .begin_dbi(&header, entries.iter().map(entry_len).sum())
        .unwrap();
    for entry in &entries {
        writer.entry(entry).unwrap();
    }
    let name = SnapshotName::new("main", "theirs", now).unwrap();
    store.put(name.as_str(), writer.finish().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_none_is_not_taken_from_others() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    store_theirs(&store, a.now()).await;
    a.receive().await;
    let keys: Vec<_> = database_content(&a.env)[RECORDS].keys().cloned().collect();
    assert_eq!(keys, [WWW]);
}

#[tokio::test]
async fn a_key_that_is_none_is_removed_where_it_stood_before_the_start() {
    let store = Watched::new();
    let a = Server::new("a", &store);
    let now = a.now();
    change(&a, |writer| {
        let dbi = writer.dbi(RECORDS)?;
        writer.put(&dbi, NO_KEY, now, false, b"2")?;
        writer.put(&dbi, WWW, now, false, b"1")
    });
    a.receive().await;
    // What it was may be in the store: nothing is stored before that is merged.
    assert!(!a.replica.send(false).await.unwrap());
    assert_eq!(a.replica.receive_news(false).await.unwrap(), Received::Gap);
    a.receive().await;
    a.send().await;
    let keys: Vec<_> = database_content(&a.env)[RECORDS].keys().cloned().collect();
    assert_eq!(keys, [WWW]);
}

#[tokio::test]
async fn what_is_removed_of_a_table_that_was_damaged_before_the_start_is_not_put_back_from_the_state_at_the_start()
 {
    let store = Watched::new();
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    let put = |server: &Server, keys: &[&[u8]], value: u8| {
        let now = server.now();
        change(server, |writer| {
            let dbi = writer.dbi(RECORDS)?;
            keys.iter()
                .try_for_each(|key| writer.put(&dbi, key, now, false, &[value; 3000]))
        });
    };
    put(&b, &[WWW], b'1');
    b.receive().await;
    b.send().await;
    a.pass(SECOND);
    put(&a, &[NO_KEY, WWW], b'2');
    a.replica.look_at_the_clock().await;
    a.receive().await;
    for _ in 0..2 {
        assert!(!a.replica.send(false).await.unwrap());
    }
    a.receive().await;
    a.send().await;
    b.receive().await;
    for server in [&a, &b] {
        let content = database_content(&server.env);
        let (_, _, value) = &content[RECORDS][WWW];
        assert_eq!(value[0], b'1', "{}", server.name);
        assert_eq!(content[RECORDS].len(), 1);
    }
}
