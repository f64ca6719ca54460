//! Names of zones by their IDs, read from PowerDNS' main databases.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::{IndexKey, ZONES, presented};
use super::touched::{Plan, Touched, Zone};
use super::values::names_below;
use crate::lmdb::{Environment, LmdbError, Reader};

/// Zones kept in mind, so that a change of a record need not wait for the main database.
const MOST_KNOWN: usize = 4096;

/// The databases that say which zone has which ID.
#[derive(Default)]
pub(crate) struct Zones {
    mains: Mutex<Vec<Arc<Environment>>>,
    known: Mutex<HashMap<u32, Vec<String>>>,
}

impl Zones {
    pub(crate) fn read_from(&self, main: Arc<Environment>) {
        locked(&self.mains).push(main);
    }

    /// Says what to flush. Blocks on the databases.
    ///
    /// Whoever merges a zone after this look has its own change to tell, so that a zone that is not there yet is no loss.
    pub(crate) fn plan(&self, touched: Touched) -> Plan {
        let mains = locked(&self.mains).clone();
        let mut known = locked(&self.known);
        // A zone that was removed meanwhile does no harm. One of another name under its ID would.
        if touched.has_new_zones() || known.len() > MOST_KNOWN {
            known.clear();
        }
        let mut readers = None;
        let plan = touched.plan(|id| {
            if let Some(names) = known.get(&id) {
                return Zone::Named(names.clone());
            }
            let zone = match readers.get_or_insert_with(|| begin(&mains)) {
                Ok(readers) if !readers.is_empty() => names(readers, id),
                Ok(_) => Zone::Unknown,
                Err(error) => {
                    tracing::warn!(%error, "cannot look up zones: all caches are flushed");
                    Zone::Unknown
                }
            };
            if let Zone::Named(names) = &zone
                && !names.is_empty()
            {
                known.insert(id, names.clone());
            }
            zone
        });
        for reader in readers.into_iter().flatten().flatten() {
            // Keeps the handles of the DBIs; there is nothing else to lose.
            let _ = reader.finish();
        }
        plan
    }
}

/// The name of a zone by its ID, if a main database says it.
pub fn zone_name(main: &Environment, id: u32) -> Option<String> {
    match main.read(|reader| name(reader, id)) {
        Ok(Zone::Named(names)) => names.into_iter().next(),
        Ok(Zone::Unknown) | Err(_) => None,
    }
}

/// The ID of the zone that has this name, in the form that [`presented`] gives, if there is one in a main database.
///
/// # Errors
/// Those of LMDB.
pub fn zone_id(main: &Environment, zone: &str) -> Result<Option<u32>, LmdbError> {
    main.read(|reader| {
        let Some(index) = reader.dbi(ZONES)? else {
            return Ok(None);
        };
        let mut found = None;
        reader.for_each(&index, |key, header, _| {
            if let Some(key) = IndexKey::parse(key).filter(|key| !header.deleted && key.variant.is_empty())
                && presented(key.labels()) == zone
            {
                found = Some(key.id);
            }
            Ok::<(), LmdbError>(())
        })?;
        Ok(found)
    })
}

/// The names of zones by their IDs, also of those that were deleted, as long as a main database has their deletion marks; not of variants.
///
/// # Errors
/// Those of LMDB.
pub fn names_of(main: &Environment, ids: &BTreeSet<u32>) -> Result<BTreeMap<u32, String>, LmdbError> {
    main.read(|reader| {
        let mut names = BTreeMap::new();
        if let Some(index) = reader.dbi(ZONES)? {
            reader.for_each(&index, |key, _, _| {
                if let Some(key) =
                    IndexKey::parse(key).filter(|key| key.variant.is_empty() && ids.contains(&key.id))
                {
                    names.insert(key.id, presented(key.labels()));
                }
                Ok::<(), LmdbError>(())
            })?;
        }
        Ok(names)
    })
}

/// Those of these zones that a main database has.
///
/// # Errors
/// Those of LMDB.
pub(crate) fn live_zones(main: &Environment, ids: &BTreeSet<u32>) -> Result<BTreeSet<u32>, LmdbError> {
    main.read(|reader| {
        let mut live = BTreeSet::new();
        if let Some(index) = reader.dbi(ZONES)? {
            reader.for_each(&index, |key, header, _| {
                let id = IndexKey::parse(key).map(|key| key.id);
                live.extend(id.filter(|id| !header.deleted && ids.contains(id)));
                Ok::<(), LmdbError>(())
            })?;
        }
        Ok(live)
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin(mains: &[Arc<Environment>]) -> Result<Vec<Reader<'_>>, LmdbError> {
    mains.iter().map(|main| main.begin_read()).collect()
}

fn names(readers: &[Reader<'_>], id: u32) -> Zone {
    let mut names = Vec::new();
    for reader in readers {
        match name(reader, id) {
            Ok(Zone::Named(name)) => names.extend(name),
            Ok(Zone::Unknown) | Err(_) => return Zone::Unknown,
        }
    }
    Zone::Named(names)
}

fn name(reader: &Reader<'_>, id: u32) -> Result<Zone, LmdbError> {
    let Some(domains) = reader.dbi("domains_v5")? else {
        return Ok(Zone::Named(Vec::new()));
    };
    let entry = reader.get(&domains, &id.to_be_bytes())?;
    let Some((_, value)) = entry.filter(|(header, _)| !header.deleted) else {
        return Ok(Zone::Named(Vec::new()));
    };
    let name = names_below(value).map(presented);
    Ok(name.map_or(Zone::Unknown, |name| Zone::Named(vec![name])))
}

#[cfg(test)]
mod tests {
    use super::super::rules::Change;
    use super::super::touched::Purge;
    use super::super::values::tests::{record, zone};
    use super::*;
    use crate::lmdb::OpenOptions;

    const WIRE: &[u8] = b"\x04zone\x07example\0";

    fn main_database(dir: &std::path::Path) -> Arc<Environment> {
        let options = OpenOptions::of_a_new_file(10 << 20);
        Arc::new(Environment::open(&dir.join("pdns.lmdb"), &options).unwrap())
    }

    fn put(main: &Environment, id: u32, deleted: bool, value: &[u8]) {
        main.write(|writer| {
            let domains = writer.dbi("domains_v5")?;
            writer.put(&domains, &id.to_be_bytes(), 1, deleted, value)
        })
        .unwrap();
    }

    fn touched(zone: u32) -> Touched {
        let key = [&zone.to_be_bytes()[..], b"www\0", &[0, 0, 1]].concat();
        let (old, new) = (record(b"a", 1, [1, 0, 1]), record(b"b", 1, [1, 0, 1]));
        let mut touched = Touched::default();
        touched.note(&Change {
            dbi: "records_v5",
            key: &key,
            old: Some(&old),
            new: Some(&new),
        });
        touched
    }

    #[test]
    fn records_are_found_by_the_zones_that_are_served() {
        let dir = tempfile::tempdir().unwrap();
        let (main, zones) = (main_database(dir.path()), Zones::default());
        assert!(zones.plan(touched(7)).everything, "no main database is known");
        zones.read_from(main.clone());
        assert_eq!(
            zones.plan(touched(7)),
            Plan::default(),
            "PowerDNS has no zones at all"
        );

        put(&main, 7, false, &zone(WIRE, 7, 0, 0, b""));
        put(&main, 8, true, b"");
        put(&main, 9, false, b"of a later PowerDNS");
        let www = Purge::Names {
            zone: "zone.example.".into(),
            names: vec!["www.zone.example.".into()],
        };
        assert_eq!(zones.plan(touched(7)).purges, [www]);
        assert_eq!(zones.plan(touched(8)), Plan::default());
        assert!(zones.plan(touched(9)).everything);
    }

    #[test]
    fn a_known_zone_does_not_wait_for_the_main_database() {
        let dir = tempfile::tempdir().unwrap();
        let (main, zones) = (main_database(dir.path()), Zones::default());
        zones.read_from(main.clone());
        put(&main, 7, false, &zone(WIRE, 7, 0, 0, b""));
        let first = zones.plan(touched(7));
        // A merge of the main database holds it.
        let _writer = main.begin_write().unwrap();
        assert_eq!(zones.plan(touched(7)), first);
    }
}
