//! A zone as it was, under another name and ID: its records. What is bound to the name, or acts beyond the copy, is left out.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{Scope, Write, change};
use crate::content::keys::{RecordKey, object_id};
use crate::content::{Move, TooLong, copied_zone, metadata_kind};
use crate::lmdb::{Environment, LmdbError, Reader};

/// What signing makes for the very names of a zone: RRSIG, NSEC, DNSKEY, NSEC3 (which PowerDNS has for its order of hashes, too),
/// NSEC3PARAM, CDS, CDNSKEY and ZONEMD.
const SIGNING: [u16; 8] = [46, 47, 48, 50, 51, 59, 60, 63];
/// PowerDNS' IDs are positive and have 31 bits.
const IDS: u32 = 1 << 31;

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// A copy that is to be made.
pub struct Copy<'c> {
    /// The ID that the zone had.
    pub from: u32,
    /// The ID of the copy.
    pub to: u32,
    /// The name of the copy as labels, the leftmost first, in lower case.
    pub name: &'c [&'c [u8]],
    pub names: &'c Move,
    /// The zone that is copied.
    pub scope: &'c Scope,
}

/// What the zone had and a copy has not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub keys: usize,
    /// Kinds of metadata.
    pub metadata: BTreeSet<String>,
    /// RRsets that signing made.
    pub signing: usize,
    /// RRsets whose content could not be read: names in it are as they were.
    pub unread: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Lmdb(#[from] LmdbError),
    #[error("the zone cannot have this name: {0}")]
    TooLong(#[from] TooLong),
    #[error(
        "what the history has of zone {0} itself is not as PowerDNS 4.8 to 5.1 write it: only `restore` without --as can bring it back"
    )]
    Unreadable(u32),
}

/// The ID of a copy: free, and in the database in which the ID `from` has its records, by the number of `shards`. It follows from both
/// names, so that what a command that was interrupted has written is found again, and two commands at once write the same.
pub fn copy_id(names: (&str, &str), from: u32, shards: u32, is_free: impl Fn(u32) -> bool) -> Option<u32> {
    let shards = shards.clamp(1, IDS / 2);
    let hash = Sha256::digest(format!("{}\n{}", names.0, names.1));
    let first = hash.first_chunk::<4>().copied().map_or(1, u32::from_be_bytes);
    // Not 0, and none that is too large.
    let places = IDS / shards - 1;
    (0..places)
        .map(|more| (first % places + more) % places + 1)
        .map(|place| place * shards + from % shards)
        .find(|id| *id < IDS && is_free(*id))
}

/// What must be written for the copy to be there, in one of PowerDNS' databases, and what is left out.
///
/// # Errors
/// Those of LMDB, a name that gets too long, and a zone in a form that is not known.
pub fn copy(
    now: &Environment,
    then: &Environment,
    copy: &Copy<'_>,
    left_out: &mut LeftOut,
) -> Result<Vec<Write>, CopyError> {
    let (now, then) = (now.begin_read()?, then.begin_read()?);
    let mut writes = Vec::new();
    for dbi in then.dbis()? {
        let mut entries = BTreeMap::new();
        then.for_each(&dbi, |key, header, value| {
            if !header.deleted {
                entries.extend(copy.entry(&dbi.name, key, value, left_out)?);
            }
            Ok::<(), CopyError>(())
        })?;
        copy.compare(&now, &dbi.name, &entries, &mut writes)?;
    }
    Ok(writes)
}

impl Copy<'_> {
    /// What an entry is in the copy.
    fn entry(
        &self,
        dbi: &str,
        key: &[u8],
        value: &[u8],
        left_out: &mut LeftOut,
    ) -> Result<Option<Entry>, CopyError> {
        let is_index = dbi.ends_with("_0");
        match dbi.split("_v").next().unwrap_or_default() {
            "records" => return self.record(key, value, left_out),
            "domains" if is_index && self.scope.has(dbi, key) && key.ends_with(&self.from.to_be_bytes()) => {
                return Ok(Some((self.index(), value.to_vec())));
            }
            "domains" if object_id(key) == Some(self.from) => {
                let copied = copied_zone(value, self.from, &self.wire(), self.to);
                let copied = copied.ok_or(CopyError::Unreadable(self.from))?;
                return Ok(Some((self.to.to_be_bytes().to_vec(), copied)));
            }
            "keydata" if !is_index && self.scope.has(dbi, key) => left_out.keys += 1,
            "metadata" if !is_index && self.scope.has(dbi, key) => {
                let kind = metadata_kind(value).unwrap_or("of an unknown kind");
                left_out.metadata.insert(kind.to_owned());
            }
            _ => (),
        }
        Ok(None)
    }

    fn record(&self, key: &[u8], value: &[u8], left_out: &mut LeftOut) -> Result<Option<Entry>, CopyError> {
        let Some(parsed) = RecordKey::parse(key).filter(|key| key.zone == self.from) else {
            return Ok(None);
        };
        if SIGNING.contains(&parsed.kind) {
            left_out.signing += 1;
            return Ok(None);
        }
        let key = [&self.to.to_be_bytes()[..], &key[4..]].concat();
        let moved = self.names.rrset(parsed.labels(), parsed.kind, value)?;
        left_out.unread += usize::from(!moved.is_read);
        Ok(Some((key, moved.value)))
    }

    /// The difference to what is there under the copy's ID: nothing, or what a command has left that was interrupted.
    fn compare(
        &self,
        now: &Reader<'_>,
        name: &str,
        entries: &BTreeMap<Vec<u8>, Vec<u8>>,
        writes: &mut Vec<Write>,
    ) -> Result<(), LmdbError> {
        let dbi = now.dbi(name)?;
        for (key, value) in entries {
            let there = dbi.as_ref().map(|dbi| now.get(dbi, key)).transpose()?;
            writes.extend(change((name, key), there.flatten(), Some(value), false));
        }
        let Some(dbi) = dbi.filter(|_| name.starts_with("records")) else {
            return Ok(());
        };
        now.for_each(&dbi, |key, header, value| {
            let is_of_it = RecordKey::parse(key).is_some_and(|key| key.zone == self.to);
            if is_of_it && !header.deleted && !entries.contains_key(key) {
                writes.extend(change((name, key), Some((header, value)), None, false));
            }
            Ok(())
        })
    }

    /// The name as DNS has it.
    fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in self.name {
            wire.push(u8::try_from(label.len()).unwrap_or_default());
            wire.extend(*label);
        }
        wire.push(0);
        wire
    }

    /// The key of the index: from the top down, each label before a zero byte.
    fn index(&self) -> Vec<u8> {
        let mut stored = Vec::new();
        for label in self.name.iter().rev() {
            stored.extend(*label);
            stored.push(0);
        }
        let len = u16::try_from(stored.len()).unwrap_or_default();
        [&len.to_be_bytes()[..], &stored, &self.to.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{soa, soa_key, www};
    use super::*;
    use crate::content::samples::{record, zone};
    use crate::lmdb::OpenOptions;

    const ZONE: &[u8] = b"\x04zone\x07example\0";

    fn environment(dir: &tempfile::TempDir, entries: &[(&str, Vec<u8>, Vec<u8>)]) -> Environment {
        let options = OpenOptions::of_a_new_file(10 << 20);
        let env = Environment::open(&dir.path().join("lmdb"), &options).unwrap();
        env.write(|writer| {
            for (dbi, key, value) in entries {
                let dbi = writer.dbi(dbi)?;
                writer.put(&dbi, key, 1, false, value)?;
            }
            Ok::<(), LmdbError>(())
        })
        .unwrap();
        env
    }

    fn index(stored: &[u8], id: u32) -> Vec<u8> {
        let len = u16::try_from(stored.len()).unwrap().to_be_bytes();
        [&len[..], stored, &id.to_be_bytes()].concat()
    }

    fn kind(name: &[u8], kind: &[u8]) -> Vec<u8> {
        let string = |bytes: &[u8]| [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
        [&[0; 10][..], &string(name), &string(kind), &[0; 8]].concat()
    }

    fn entries() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
        let key = |zone: u32, kind: u16| [&zone.to_be_bytes()[..], &[0, 0], &kind.to_be_bytes()].concat();
        vec![
            ("records_v5", soa_key(7), soa(30)),
            ("records_v5", www(7), record(&[192, 0, 2, 1], 60, [1, 0, 1])),
            ("records_v5", key(7, 2), record(b"\x03ns1\xc0\x11", 60, [1, 0, 1])),
            ("records_v5", key(7, 48), record(b"key", 60, [1, 0, 1])),
            ("records_v5", www(8), record(&[192, 0, 2, 2], 60, [1, 0, 1])),
            (
                "domains_v5",
                7_u32.to_be_bytes().to_vec(),
                zone(ZONE, 7, 5, 6, b"me"),
            ),
            ("domains_v5_0", index(b"example\0zone\0", 7), Vec::new()),
            ("domains_v5_0", index(b"example\0other\0", 8), Vec::new()),
            ("keydata_v5", 20_u32.to_be_bytes().to_vec(), kind(ZONE, b"")),
            ("keydata_v5_0", index(b"example\0zone\0", 20), Vec::new()),
            (
                "metadata_v5",
                30_u32.to_be_bytes().to_vec(),
                kind(ZONE, b"ALSO-NOTIFY"),
            ),
            ("metadata_v5_0", index(b"example\0zone\0", 30), Vec::new()),
        ]
    }

    fn made(now: &Environment, then: &Environment) -> (Vec<Write>, LeftOut) {
        let mut scope = Scope::of_zones(["zone.example.".to_owned()]);
        for (dbi, key, _) in entries() {
            scope.learn(dbi, &key);
        }
        let name = [&b"old"[..], b"test"];
        let plan = Copy {
            from: 7,
            to: 9,
            name: &name,
            names: &Move::new([&b"zone"[..], b"example"], name),
            scope: &scope,
        };
        let mut left_out = LeftOut::default();
        let writes = copy(now, then, &plan, &mut left_out).unwrap();
        (writes, left_out)
    }

    #[test]
    fn a_copy_has_the_records_of_the_zone_and_neither_its_keys_nor_its_metadata() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (then, now) = (environment(&dirs[0], &entries()), environment(&dirs[1], &[]));
        let (writes, left_out) = made(&now, &then);
        let of = |dbi: &str, key: Vec<u8>| {
            let write = writes.iter().find(|write| write.dbi == dbi && write.key == key);
            write
                .unwrap_or_else(|| panic!("{dbi} {key:?}"))
                .then
                .clone()
                .unwrap()
        };
        assert_eq!(of("records_v5", soa_key(9)), soa(30));
        assert_eq!(of("records_v5", www(9)), record(&[192, 0, 2, 1], 60, [1, 0, 1]));
        let ns = record(b"\x03ns1\x03old\x04test\0", 60, [1, 0, 1]);
        assert_eq!(of("records_v5", vec![0, 0, 0, 9, 0, 0, 0, 2]), ns);
        assert_eq!(
            of("domains_v5", vec![0, 0, 0, 9]),
            zone(b"\x03old\x04test\0", 9, 0, 0, b"me")
        );
        assert_eq!(of("domains_v5_0", index(b"test\0old\0", 9)), b"");
        assert_eq!(writes.len(), 5);
        let expected = LeftOut {
            keys: 1,
            metadata: ["ALSO-NOTIFY".to_owned()].into(),
            signing: 1,
            unread: 0,
        };
        assert_eq!(left_out, expected);
    }

    #[test]
    fn what_an_interrupted_command_has_left_is_made_use_of_or_removed() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let other = [&9_u32.to_be_bytes()[..], b"gone\0", &[0, 0, 1]].concat();
        let there = [
            ("records_v5", soa_key(9), soa(30)),
            (
                "records_v5",
                other.clone(),
                record(&[192, 0, 2, 1], 60, [1, 0, 1]),
            ),
        ];
        let (then, now) = (environment(&dirs[0], &entries()), environment(&dirs[1], &there));
        let (writes, _) = made(&now, &then);
        assert!(!writes.iter().any(|write| write.key == soa_key(9)));
        let gone = writes.iter().find(|write| write.key == other).unwrap();
        assert_eq!(gone.then, None);
        assert_eq!(writes.len(), 5);
    }

    #[test]
    fn the_id_of_a_copy_is_free_and_always_the_same_and_in_the_database_of_the_zone() {
        let names = ("zone.example.", "old.test.");
        for shards in [0, 1, 2, 64] {
            let id = copy_id(names, 1_000_007, shards, |_| true).unwrap();
            assert!(0 < id && id < IDS);
            assert_eq!(id % shards.max(1), 1_000_007 % shards.max(1));
            assert_eq!(copy_id(names, 1_000_007, shards, |_| true), Some(id));
            let next = copy_id(names, 1_000_007, shards, |other| other != id).unwrap();
            assert_eq!(next % shards.max(1), id % shards.max(1));
            assert_ne!(next, id);
        }
        let other = copy_id((names.0, "older.test."), 7, 1, |_| true);
        assert_ne!(other, copy_id(names, 7, 1, |_| true));
    }
}
