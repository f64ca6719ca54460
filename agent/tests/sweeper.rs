//! The sweeper removes old deletion marks and nothing else, and merges do not bring them back.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{database_content, open};
use zonetide_agent::lmdb::{Environment, LmdbError};
use zonetide_agent::snapshot::{Meta, Snapshot};
use zonetide_agent::sync::{QUARANTINE_DBI, Sweep, dump, merge, sweep};

const DAY: u64 = 86_400_000_000_000;
const NOW: u64 = 1_000 * DAY;
const RULES: Sweep = Sweep {
    retention: Duration::from_secs(100 * 86_400),
    load_cutoff: Duration::from_secs(99 * 86_400),
    lock: Duration::from_millis(1),
    release: Duration::ZERO,
};

fn put(env: &Environment, entries: impl Iterator<Item = (Vec<u8>, u64, bool)>) {
    env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi("records")?;
        for (key, timestamp, deleted) in entries {
            writer.put(&dbi, &key, timestamp, deleted, if deleted { b"" } else { b"v" })?;
        }
        Ok(())
    })
    .unwrap();
}

fn keys(env: &Environment) -> Vec<Vec<u8>> {
    database_content(env)["records"].keys().cloned().collect()
}

#[test]
fn only_old_marks_go() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    let entries = [
        ("old mark", NOW - 101 * DAY, true),
        ("young mark", NOW - 100 * DAY, true),
        ("old record", NOW - 900 * DAY, false),
        ("mark of the future", NOW + DAY, true),
    ];
    put(
        &env,
        entries
            .into_iter()
            .map(|(key, time, deleted)| (key.into(), time, deleted)),
    );
    assert_eq!(
        sweep(&env, &RULES, RULES.cutoff(NOW), u64::MAX).unwrap().removed,
        1
    );
    assert_eq!(
        keys(&env),
        [&b"mark of the future"[..], b"old record", b"young mark"]
    );
    let last = env.last_txn_id();
    assert_eq!(
        sweep(&env, &RULES, RULES.cutoff(NOW), u64::MAX).unwrap().txn_ids,
        Vec::<u64>::new()
    );
    assert_eq!(env.last_txn_id(), last);
}

#[test]
fn a_mark_stays_under_whose_key_something_is_kept_for_when_its_time_comes() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    let marks = ["kept", "other"].map(|key| (key.into(), NOW - 101 * DAY, true));
    put(&env, marks.into_iter());
    env.write::<(), LmdbError>(|writer| {
        let quarantine = writer.dbi(QUARANTINE_DBI)?;
        writer.put(&quarantine, b"records\0kept", NOW + DAY, false, b"")
    })
    .unwrap();
    let swept = sweep(&env, &RULES, RULES.cutoff(NOW), u64::MAX).unwrap();
    assert_eq!(swept.removed, 1);
    assert_eq!(keys(&env), [b"kept"]);
}

#[test]
fn many_marks_go_in_many_short_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    // Marks and records by turns, more than one batch of the sweeper.
    put(
        &env,
        (0..50_000_u32).map(|i| (i.to_be_bytes().to_vec(), DAY, i % 2 == 0)),
    );
    let swept = sweep(&env, &RULES, RULES.cutoff(NOW), u64::MAX).unwrap();
    assert_eq!(swept.removed, 25_000);
    assert!(swept.txn_ids.len() > 2, "{} transactions", swept.txn_ids.len());
    assert_eq!(keys(&env).len(), 25_000);
}

#[test]
fn a_mark_that_was_swept_does_not_come_back_but_a_young_one_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")), open(&dir.path().join("b")));
    let entries = [
        ("swept", NOW - 101 * DAY, true),
        ("soon", NOW - 99 * DAY - 1, true),
        ("young", NOW, true),
    ];
    put(
        &a,
        entries
            .into_iter()
            .map(|(key, time, deleted)| (key.into(), time, deleted)),
    );
    // Known here with an older value: the mark must still win.
    put(&b, [(b"swept".to_vec(), 1, false)].into_iter());
    let mut snapshot = Snapshot::open(dump(&a, &Meta::default()).unwrap().object).unwrap();
    merge(&b, &mut snapshot, RULES.oldest_mark(NOW)).unwrap();
    let content = &database_content(&b)["records"];
    assert_eq!(content.keys().collect::<Vec<_>>(), [&b"swept"[..], b"young"]);
    assert!(content[&b"swept"[..]].1);
}
