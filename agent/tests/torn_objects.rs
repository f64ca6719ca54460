//! Objects that are no sound snapshots: each is an error that names the trouble, and nothing of it is merged.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::{Read as _, Write as _};
use support::{
    database_content, golden_names, golden_object, golden_snapshot, open, snapshot_content, spooled,
};
use zonetide_agent::snapshot::{DecodeError, MAX_DBIS, MAX_ENTRY_LEN, Snapshot};
use zonetide_agent::sync::merge;

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(message).unwrap();
    out.finish().unwrap()
}

fn gunzip(object: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    GzDecoder::new(object).read_to_end(&mut message).unwrap();
    message
}

fn largest() -> Vec<u8> {
    golden_names("main")
        .iter()
        .map(|name| golden_object(name))
        .max_by_key(Vec::len)
        .unwrap()
}

/// Calls the decoder as the agent does: open, then read every entry.
fn read(object: &[u8]) -> Result<u64, DecodeError> {
    let mut entries = 0;
    Snapshot::open(spooled(object))?.for_each_entry(|_, _| {
        entries += 1;
        Ok::<(), DecodeError>(())
    })?;
    Ok(entries)
}

#[test]
fn an_object_cut_at_any_byte_is_an_error() {
    let object = largest();
    assert!(read(&object).is_ok());
    for len in 1..object.len() {
        assert!(read(&object[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn an_object_with_any_byte_changed_never_passes_for_another_snapshot() {
    let object = largest();
    let good = snapshot_content(&mut Snapshot::open(spooled(&object)).unwrap());
    for at in 0..object.len() {
        let mut changed = object.clone();
        changed[at] ^= 0x40;
        // A few bits carry nothing: gzip's time and system, and padding inside; all else is under its checksum.
        if let Ok(mut snapshot) = Snapshot::open(spooled(&changed)) {
            assert_eq!(snapshot_content(&mut snapshot), good, "byte {at}");
        }
    }
}

#[test]
fn the_version_decides_who_may_read() {
    let reason = |message: &[u8]| read(&gzip(message)).unwrap_err();
    assert!(matches!(reason(&[]), DecodeError::NoVersion));
    assert!(matches!(reason(&[0x20, 0x01]), DecodeError::NoVersion));
    assert!(matches!(
        reason(&[0x08, 0x09, 0x20, 0x04]),
        DecodeError::TooNew(4)
    ));
    assert_eq!(read(&gzip(&[0x08, 0x09, 0x20, 0x03])).unwrap(), 0);
}

#[test]
fn in_format_1_an_empty_value_is_a_deletion() {
    // A DBI "d" with the key "k" and no value.
    let dbi = [0x1a, 0x08, 0x0a, 0x01, b'd', 0x12, 0x03, 0x0a, 0x01, b'k'];
    for (version, deleted) in [(1, true), (2, false), (3, false)] {
        let mut snapshot = Snapshot::open(spooled(&gzip(&[&[0x08, version][..], &dbi].concat()))).unwrap();
        let mut marks = Vec::new();
        let read = snapshot.for_each_entry(|_, entry| {
            marks.push(entry.deleted);
            Ok::<(), DecodeError>(())
        });
        read.unwrap();
        assert_eq!(marks, [deleted], "format {version}");
    }
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_passed_over() {
    // The entries of the DBI before its name; meta, an unknown field and the version after the DBI.
    let message = [
        &[0x1a, 0x08, 0x12, 0x03, 0x0a, 0x01, b'k', 0x0a, 0x01, b'd'][..],
        &[0x12, 0x03, 0x12, 0x01, b'i'],
        &[0xaa, 0x06, 0x02, 0xff, 0xff],
        &[0x08, 0x03],
    ]
    .concat();
    let mut snapshot = Snapshot::open(spooled(&gzip(&message))).unwrap();
    assert_eq!(snapshot.outline().meta.instance, "i");
    let mut seen = Vec::new();
    let read = snapshot.for_each_entry(|dbi, entry| {
        seen.push((dbi.header.name.clone(), entry.key.to_vec()));
        Ok::<(), DecodeError>(())
    });
    read.unwrap();
    assert_eq!(seen, [("d".to_owned(), b"k".to_vec())]);
}

#[test]
fn huge_lengths_foreign_flags_and_transforms_are_named() {
    let with_dbi = |dbi: &[u8]| {
        let mut message = vec![0x08, 0x03, 0x1a, u8::try_from(dbi.len()).unwrap()];
        message.extend(dbi);
        read(&gzip(&message)).unwrap_err().to_string()
    };
    let flags = with_dbi(&[0x0a, 0x01, b'd', 0x18, 0x04]);
    assert!(flags.contains("\"d\"") && flags.contains("0x4"), "{flags}");
    let transform = with_dbi(&[0x0a, 0x01, b'd', 0x22, 0x01, b'x']);
    assert!(transform.contains("transform"), "{transform}");
    let length = with_dbi(&[0x0a, 0x01, b'd', 0x12, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(length.contains("an entry of"), "{length}");
    let no_key = with_dbi(&[0x0a, 0x01, b'd', 0x12, 0x02, 0x20, 0x01]);
    assert!(no_key.contains("empty key"), "{no_key}");
    let no_name = with_dbi(&[0x12, 0x03, 0x0a, 0x01, b'k']);
    assert!(no_name.contains("no name of a DBI"), "{no_name}");
}

#[test]
fn what_would_fill_the_memory_is_refused_before_it_does() {
    let reason = |message: &[u8]| read(&gzip(&[&[0x08, 0x03], message].concat())).unwrap_err();
    // An empty DBI is two bytes, and a thousand of them one when compressed. That they have no names either is not
    // noticed before all of them are read.
    assert!(matches!(
        reason(&[0x1a, 0x00].repeat(MAX_DBIS + 1)),
        DecodeError::DbiCount
    ));
    assert!(matches!(
        reason(&[0x1a, 0x00].repeat(MAX_DBIS)),
        DecodeError::DbiName(_)
    ));
    for field in [0x0a, 0x22] {
        // A DBI of 515 bytes: a name, or a transform, of 512.
        let long = [&[0x1a, 0x83, 0x04, field, 0x80, 0x04][..], &[b'n'; 512]].concat();
        assert!(matches!(reason(&long), DecodeError::TooLong { len: 512, .. }));
    }
    // An entry of 16 MiB and 128 bytes.
    let entry = [0x1a, 0x85, 0x81, 0x80, 0x08, 0x12, 0x80, 0x81, 0x80, 0x08];
    assert!(matches!(
        reason(&[&entry[..], &vec![0; (16 << 20) + 128]].concat()),
        DecodeError::TooLong {
            max: MAX_ENTRY_LEN,
            ..
        }
    ));
}

#[test]
fn a_torn_object_changes_nothing_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    merge(&env, &mut golden_snapshot(&golden_names("main")[0]), 0).unwrap();
    let (before, txn) = (database_content(&env), env.last_txn_id());
    let object = largest();
    assert!(Snapshot::open(spooled(&object[..object.len() - 9])).is_err());
    assert_eq!((database_content(&env), env.last_txn_id()), (before, txn));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mangled_messages_are_errors_or_snapshots_and_never_a_crash(
        name in prop::sample::select([golden_names("main"), golden_names("shard")].concat()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut message = gunzip(&golden_object(&name));
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        let _ = read(&gzip(&message));
    }
}
