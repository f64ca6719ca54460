//! Every result of the walk equals the full comparison of the two states, whatever was written between them.
//!
//! `ZONETIDE_WALK_CASES` sets the number of cases; a failure prints the shrunk input and the seed that finds it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Change, Changes, Meta, Tree, Version, Walk, scan_since};
use crate::lmdb::header::Header;
use crate::lmdb::{Environment, KeptReader, LmdbError, OpenOptions, Writer};

const DBIS: [&str; 4] = ["records_v5", "domains_v5", "domains_v5_0", "comments_v7"];

type State = BTreeMap<String, BTreeMap<Vec<u8>, (Header, Vec<u8>)>>;
type Entry = (Header, Vec<u8>);
/// DBI, key, what was there before, and what is there now.
type Entries = Vec<(String, Vec<u8>, Option<Entry>, Option<Entry>)>;

/// What PowerDNS, the agent, or somebody with LMDB's tools does in a transaction. Names of a zone are numbered.
#[derive(Debug, Clone)]
enum Step {
    Put {
        dbi: usize,
        zone: u8,
        name: u16,
        len: usize,
    },
    Load {
        dbi: usize,
        zone: u8,
        names: u16,
        len: usize,
    },
    Mark {
        dbi: usize,
        zone: u8,
        name: u16,
    },
    MarkZone {
        dbi: usize,
        zone: u8,
    },
    Remove {
        dbi: usize,
        zone: u8,
        name: u16,
    },
    RemoveZone {
        dbi: usize,
        zone: u8,
    },
    Thin {
        dbi: usize,
        keep: u16,
    },
    Clear {
        dbi: usize,
    },
    ManyDbis {
        from: u8,
    },
}

#[derive(Debug, Clone)]
enum Transaction {
    Commit(Vec<Step>),
    /// Leaves no trace, and its ID is used again.
    Abort(Vec<Step>),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let dbi = || 0..DBIS.len();
    let zone = || 0..6_u8;
    let name = || 0..400_u16;
    let len = || {
        prop_oneof![
            6 => 0..60_usize,
            // About the longest value inside a leaf.
            1 => 1_900..2_100_usize,
            // About one and two overflow pages.
            1 => 4_040..4_070_usize,
            1 => 8_130..8_170_usize,
            1 => 60..10_240_usize,
        ]
    };
    prop_oneof![
        10 => (dbi(), zone(), name(), len()).prop_map(|(dbi, zone, name, len)| Step::Put { dbi, zone, name, len }),
        3 => (dbi(), zone(), 1..400_u16, 0..120_usize)
            .prop_map(|(dbi, zone, names, len)| Step::Load { dbi, zone, names, len }),
        5 => (dbi(), zone(), name()).prop_map(|(dbi, zone, name)| Step::Mark { dbi, zone, name }),
        1 => (dbi(), zone()).prop_map(|(dbi, zone)| Step::MarkZone { dbi, zone }),
        4 => (dbi(), zone(), name()).prop_map(|(dbi, zone, name)| Step::Remove { dbi, zone, name }),
        2 => (dbi(), zone()).prop_map(|(dbi, zone)| Step::RemoveZone { dbi, zone }),
        1 => (dbi(), 2..40_u16).prop_map(|(dbi, keep)| Step::Thin { dbi, keep }),
        1 => dbi().prop_map(|dbi| Step::Clear { dbi }),
        1 => (0..4_u8).prop_map(|from| Step::ManyDbis { from: from * 40 }),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let steps = || prop::collection::vec(step(), 1..4);
    prop_oneof![
        12 => steps().prop_map(Transaction::Commit),
        1 => steps().prop_map(Transaction::Abort),
        1 => (0..DBIS.len()).prop_map(Transaction::Drop),
    ]
}

/// As in `records_v5`. The names of every third zone are so long that few fit on a page and trees become high.
fn key(zone: u8, name: u16) -> Vec<u8> {
    let name = if zone % 3 == 2 {
        format!("{name:0>470}\0\0")
    } else {
        format!("host{name}\0\0")
    };
    [&u32::from(zone).to_be_bytes(), name.as_bytes(), &[0, 1]].concat()
}

pub(in crate::lmdb) fn open(dir: &tempfile::TempDir) -> Arc<Environment> {
    let options = OpenOptions {
        map_size: 1 << 28,
        max_dbs: 256,
        create: true,
        no_subdir: true,
    };
    Arc::new(Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap())
}

fn keys(writer: &Writer<'_>, dbi: &crate::lmdb::Dbi, zone: Option<u8>) -> Vec<Vec<u8>> {
    let keys = dbi
        .handle
        .iter(&writer.txn)
        .unwrap()
        .map(|entry| entry.unwrap().0.to_vec());
    keys.filter(|key| zone.is_none_or(|zone| key[..4] == u32::from(zone).to_be_bytes()))
        .collect()
}

fn run(writer: &mut Writer<'_>, step: &Step, clock: &mut u64) -> Result<(), LmdbError> {
    *clock += 1;
    let now = *clock;
    match *step {
        Step::Put { dbi, zone, name, len } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            let value = vec![u8::try_from(now % 251).unwrap(); len];
            writer.put(&dbi, &key(zone, name), now, false, &value)
        }
        Step::Load {
            dbi,
            zone,
            names,
            len,
        } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            (0..names).try_for_each(|name| writer.put(&dbi, &key(zone, name), now, false, &vec![zone; len]))
        }
        Step::Mark { dbi, zone, name } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            let key = key(zone, name);
            if writer.get(&dbi, &key)?.is_some() {
                writer.put(&dbi, &key, now, true, b"")?;
            }
            Ok(())
        }
        Step::MarkZone { dbi, zone } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            let keys = keys(writer, &dbi, Some(zone));
            keys.iter()
                .try_for_each(|key| writer.put(&dbi, key, now, true, b""))
        }
        Step::Remove { dbi, zone, name } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            writer.delete(&dbi, &key(zone, name))
        }
        Step::RemoveZone { dbi, zone } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            let keys = keys(writer, &dbi, Some(zone));
            keys.iter().try_for_each(|key| writer.delete(&dbi, key))
        }
        Step::Thin { dbi, keep } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            let mut keys = keys(writer, &dbi, None);
            let mut place = 0;
            keys.retain(|_| {
                place += 1;
                place % keep != 0
            });
            keys.iter().try_for_each(|key| writer.delete(&dbi, key))
        }
        Step::Clear { dbi } => {
            let dbi = writer.dbi(DBIS[dbi])?;
            writer.dirty = true;
            dbi.handle
                .clear(&mut writer.txn)
                .map_err(|error| writer.env.fail(error.into()))
        }
        Step::ManyDbis { from } => (from..from + 30).try_for_each(|number| {
            let dbi = writer.dbi(&format!(
                "a_dbi_with_a_long_name_so_that_the_main_tree_grows_{number}"
            ))?;
            writer.put(&dbi, b"key", now, false, b"value")
        }),
    }
}

fn commit(env: &Environment, transaction: &Transaction, clock: &mut u64) {
    let mut writer = env.begin_write().unwrap();
    match transaction {
        Transaction::Commit(steps) | Transaction::Abort(steps) => {
            for step in steps {
                run(&mut writer, step, clock).unwrap();
            }
        }
        Transaction::Drop(dbi) => {
            let existing = env
                .env
                .open_database::<heed::types::Bytes, heed::types::Bytes>(&writer.txn, Some(DBIS[*dbi]));
            if let Some(handle) = existing.unwrap() {
                writer.dirty = true;
                // SAFETY: the only handle of the DBI that is used; every transaction opens its own anew.
                #[allow(unsafe_code)]
                unsafe { handle.remove(&mut writer.txn) }.unwrap();
            }
        }
    }
    if !matches!(transaction, Transaction::Abort(_)) {
        writer.commit().unwrap();
    }
}

/// All that LMDB itself reads.
fn read_all(env: &Environment) -> State {
    let reader = env.begin_read().unwrap();
    let mut state = State::new();
    for dbi in reader.dbis().unwrap() {
        let mut entries = BTreeMap::new();
        let visited = reader.for_each::<LmdbError>(&dbi, |key, header, value| {
            entries.insert(key.to_vec(), (header, value.to_vec()));
            Ok(())
        });
        visited.unwrap();
        state.insert(dbi.name.clone(), entries);
    }
    reader.finish().unwrap();
    state
}

/// The full comparison.
fn compare(old: &State, new: &State) -> (Entries, Changes) {
    let (mut entries, mut changes) = (Vec::new(), Changes::default());
    let keys = |state: &State| {
        let dbis = state.iter();
        let keys = dbis.flat_map(|(dbi, content)| content.keys().map(|key| (dbi.clone(), key.clone())));
        keys.collect::<BTreeSet<_>>()
    };
    for (dbi, key) in &keys(old) | &keys(new) {
        let entry = |state: &State| state.get(&dbi).and_then(|content| content.get(&key)).cloned();
        let (old, new) = (entry(old), entry(new));
        if new.is_none() {
            changes.gone += 1;
        } else if old != new {
            changes.entries += 1;
        }
        if old != new {
            entries.push((dbi, key, old, new));
        }
    }
    changes.new_dbis = new
        .keys()
        .filter(|dbi| !old.contains_key(*dbi))
        .cloned()
        .collect();
    let emptied = old.iter().filter(|(dbi, before)| match new.get(*dbi) {
        Some(after) => !before.is_empty() && after.is_empty(),
        None => true,
    });
    changes.emptied_dbis = emptied.map(|(dbi, _)| dbi.clone()).collect();
    (entries, changes)
}

fn collect(
    walk: impl FnOnce(&mut dyn FnMut(Change<'_>) -> Result<(), LmdbError>) -> Result<Changes, LmdbError>,
) -> (Entries, Changes) {
    let mut entries = Vec::new();
    let changes = walk(&mut |change| {
        let Change { dbi, key, old, new } = change;
        let owned = |version: Option<Version<'_>>| version.map(|it| (it.header, it.value.to_vec()));
        entries.push((dbi.to_owned(), key.to_vec(), owned(old), owned(new)));
        Ok(())
    });
    (entries, changes.unwrap())
}

/// All entries of a kept state, as its pages say now.
fn read_kept(kept: &KeptReader) -> Entries {
    let nothing = Meta {
        main: Tree::EMPTY,
        txn_id: 0,
        ..kept.state
    };
    let walk = Walk {
        path: kept.env.path(),
        file: &kept.file,
        old: &nothing,
        new: &kept.state,
    };
    collect(|visit| walk.run(visit)).0
}

fn check(before: &[Transaction], between: &[Vec<Transaction>]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir);
    let mut clock = 1_795_510_850_000_000_000;
    for transaction in before {
        commit(&env, transaction, &mut clock);
    }
    let mut kept = vec![(env.keep_reader().unwrap(), read_all(&env))];
    for transactions in between {
        for transaction in transactions {
            commit(&env, transaction, &mut clock);
        }
        let (new, state) = (env.keep_reader().unwrap(), read_all(&env));
        for (old, old_state) in &kept {
            let (entries, changes) = collect(|visit| new.changes_since(old, visit));
            let (expected, mut expected_changes) = compare(old_state, &state);
            expected_changes.pages = changes.pages;
            prop_assert_eq!(&entries, &expected);
            prop_assert_eq!(changes, expected_changes);
            let reader = env.begin_read().unwrap();
            let (scanned, _) =
                collect(|visit| scan_since(&reader, old.txn_id(), visit).map(|()| Changes::default()));
            let mut put = expected;
            put.retain(|(.., new)| new.is_some());
            for (_, _, old, _) in &mut put {
                *old = None;
            }
            prop_assert_eq!(&scanned, &put);
        }
        kept.push((new, state));
    }
    for (kept, state) in &kept {
        let (expected, _) = compare(&State::new(), state);
        prop_assert_eq!(read_kept(kept), expected);
        for dbi in DBIS {
            let content = state.get(dbi);
            prop_assert_eq!(
                kept.is_empty(dbi).unwrap(),
                content.is_none_or(BTreeMap::is_empty)
            );
            let keys = (0..6).flat_map(|zone| [0, 1, 7, 200, 399, 400].map(|name| key(zone, name)));
            for key in keys.chain([vec![], vec![0xff; 8]]) {
                let expected = content
                    .and_then(|content| content.get(&key))
                    .map(|(header, _)| *header);
                prop_assert_eq!(kept.header(dbi, &key).unwrap(), expected);
            }
        }
    }
    Ok(())
}

fn cases() -> u32 {
    let cases = std::env::var("ZONETIDE_WALK_CASES").ok();
    cases.map_or(100, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_walk_finds_what_the_full_comparison_finds(
        before in prop::collection::vec(transaction(), 0..8),
        between in prop::collection::vec(prop::collection::vec(transaction(), 0..5), 1..4),
    ) {
        check(&before, &between)?;
    }
}
