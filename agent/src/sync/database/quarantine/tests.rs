use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::lmdb::OpenOptions;
use crate::lmdb::header::Header;
use crate::snapshot::MAX_KEY_LEN;

const DBI: &str = "records_v5";
const LIMIT: u64 = 1_000;

fn open(dir: &Path) -> Environment {
    let options = OpenOptions::of_a_new_file(32 << 20);
    Environment::open(&dir.join("pdns.lmdb"), &options).unwrap()
}

fn entry<'a>(key: &'a [u8], timestamp: u64, value: &'a [u8]) -> Entry<'a> {
    Entry {
        key,
        value,
        timestamp,
        deleted: false,
    }
}

fn guard(env: &Environment, sender: &str, now: u64) -> Guard {
    Guard::new(LIMIT, (now, now), sender, Some(&look(env).unwrap()))
}

/// Keeps entries of a sender, and returns what came of it.
fn keep(env: &Environment, sender: &str, now: u64, entries: &[Entry<'_>]) -> LeftOut {
    let mut guard = guard(env, sender, now);
    for entry in entries {
        assert!(guard.is_ahead(entry.timestamp));
        assert!(guard.hold(DBI, entry, None));
    }
    guard.write(env).unwrap();
    guard.left_out
}

/// What comes of an entry of a sender that is merged.
fn merge(env: &Environment, sender: &str, entry: &Entry<'_>) -> u64 {
    let mut guard = guard(env, sender, LIMIT);
    env.read::<_, LmdbError>(|reader| guard.has_kept(reader, DBI, entry))
        .unwrap();
    guard.write(env).unwrap();
    guard.left_out.given_up
}

#[test]
fn the_newest_of_each_key_is_kept_with_who_sent_it_first() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(dir.path());
    assert_eq!(look(&env).unwrap(), Summary::default());
    assert_eq!(keep(&env, "a", 10, &[entry(b"k", 2_000, b"1")]).kept, 1);
    assert_eq!(keep(&env, "b", 20, &[entry(b"k", 1_999, b"2")]).kept, 0);
    assert_eq!(
        keep(&env, "b", 20, &[entry(b"k", 2_000, b"1")]).kept,
        0,
        "the same"
    );
    assert_eq!(
        keep(
            &env,
            "b",
            30,
            &[entry(b"k", 2_001, b"3"), entry(b"l", 3_000, b"")]
        )
        .kept,
        2
    );
    let summary = look(&env).unwrap();
    assert_eq!((summary.entries, summary.earliest), (2, Some(2_001)));
    assert_eq!(summary.senders, [("b".to_owned(), 2)].into());
    let all = ripe(&env, 2_500, usize::MAX, true).unwrap().merge;
    assert_eq!(all.len(), 1);
    let (dbi, kept) = all[0].dbi_and_entry().unwrap();
    assert_eq!((dbi, kept), (DBI, entry(b"k", 2_001, b"3")));
    take_out(&env, &ripe(&env, u64::MAX, usize::MAX, true).unwrap()).unwrap();
    assert_eq!(look(&env).unwrap(), Summary::default());
}

#[test]
fn only_what_the_same_writer_wrote_later_or_gave_another_time_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(dir.path());
    let kept = entry(b"k", 2_000, b"1");
    keep(&env, "a", 500, &[kept]);
    assert_eq!(merge(&env, "b", &entry(b"k", 600, b"2")), 0, "of another");
    assert_eq!(merge(&env, "a", &entry(b"k", 500, b"2")), 0, "it may be older");
    assert_eq!(merge(&env, "a", &entry(b"l", 600, b"2")), 0, "another key");
    assert_eq!(merge(&env, "a", &entry(b"k", 501, b"2")), 1);
    keep(&env, "a", 500, &[entry(b"same", 2_000, b"1")]);
    assert_eq!(
        merge(&env, "a", &entry(b"same", 400, b"1")),
        1,
        "the same, at another time"
    );
    let summary = look(&env).unwrap();
    assert_eq!((summary.entries, summary.given_up), (0, 2));
    // Whoever has them yet shows them once more.
    assert_eq!(keep(&env, "b", 900, &[kept]).kept, 0);
    let ripe = ripe(&env, u64::MAX, usize::MAX, true).unwrap();
    assert_eq!(ripe.given_up.len(), 2);
    assert_eq!(ripe.given_up[1].since, 400, "it was written by then");
}

#[test]
fn a_database_that_knows_no_quarantine_gets_none_and_one_byte_too_many_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(dir.path());
    assert_eq!(merge(&env, "a", &entry(b"k", 1, b"")), 0);
    assert_eq!(env.last_txn_id(), 0);
    let mut guard = guard(&env, "a", 0);
    let longest = MAX_KEY_LEN - DBI.len() - 1;
    assert!(guard.hold(DBI, &entry(&vec![1; longest], 2_000, b""), None));
    assert!(!guard.hold(DBI, &entry(&vec![1; longest + 1], 2_000, b""), None));
}

proptest! {
    #[test]
    fn whatever_is_kept_is_read_back(
        key in prop::collection::vec(any::<u8>(), 1..40),
        value in prop::collection::vec(any::<u8>(), 0..60),
        sender in "[a-z0-9-]{0,300}",
        (timestamp, since, deleted) in (any::<u64>(), any::<u64>(), any::<bool>()),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let env = open(dir.path());
        let value = if deleted { Vec::new() } else { value };
        let mut kept = Kept { key: key_of(DBI, &key).unwrap(), timestamp, deleted, value, sender, since, is_given_up: false };
        env.write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi(QUARANTINE_DBI)?;
            kept.write(writer, &dbi)
        }).unwrap();
        kept.sender.truncate(255);
        prop_assert_eq!(ripe(&env, u64::MAX, usize::MAX, true).unwrap().merge, [kept]);
    }

    #[test]
    fn what_is_damaged_is_passed_over(value in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Kept::read(b"records_v5\0k", Header { timestamp: 1, txn_id: 1, deleted: false }, &value);
    }
}
