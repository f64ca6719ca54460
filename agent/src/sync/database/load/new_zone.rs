//! A zone that is new here comes with its SOA record last: with that it is there to those who ask, and answers that what has not come yet
//! does not exist. It may be more than one transaction holds.

use crate::content::keys::{zone_of_record, zone_of_soa};
use crate::lmdb::Environment;
use crate::snapshot::{Entry, Snapshot};
use crate::sync::database::collect::Written;
use crate::sync::database::dump::TransferError;

/// The SOA record of the zone whose records come at the moment, if there is none here.
#[derive(Default)]
pub(super) struct NewZone(Option<(u32, Written)>);

impl NewZone {
    /// Keeps an entry that won over what is here, if it is to come last. Returns whether it is.
    pub(super) fn keep(&mut self, dbi: &str, entry: &Entry<'_>, was_there: bool) -> bool {
        if entry.deleted || was_there || self.0.is_some() {
            return false;
        }
        self.0 = zone_of_soa(dbi, entry.key).map(|zone| (zone, Written::new(dbi, entry)));
        self.0.is_some()
    }

    /// What was kept, once all of the zone has come: entries come in order.
    pub(super) fn end_before(&mut self, dbi: &str, key: &[u8]) -> Option<Written> {
        let (zone, _) = self.0.as_ref()?;
        if zone_of_record(dbi, key) == Some(*zone) {
            return None;
        }
        self.end()
    }

    /// The same where nothing more comes.
    pub(super) fn end(&mut self) -> Option<Written> {
        self.0.take().map(|(_, soa)| soa)
    }
}

/// An object has the SOA record of a zone that has none here.
///
/// # Errors
/// Those of LMDB, and of an object that does not decode.
pub(in crate::sync) fn has_new_zone(env: &Environment, object: &mut Snapshot) -> Result<bool, TransferError> {
    let mut records = Vec::new();
    object.for_each_entry(|outline, entry| {
        let dbi = &outline.header.name;
        if !entry.deleted && zone_of_soa(dbi, entry.key).is_some() {
            records.push((dbi.clone(), entry.key.to_vec()));
        }
        Ok::<_, TransferError>(())
    })?;
    if records.is_empty() {
        return Ok(false);
    }
    env.read(|reader| {
        for (dbi, key) in &records {
            let here = match reader.dbi(dbi)? {
                Some(handle) => reader.get(&handle, key)?,
                None => None,
            };
            if here.is_none_or(|(header, _)| header.deleted) {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

#[cfg(test)]
mod tests {
    use super::super::merge;
    use super::*;
    use crate::lmdb::{LmdbError, OpenOptions};
    use crate::snapshot::Meta;
    use crate::sync::database::dump::dump;

    const DBI: &str = "records_v5";

    fn key(zone: u32, name: &str, kind: u8) -> Vec<u8> {
        [&zone.to_be_bytes()[..], name.as_bytes(), &[0, 0, kind]].concat()
    }

    fn database(entries: impl IntoIterator<Item = (Vec<u8>, u64, bool)>) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(64 << 20);
        let env = Environment::open(&dir.path().join("db"), &options).unwrap();
        env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi(DBI)?;
            for (key, time, deleted) in entries {
                writer.put(&dbi, &key, time, deleted, if deleted { b"" } else { b"v" })?;
            }
            Ok(())
        })
        .unwrap();
        (dir, env)
    }

    /// More than one transaction of a merge holds.
    fn large(zone: u32) -> impl Iterator<Item = (Vec<u8>, u64, bool)> {
        let names = (0..25_000).map(move |number| key(zone, &format!("a{number:05}\0"), 1));
        [key(zone, "", 6)]
            .into_iter()
            .chain(names)
            .map(|key| (key, 10, false))
    }

    /// By zone, the transactions that wrote its SOA record and the last of its other records.
    fn transactions(env: &Environment, zone: u32) -> (u64, u64) {
        let (mut soa, mut others) = (0, 0);
        env.read::<_, LmdbError>(|reader| {
            let dbi = reader.dbi(DBI)?.unwrap();
            reader.for_each::<LmdbError>(&dbi, |key, header, _| {
                if zone_of_soa(DBI, key) == Some(zone) {
                    soa = header.txn_id;
                } else if zone_of_record(DBI, key) == Some(zone) {
                    others = others.max(header.txn_id);
                }
                Ok(())
            })
        })
        .unwrap();
        (soa, others)
    }

    fn merged(from: &Environment, into: &Environment) -> Vec<u64> {
        let mut snapshot = Snapshot::open(dump(from, &Meta::default()).unwrap().object).unwrap();
        let merged = merge(into, &mut snapshot, 0).unwrap();
        assert_eq!(merged.written, merged.entries);
        merged.txn_ids
    }

    #[test]
    fn the_soa_record_of_a_zone_that_is_new_comes_with_the_last_of_its_records_and_holds_up_no_other_zone() {
        let (_a, from) = database(large(7).chain(large(8)));
        // One that was there is as good as new.
        let (_b, into) = database([(key(6, "", 6), 1, false), (key(8, "", 6), 1, true)]);
        let txn_ids = merged(&from, &into);
        assert!(txn_ids.len() >= 5, "{txn_ids:?}");
        for zone in [7, 8] {
            let (soa, others) = transactions(&into, zone);
            assert_eq!(soa, others, "of zone {zone}");
        }
        assert_ne!(transactions(&into, 7), transactions(&into, 8));
    }

    #[test]
    fn one_that_is_there_gets_its_soa_record_in_its_turn_and_one_that_goes_loses_it_first() {
        let (_a, from) = database(large(7).chain(large(8).map(|(key, _, _)| (key, 20, true))));
        let (_b, into) = database([(key(7, "", 6), 1, false)].into_iter().chain(large(8)));
        let txn_ids = merged(&from, &into);
        let (soa, others) = transactions(&into, 7);
        assert_eq!(soa, txn_ids[0]);
        assert!(others > soa);
        let (soa, others) = transactions(&into, 8);
        assert!(soa < others);
    }
}
