//! Filling an empty database that nobody else has open gives what merging gives, whatever is in the snapshot.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Content, database_content, open};
use zonetide_agent::lmdb::{Environment, LmdbError};
use zonetide_agent::snapshot::{DbiHeader, Entry, Meta, Snapshot, SnapshotWriter, entry_len};
use zonetide_agent::store::spool;
use zonetide_agent::sync::{Merged, merge};

/// Key, time and value; an empty value is a deletion.
type Entries<'a> = &'a [(&'a [u8], u64, &'a [u8])];

/// A snapshot of DBIs in this order.
fn snapshot(dbis: &[(&str, Entries<'_>)]) -> Snapshot {
    let mut writer = SnapshotWriter::new(spool(&std::env::temp_dir()), &Meta::default()).unwrap();
    for (name, entries) in dbis {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, timestamp, value)| Entry {
                key,
                value,
                timestamp: *timestamp,
                deleted: value.is_empty(),
            })
            .collect();
        let header = DbiHeader {
            name: (*name).to_owned(),
            ..DbiHeader::default()
        };
        writer
            .begin_dbi(&header, entries.iter().map(entry_len).sum())
            .unwrap();
        for entry in &entries {
            writer.entry(entry).unwrap();
        }
    }
    Snapshot::open(writer.finish().unwrap()).unwrap()
}

fn filled(dbis: &[(&str, Entries<'_>)], prepare: impl FnOnce(&Environment)) -> (Merged, Content) {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("pdns.lmdb"));
    assert!(env.is_alone());
    prepare(&env);
    let merged = merge(&env, &mut snapshot(dbis), 100).unwrap();
    // The last one is that of the file, and none is lost.
    assert_eq!(
        merged.txn_ids.last().copied().unwrap_or_default(),
        env.last_txn_id()
    );
    (merged, database_content(&env))
}

fn values(content: &Content, dbi: &str) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
    content[dbi]
        .iter()
        .map(|(key, (timestamp, _, value))| (key.clone(), *timestamp, value.clone()))
        .collect()
}

#[test]
fn several_dbis_are_filled_in_one_transaction_and_old_marks_are_left_out() {
    let (merged, content) = filled(
        &[
            ("domains", &[(b"a", 200, b"1"), (b"b", 200, b"2")]),
            ("empty_v5", &[]),
            (
                "records",
                &[
                    (b"a", 99, b""),
                    (b"b", 101, b""),
                    (b"c", 1, b"old"),
                    (b"d", 200, b"4"),
                ],
            ),
        ],
        |_| {},
    );
    // One transaction for all entries, and one for the DBI that has none.
    assert_eq!((merged.entries, merged.written, merged.txn_ids.len()), (6, 5, 2));
    assert_eq!(
        values(&content, "domains"),
        [
            (b"a".to_vec(), 200, b"1".to_vec()),
            (b"b".to_vec(), 200, b"2".to_vec())
        ]
    );
    assert!(content["empty_v5"].is_empty());
    assert_eq!(
        values(&content, "records"),
        [
            (b"b".to_vec(), 101, b"".to_vec()),
            (b"c".to_vec(), 1, b"old".to_vec()),
            (b"d".to_vec(), 200, b"4".to_vec())
        ]
    );
}

#[test]
fn a_snapshot_out_of_order_or_with_a_key_twice_is_merged_all_the_same() {
    let (_, content) = filled(
        &[
            (
                "records",
                &[
                    (b"b", 200, b"old"),
                    (b"a", 200, b"1"),
                    (b"b", 201, b"new"),
                    (b"b", 199, b"older"),
                    (b"c", 200, b"3"),
                ],
            ),
            ("domains", &[(b"z", 200, b"9")]),
            ("records", &[(b"a", 300, b"again"), (b"d", 200, b"4")]),
        ],
        |_| {},
    );
    assert_eq!(
        values(&content, "records"),
        [
            (b"a".to_vec(), 300, b"again".to_vec()),
            (b"b".to_vec(), 201, b"new".to_vec()),
            (b"c".to_vec(), 200, b"3".to_vec()),
            (b"d".to_vec(), 200, b"4".to_vec())
        ]
    );
    assert_eq!(values(&content, "domains"), [(b"z".to_vec(), 200, b"9".to_vec())]);
}

#[test]
fn a_dbi_with_entries_is_compared_while_the_empty_one_beside_it_is_filled() {
    let (merged, content) = filled(
        &[
            ("a_empty", &[(b"a", 200, b"1")]),
            (
                "b_there",
                &[(b"a", 200, b"loses"), (b"b", 200, b"wins"), (b"z", 200, b"comes")],
            ),
            ("c_empty", &[(b"c", 200, b"3")]),
        ],
        |env| {
            env.write::<(), LmdbError>(|writer| {
                let dbi = writer.dbi("b_there")?;
                writer.put(&dbi, b"a", 300, false, b"stays")?;
                writer.put(&dbi, b"b", 100, false, b"goes")?;
                writer.put(&dbi, b"c", 100, false, b"only here")?;
                writer.dbi("a_empty")?;
                Ok(())
            })
            .unwrap();
        },
    );
    assert_eq!(merged.written, 4);
    assert_eq!(values(&content, "a_empty"), [(b"a".to_vec(), 200, b"1".to_vec())]);
    assert_eq!(
        values(&content, "b_there"),
        [
            (b"a".to_vec(), 300, b"stays".to_vec()),
            (b"b".to_vec(), 200, b"wins".to_vec()),
            (b"c".to_vec(), 100, b"only here".to_vec()),
            (b"z".to_vec(), 200, b"comes".to_vec())
        ]
    );
    assert_eq!(values(&content, "c_empty"), [(b"c".to_vec(), 200, b"3".to_vec())]);
}
