//! Snapshots and databases written by the real Lightning Stream: we read what it wrote, and merge as it did.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use support::{
    Content, Version, database_content, golden_dir, golden_names, golden_snapshot, open, snapshot_content,
};
use zonetide_agent::content::is_possible;
use zonetide_agent::snapshot::{Snapshot, SnapshotName};
use zonetide_agent::sync::{dump, merge};

fn all_golden_names() -> Vec<String> {
    [golden_names("main"), golden_names("shard")].concat()
}

/// What Lightning Stream's own `snapshots dump` says of a snapshot.
struct Dumped {
    head: serde_json::Value,
    content: Content,
}

fn read_dump(name: &str) -> Dumped {
    let text = std::fs::read_to_string(golden_dir().join(format!("{name}.dump.txt"))).unwrap();
    let (head, body) = text.split_once("\n}\n").unwrap();
    let mut content = Content::new();
    let mut dbi = String::new();
    for line in body.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("### ") {
            let (name, attributes) = rest.split_once(" (").unwrap();
            assert_eq!(attributes, r#"transform="", flags="")"#);
            dbi = name.to_owned();
            content.insert(dbi.clone(), BTreeMap::new());
        } else {
            let (key, version) = read_line(line);
            content.get_mut(&dbi).unwrap().insert(key, version);
        }
    }
    Dumped {
        head: serde_json::from_str(&format!("{head}}}")).unwrap(),
        content,
    }
}

/// `key [hex]  =  value [hex]  (time, age; flags=NN)`; one long key of plain text comes without its hex.
fn read_line(line: &str) -> (Vec<u8>, Version) {
    let (entry, remark) = line.rsplit_once("  (").unwrap();
    let plain = "schemaversion";
    let (key, value) = match entry.strip_prefix(&format!("{plain}  =  ")) {
        Some(value) => (plain.as_bytes().to_vec(), value),
        None => {
            let (key, value) = entry.split_once("]  =  ").unwrap();
            (hex(&key[key.rfind('[').unwrap() + 1..]), value)
        }
    };
    let value = hex(value[value.rfind('[').unwrap() + 1..].trim_end_matches(']'));
    let time = remark.split(" +0000").next().unwrap().replace(' ', "T") + "Z";
    let time: jiff::Timestamp = time.parse().unwrap();
    let deleted = match remark.rsplit_once("flags=").unwrap().1 {
        "00)" => false,
        "01)" => true,
        other => panic!("unknown flags {other}"),
    };
    (key, (time.as_nanosecond().try_into().unwrap(), deleted, value))
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn every_golden_snapshot_decodes_to_its_dump() {
    for name in all_golden_names() {
        let (mut snapshot, dumped) = (golden_snapshot(&name), read_dump(&name));
        let outline = snapshot.outline().clone();
        let meta = &outline.meta;
        assert_eq!(dumped.head["FormatVersion"], outline.format_version, "{name}");
        assert_eq!(dumped.head["CompatVersion"], outline.compat_version, "{name}");
        assert_eq!(dumped.head["Meta"]["GenerationID"], *meta.generation, "{name}");
        assert_eq!(dumped.head["Meta"]["InstanceID"], *meta.instance, "{name}");
        assert_eq!(dumped.head["Meta"]["Hostname"], *meta.hostname, "{name}");
        assert_eq!(dumped.head["Meta"]["LmdbTxnID"], meta.lmdb_txn_id, "{name}");
        assert_eq!(dumped.head["Meta"]["TimestampNano"], meta.timestamp, "{name}");
        assert_eq!(dumped.head["Meta"]["DatabaseName"], *meta.database, "{name}");
        assert_eq!(
            dumped.head["Meta"]["FromLmdbTxnID"], meta.from_lmdb_txn_id,
            "{name}"
        );
        assert_eq!(
            SnapshotName::parse(&name).unwrap().timestamp(),
            meta.timestamp,
            "{name}"
        );
        assert_eq!(snapshot_content(&mut snapshot), dumped.content, "{name}");
    }
}

#[test]
fn every_golden_snapshot_goes_through_a_database_and_comes_out_the_same() {
    for name in all_golden_names() {
        let mut golden = golden_snapshot(&name);
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir.path().join("lmdb"));
        let merged = merge(&env, &mut golden, 0).unwrap();
        assert_eq!(merged.written, merged.entries, "{name}");
        let meta = golden.outline().meta.clone();
        let mut ours = Snapshot::open(dump(&env, &meta).unwrap().object).unwrap();
        assert_eq!(
            snapshot_content(&mut ours),
            snapshot_content(&mut golden),
            "{name}"
        );
        let (mut outline, golden) = (ours.outline().clone(), golden.outline());
        outline.meta.lmdb_txn_id = golden.meta.lmdb_txn_id;
        assert_eq!(outline.meta, golden.meta, "{name}");
        assert_eq!((outline.format_version, outline.compat_version), (3, 1), "{name}");
        // The same fields in the same order: only the transaction ID may take more or fewer bytes.
        assert!(
            outline.raw_len.abs_diff(golden.raw_len) <= 1,
            "{name}: {} bytes",
            outline.raw_len
        );
    }
}

#[test]
fn merging_a_second_time_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    for _ in 0..2 {
        for name in golden_names("main") {
            merge(&env, &mut golden_snapshot(&name), 0).unwrap();
        }
    }
    let last = env.last_txn_id();
    for name in golden_names("main") {
        let merged = merge(&env, &mut golden_snapshot(&name), 0).unwrap();
        assert_eq!((merged.txn_ids, merged.written), (vec![], 0), "{name}");
    }
    assert_eq!(env.last_txn_id(), last);
}

/// All orders of `names` that a rotation and a reversal give: each snapshot comes first and last once.
fn orders(names: &[String]) -> Vec<Vec<String>> {
    let mut orders = Vec::new();
    for shift in 0..names.len() {
        let mut order = names.to_vec();
        order.rotate_left(shift);
        orders.push(order.clone());
        order.reverse();
        orders.push(order);
    }
    orders
}

#[test]
fn merging_all_snapshots_in_any_order_gives_the_databases_that_lightning_stream_made() {
    for (database, file) in [("main", "pdns.lmdb"), ("shard", "pdns.lmdb-0")] {
        let golden = |instance: &str| {
            // A copy: opening makes a lock file beside it.
            let dir = tempfile::tempdir().unwrap();
            let copy = dir.path().join(file);
            std::fs::copy(golden_dir().join(instance).join(file), &copy).unwrap();
            database_content(&open(&copy))
        };
        let expected = golden("lmdb-a");
        assert_eq!(expected, golden("lmdb-b"), "{database}");
        assert!(
            expected
                .values()
                .flat_map(BTreeMap::values)
                .any(|(_, deleted, _)| *deleted)
        );
        for order in orders(&golden_names(database)) {
            let dir = tempfile::tempdir().unwrap();
            let env = open(&dir.path().join("lmdb"));
            for name in &order {
                merge(&env, &mut golden_snapshot(name), 0).unwrap();
            }
            assert_eq!(database_content(&env), expected, "{order:?}");
        }
    }
}

#[test]
fn every_key_that_powerdns_wrote_is_one_that_it_can_have_meant() {
    let mut keys = 0;
    for name in all_golden_names() {
        for (dbi, entries) in snapshot_content(&mut golden_snapshot(&name)) {
            for key in entries.keys() {
                assert!(is_possible(&dbi, key), "{dbi} {key:?}");
                keys += 1;
            }
        }
    }
    assert!(keys > 30, "{keys}");
}
