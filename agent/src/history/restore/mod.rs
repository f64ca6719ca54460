//! Taking changes back: what must be written for a database to be as it was. Which serials zones get for it is in `serials`, in which
//! order it is written in `steps`, and what a zone is under another name in `copy`.

mod copy;
mod serials;
mod steps;

use std::collections::BTreeSet;

pub use copy::{Copy, CopyError, LeftOut, copy, copy_id};
pub use serials::{Serials, Zone};
pub use steps::{Restored, Step, steps, write};

use super::{Scope, Timeline};
use crate::content::keys::{RecordKey, object_id, presented};
use crate::content::{is_same_zone, zone_labels};
use crate::lmdb::header::Header;
use crate::lmdb::{Environment, LmdbError, Reader};
use crate::snapshot::is_private_dbi;

/// PowerDNS' own numbers, which say nothing of zones.
const OF_POWERDNS: &str = "pdns";
/// The type of SOA records.
const SOA: u16 = 6;

/// An entry that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub dbi: String,
    pub key: Vec<u8>,
    /// The time of what is there, a deletion mark perhaps, in ns since the epoch.
    seen: Option<u64>,
    /// What is there, if it is no deletion mark.
    pub now: Option<Vec<u8>>,
    /// What comes there; none: a deletion mark.
    pub then: Option<Vec<u8>>,
}

impl Write {
    /// The zone whose record it is.
    fn zone(&self) -> Option<u32> {
        let key = RecordKey::parse(&self.key).filter(|_| self.dbi.starts_with("records_v"));
        key.map(|key| key.zone)
    }

    /// It gives a zone that is there another serial: after that secondaries come for the rest.
    pub fn is_serial(&self) -> bool {
        self.now.is_some() && zone_of_soa(&self.dbi, &self.key).is_some()
    }
}

/// What is to be as it was.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub scope: Scope,
    /// Of that, what is written again though it is as it was: what removed it elsewhere may still be on its way.
    pub again: Scope,
}

/// What must be written for the entries in scope to be as they were `then`. Nothing of what says only when PowerDNS did something.
///
/// # Errors
/// Those of LMDB.
pub fn difference(now: &Environment, then: &Timeline, wanted: &Wanted) -> Result<Vec<Write>, LmdbError> {
    let (now, then) = (now.begin_read()?, then.env().begin_read()?);
    let mut writes = Vec::new();
    let names = |reader: &Reader<'_>| {
        let dbis = reader.dbis()?.into_iter().map(|dbi| dbi.name);
        let dbis = dbis.filter(|name| !is_private_dbi(name) && name != OF_POWERDNS);
        Ok::<BTreeSet<_>, LmdbError>(dbis.collect())
    };
    let mut all = names(&then)?;
    all.extend(names(&now)?);
    for name in &all {
        let (now_dbi, then_dbi) = (now.dbi(name)?, then.dbi(name)?);
        if let Some(then_dbi) = &then_dbi {
            then.for_each(then_dbi, |key, header, value| {
                let there = now_dbi.as_ref().map(|dbi| now.get(dbi, key)).transpose()?;
                let then = (!header.deleted).then_some(value);
                if wanted.scope.has(name, key) {
                    let again = wanted.again.has(name, key);
                    writes.extend(change((name, key), there.flatten(), then, again));
                }
                Ok::<(), LmdbError>(())
            })?;
        }
        if let Some(now_dbi) = &now_dbi {
            now.for_each(now_dbi, |key, header, value| {
                if !header.deleted && wanted.scope.has(name, key) {
                    let was = then_dbi.as_ref().map(|dbi| then.get(dbi, key)).transpose()?;
                    if was.flatten().is_none() {
                        writes.extend(change((name, key), Some((header, value)), None, false));
                    }
                }
                Ok::<(), LmdbError>(())
            })?;
        }
    }
    Ok(writes)
}

fn change(
    (dbi, key): (&str, &[u8]),
    there: Option<(Header, &[u8])>,
    then: Option<&[u8]>,
    again: bool,
) -> Option<Write> {
    let now = there
        .filter(|(header, _)| !header.deleted)
        .map(|(_, value)| value);
    let is_as_it_was = match (now, then) {
        (None, None) => true,
        (Some(now), Some(then)) => !again && (now == then || is_same_zone(dbi, key, now, then)),
        _ => false,
    };
    // When a zone was checked and notified is PowerDNS' own, also where it is in a table of its own.
    let is_own = dbi.starts_with("domains_extra") && !again && now.is_some();
    (!is_as_it_was && !is_own).then(|| Write {
        dbi: dbi.to_owned(),
        key: key.to_vec(),
        seen: there.map(|(header, _)| header.timestamp),
        now: now.map(<[u8]>::to_vec),
        then: then.map(<[u8]>::to_vec),
    })
}

/// A zone of which something comes back that it has but once: the zone was deleted, and the rest of that may still be on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    Id(u32),
    Named(String),
}

/// The zones that come back.
pub fn coming_back(writes: &[Write]) -> impl Iterator<Item = Back> + '_ {
    writes
        .iter()
        .filter(|write| write.now.is_none())
        .filter_map(|write| {
            let then = write.then.as_ref()?;
            let table = write
                .dbi
                .rsplit_once("_v")
                .filter(|(_, version)| !version.ends_with("_0"))?
                .0;
            match table {
                "domains" => object_id(&write.key).map(Back::Id),
                "records" => zone_of_soa(&write.dbi, &write.key).map(Back::Id),
                "keydata" | "metadata" => zone_labels(then).map(|labels| Back::Named(presented(labels))),
                _ => None,
            }
        })
}

/// The zone whose SOA record is under this key.
fn zone_of_soa(dbi: &str, key: &[u8]) -> Option<u32> {
    let key = RecordKey::parse(key).filter(|key| dbi.starts_with("records_v") && key.kind == SOA)?;
    key.labels().next().is_none().then_some(key.zone)
}

#[cfg(test)]
mod samples {
    use super::Write;
    use crate::content::samples::record;

    /// As in the golden files: the zone's ID, no name, a zero byte after it, and the type.
    pub(super) fn soa_key(zone: u32) -> Vec<u8> {
        [&zone.to_be_bytes()[..], &[0, 0, 0, 6]].concat()
    }

    pub(super) fn soa(serial: u32) -> Vec<u8> {
        let numbers = [serial, 10_800, 3_600, 604_800, 60]
            .map(u32::to_be_bytes)
            .concat();
        record(&[&b"\x01a\x00\x01b\x00"[..], &numbers].concat(), 3_600, [1, 0, 1])
    }

    pub(super) fn www(zone: u32) -> Vec<u8> {
        [&zone.to_be_bytes()[..], b"www\0", &[0, 0, 1]].concat()
    }

    pub(super) fn write(key: Vec<u8>, now: Option<Vec<u8>>, then: Option<Vec<u8>>) -> Write {
        Write {
            dbi: "records_v5".into(),
            key,
            seen: None,
            now,
            then,
        }
    }
}
