//! Taking changes back: what must be written for a database to be as it was, and writing it as new changes.

use std::collections::{BTreeSet, HashMap};

use super::{HistoryError, Past, Scope, Timeline};
use crate::content::keys::{RecordKey, object_id, presented};
use crate::content::rrset::{serial, with_serial};
use crate::content::{is_same_zone, zone_labels};
use crate::lmdb::header::Header;
use crate::lmdb::{Environment, LmdbError, Reader};
use crate::snapshot::is_private_dbi;

/// PowerDNS' own numbers, which say nothing of zones.
const OF_POWERDNS: &str = "pdns";
/// The table of records.
const RECORDS: &str = "records_v5";
/// The type of SOA records.
const SOA: u16 = 6;
/// Entries, and bytes of them, that are written with one transaction: PowerDNS' own writes wait for it.
const AT_ONCE: (usize, usize) = (1_000, 1 << 20);

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
    /// It gives a zone that is there another serial: after that secondaries come for the rest.
    pub fn is_serial(&self) -> bool {
        self.now.is_some() && zone_of_soa(&self.dbi, &self.key).is_some()
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    pub written: u64,
    /// Somebody wrote these entries since they were looked at: they stay as they are.
    pub left: u64,
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

/// What is known of a zone.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    /// What it has in common with itself under another ID.
    pub name: Option<String>,
    /// Its serial is not ours to give: it comes from a primary, by whose serial it is fetched again, or is signed.
    pub keeps_serial: bool,
}

/// The serials that zones have had, by which it is seen what secondaries may have.
#[derive(Debug, Default)]
pub struct Serials(HashMap<u32, u32>);

impl Serials {
    /// Learns them from what was fetched of the past. `name` is by which a zone is known, whatever IDs it has had.
    ///
    /// # Errors
    /// Those of the temporary files.
    pub fn learn(&mut self, past: &mut Past, scope: &Scope) -> Result<(), HistoryError> {
        past.for_each::<HistoryError>(&mut |_, _, dbi, entry| {
            if let Some(zone) = zone_of_soa(dbi, entry.key)
                && scope.has(dbi, entry.key)
            {
                self.note(zone, entry.value);
            }
            Ok(())
        })
    }

    fn note(&mut self, zone: u32, soa: &[u8]) {
        let Some(serial) = serial(soa) else { return };
        let newest = self.0.entry(zone).or_insert(serial);
        if is_later(serial, *newest) {
            *newest = serial;
        }
    }

    /// Moves the serials of zones on whose records change, and leaves those alone whose serial alone differs. `env` is the database that is
    /// to change, `zones` what is known of zones by their IDs.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn move_on(
        &mut self,
        env: &Environment,
        writes: &mut Vec<Write>,
        zones: &impl Fn(u32) -> Zone,
    ) -> Result<(), LmdbError> {
        for write in writes.iter() {
            if let Some(zone) = zone_of_soa(&write.dbi, &write.key) {
                write
                    .now
                    .iter()
                    .chain(&write.then)
                    .for_each(|soa| self.note(zone, soa));
            }
        }
        let only_the_serial = |write: &Write| {
            let zeroed = |soa: &Option<Vec<u8>>| soa.as_ref().and_then(|soa| with_serial(soa, 0));
            write.now != write.then
                && zone_of_soa(&write.dbi, &write.key).is_some()
                && zeroed(&write.now).is_some_and(|now| Some(now) == zeroed(&write.then))
        };
        let zone_of = |write: &Write| {
            let key = RecordKey::parse(&write.key).filter(|_| write.dbi.starts_with("records_v"));
            key.map(|key| key.zone)
        };
        let changed = writes.iter().filter(|write| !only_the_serial(write));
        let changed: BTreeSet<u32> = changed.filter_map(zone_of).collect();
        writes.retain(|write| {
            !only_the_serial(write) || zone_of(write).is_some_and(|zone| changed.contains(&zone))
        });
        let with_soa = writes
            .iter()
            .filter_map(|write| zone_of_soa(&write.dbi, &write.key));
        let with_soa: BTreeSet<u32> = with_soa.collect();
        for write in soas(env, changed.difference(&with_soa))? {
            let id = zone_of_soa(&write.dbi, &write.key);
            id.into_iter()
                .zip(&write.now)
                .for_each(|(id, soa)| self.note(id, soa));
            writes.push(write);
        }
        let mut by_name = HashMap::<String, u32>::new();
        for (id, serial) in &self.0 {
            if let Some(name) = zones(*id).name {
                let newest = by_name.entry(name).or_insert(*serial);
                if is_later(*serial, *newest) {
                    *newest = *serial;
                }
            }
        }
        for write in writes.iter_mut() {
            let Some(id) = zone_of_soa(&write.dbi, &write.key) else {
                continue;
            };
            let zone = zones(id);
            let newest = zone.name.and_then(|name| by_name.get(&name)).or(self.0.get(&id));
            if let (Some(then), Some(newest), false) = (&write.then, newest, zone.keeps_serial)
                && let Some(soa) = with_serial(then, newest.wrapping_add(1))
            {
                write.then = Some(soa);
            }
        }
        writes.retain(|write| write.now != write.then || zone_of_soa(&write.dbi, &write.key).is_none());
        Ok(())
    }
}

/// The SOA records of zones as they are, to be written with another serial.
fn soas<'z>(env: &Environment, zones: impl Iterator<Item = &'z u32>) -> Result<Vec<Write>, LmdbError> {
    env.read(|reader| {
        let Some(dbi) = reader.dbi(RECORDS)? else {
            return Ok(Vec::new());
        };
        let mut writes = Vec::new();
        for zone in zones {
            let key = [&zone.to_be_bytes()[..], &[0, 0], &SOA.to_be_bytes()[1..]].concat();
            if let Some((header, soa)) = reader.get(&dbi, &key)?.filter(|(header, _)| !header.deleted) {
                writes.push(Write {
                    dbi: RECORDS.to_owned(),
                    seen: Some(header.timestamp),
                    now: Some(soa.to_vec()),
                    then: Some(soa.to_vec()),
                    key,
                });
            }
        }
        Ok(writes)
    })
}

/// By RFC 1982, which has serials go round.
fn is_later(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

/// Writes entries as new changes: each is later than what is there, and than `now`, in ns since the epoch. An agent beside takes them
/// for writes of PowerDNS. If it ends early it can be begun anew.
///
/// # Errors
/// Those of LMDB; what was written before stays.
pub fn write(env: &Environment, all: &[Write], now: u64) -> Result<Restored, LmdbError> {
    let mut restored = Restored::default();
    let mut rest = all;
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        for write in rest.iter().take(AT_ONCE.0) {
            bytes += write.key.len() + write.then.as_ref().map_or(0, Vec::len);
            if count > 0 && bytes > AT_ONCE.1 {
                break;
            }
            count += 1;
        }
        let (part, others) = rest.split_at(count);
        rest = others;
        let mut writer = env.begin_write()?;
        let mut done = Restored::default();
        for write in part {
            let dbi = writer.dbi(&write.dbi)?;
            let there = writer.get(&dbi, &write.key)?.map(|(header, _)| header.timestamp);
            if there != write.seen {
                done.left += 1;
                continue;
            }
            let time = now.max(there.map_or(0, |there| there.saturating_add(1)));
            let value = write.then.as_deref().unwrap_or_default();
            writer.put(&dbi, &write.key, time, write.then.is_none(), value)?;
            done.written += 1;
        }
        writer.commit()?;
        restored.written += done.written;
        restored.left += done.left;
    }
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::samples::record;
    use crate::lmdb::OpenOptions;

    fn soa_key(zone: u32) -> Vec<u8> {
        [&zone.to_be_bytes()[..], &[0, 0, 6]].concat()
    }

    fn soa(serial: u32) -> Vec<u8> {
        let numbers = [serial, 10_800, 3_600, 604_800, 60]
            .map(u32::to_be_bytes)
            .concat();
        record(&[&b"\x01a\x00\x01b\x00"[..], &numbers].concat(), 3_600, [1, 0, 1])
    }

    fn write(key: Vec<u8>, now: Option<Vec<u8>>, then: Option<Vec<u8>>) -> Write {
        Write {
            dbi: "records_v5".into(),
            key,
            seen: None,
            now,
            then,
        }
    }

    fn www(zone: u32) -> Vec<u8> {
        [&zone.to_be_bytes()[..], b"www\0", &[0, 0, 1]].concat()
    }

    fn database(dir: &tempfile::TempDir) -> Environment {
        let options = OpenOptions::of_a_new_file(10 << 20);
        Environment::open(&dir.path().join("lmdb"), &options).unwrap()
    }

    #[test]
    fn a_serial_goes_beyond_all_that_secondaries_may_have() {
        let dir = tempfile::tempdir().unwrap();
        let zones = |id| Zone {
            name: Some(if id < 9 { "one" } else { "two" }.to_owned()),
            keeps_serial: false,
        };
        let mut serials = Serials::default();
        // The zone had ID 7, was deleted and made anew under ID 8.
        serials.note(7, &soa(40));
        let mut writes = vec![
            write(soa_key(7), None, Some(soa(30))),
            write(www(7), None, Some(record(&[192, 0, 2, 1], 60, [1, 0, 1]))),
            write(soa_key(8), Some(soa(50)), None),
        ];
        serials.move_on(&database(&dir), &mut writes, &zones).unwrap();
        assert_eq!(writes[0].then, Some(soa(51)));
        assert_eq!(writes[2].then, None);
    }

    #[test]
    fn a_zone_whose_serial_alone_differs_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (env, zones) = (database(&dir), |_| Zone::default());
        let mut writes = vec![write(soa_key(7), Some(soa(31)), Some(soa(30)))];
        Serials::default().move_on(&env, &mut writes, &zones).unwrap();
        assert_eq!(writes, []);
        let change = write(www(7), Some(b"x".to_vec()), None);
        let mut writes = vec![write(soa_key(7), Some(soa(31)), Some(soa(30))), change.clone()];
        Serials::default().move_on(&env, &mut writes, &zones).unwrap();
        assert_eq!(writes[0].then, Some(soa(32)));
        // A primary has the serial by which the zone is fetched again.
        let secondary = |_| Zone {
            keeps_serial: true,
            ..Zone::default()
        };
        let mut writes = vec![write(soa_key(7), Some(soa(31)), Some(soa(30))), change];
        Serials::default().move_on(&env, &mut writes, &secondary).unwrap();
        assert_eq!(writes[0].then, Some(soa(30)));
    }

    #[test]
    fn records_that_changed_without_a_serial_get_one_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let env = database(&dir);
        env.write(|writer| {
            let dbi = writer.dbi(RECORDS)?;
            writer.put(&dbi, &soa_key(7), 5, false, &soa(31))
        })
        .unwrap();
        let mut writes = vec![write(www(7), Some(b"x".to_vec()), None)];
        Serials::default()
            .move_on(&env, &mut writes, &|_| Zone::default())
            .unwrap();
        assert_eq!(writes[1].then, Some(soa(32)));
        assert_eq!(writes[1].seen, Some(5));
        assert!(writes[1].is_serial() && !writes[0].is_serial());
    }

    #[test]
    fn serials_go_round() {
        assert!(is_later(1, u32::MAX));
        assert!(!is_later(u32::MAX, 1));
        assert!(!is_later(5, 5));
    }
}
