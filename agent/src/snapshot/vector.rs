//! Version vectors: what the writer of an object had of the other instances, in fields of Meta that Lightning Stream passes over.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::DecodeError;
use super::wire::{BYTES, FIXED64, VARINT, WireReader, write_bytes, write_fixed64, write_uint};

/// What an instance had of another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Had {
    /// The state of the other one up to which all that it wrote is here, ns since the epoch.
    pub time: u64,
    /// The schema of its PowerDNS database; 0 where it is not known.
    pub schema: u32,
    /// Its own objects may go: the delta of the same state has told all who follow the writer's deltas to read this snapshot if they
    /// lack some of it.
    pub goes: bool,
    /// The version of our rules that it follows; 0 where that is not known.
    pub version: u64,
}

/// By instance, in the form of object names.
pub type Vector = BTreeMap<String, Had>;

/// Longest name of an instance that is taken, bytes.
const MAX_NAME_LEN: u64 = 1 << 10;

/// An entry of a vector as a message.
pub(super) fn write_had(instance: &str, had: Had) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    write_bytes(&mut message, 1, instance.as_bytes())?;
    write_fixed64(&mut message, 2, had.time)?;
    write_uint(&mut message, 3, had.schema.into())?;
    write_uint(&mut message, 4, had.goes.into())?;
    write_uint(&mut message, 5, had.version)?;
    Ok(message)
}

/// Reads what [`write_had`] wrote. Fields of later versions are passed over.
pub(super) fn read_had(message: &[u8]) -> Result<(String, Had), DecodeError> {
    let (mut instance, mut had) = (String::new(), Had::default());
    let mut reader = WireReader::new(message);
    while !reader.at_end()? {
        match reader.tag()? {
            (1, BYTES) => instance = reader.text("an instance", MAX_NAME_LEN)?,
            (2, FIXED64) => had.time = reader.fixed64()?,
            (3, VARINT) => had.schema = u32::try_from(reader.varint()?).unwrap_or(u32::MAX),
            (4, VARINT) => had.goes = reader.varint()? != 0,
            (5, VARINT) => had.version = reader.varint()?,
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    Ok((instance, had))
}

/// States of an instance as a message.
pub(super) fn write_states(instance: &str, states: &BTreeSet<u64>) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    write_bytes(&mut message, 1, instance.as_bytes())?;
    for state in states {
        write_fixed64(&mut message, 2, *state)?;
    }
    Ok(message)
}

/// Reads what [`write_states`] wrote.
pub(super) fn read_states(message: &[u8]) -> Result<(String, BTreeSet<u64>), DecodeError> {
    let (mut instance, mut states) = (String::new(), BTreeSet::new());
    let mut reader = WireReader::new(message);
    while !reader.at_end()? {
        match reader.tag()? {
            (1, BYTES) => instance = reader.text("an instance", MAX_NAME_LEN)?,
            (2, FIXED64) => drop(states.insert(reader.fixed64()?)),
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    Ok((instance, states))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::{DeltaWriter, Entry, Meta, Snapshot, ZONETIDE_VERSION, meta_of_start};
    use crate::store::spool;

    fn meta(vector: Vector, adopted: BTreeMap<String, BTreeSet<u64>>) -> Meta {
        Meta {
            instance: "a".to_owned(),
            zonetide: ZONETIDE_VERSION,
            vector,
            adopted,
            ..Meta::default()
        }
    }

    /// An object with so many entries.
    fn object(meta: &Meta, entries: u32) -> Vec<u8> {
        let folder = std::env::temp_dir();
        let mut writer = DeltaWriter::new(spool(&folder), meta).unwrap();
        for number in 0..entries {
            let entry = Entry {
                key: &number.to_be_bytes(),
                value: b"a value",
                timestamp: number.into(),
                deleted: false,
            };
            writer.entry("records_v5", &entry).unwrap();
        }
        let mut object = writer.finish().unwrap();
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut object).unwrap();
        object.read_to_end(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            vector in proptest::collection::btree_map("[a-z.-]{1,20}", (any::<u64>(), any::<u32>(), any::<bool>(), any::<u64>()), 0..20),
            adopted in proptest::collection::btree_map(
                "[a-z.-]{1,20}", proptest::collection::btree_set(1..u64::MAX, 0..50), 0..5
            ),
        ) {
            let had = |(time, schema, goes, version)| Had { time, schema, goes, version };
            let vector = vector.into_iter().map(|(instance, it)| (instance, had(it))).collect();
            let meta = meta(vector, adopted);
            let object = object(&meta, 0);
            prop_assert_eq!(&meta_of_start(&object).unwrap(), &meta);
            let mut file = spool(&std::env::temp_dir());
            file.write_all(&object).unwrap();
            let read = Snapshot::open(file).unwrap();
            prop_assert_eq!(&read.outline().meta, &meta);
        }

        #[test]
        fn nothing_that_is_no_vector_makes_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read_had(&bytes);
            let _ = read_states(&bytes);
            let _ = meta_of_start(&bytes);
        }
    }

    #[test]
    fn the_start_of_an_object_tells_what_it_has_and_too_little_of_it_nothing() {
        let of_many = (0..200).map(|number| {
            (
                format!("site-namespace-server-{number}"),
                Had {
                    time: number,
                    schema: 5,
                    goes: false,
                    version: 2,
                },
            )
        });
        let meta = meta(of_many.collect(), BTreeMap::new());
        let object = object(&meta, 1000);
        assert_eq!(meta_of_start(&object[..object.len() / 2]).unwrap(), meta);
        assert!(meta_of_start(&object[..100]).is_err());
    }
}
