//! Which serials zones get when they are restored: later ones than secondaries may have.

use std::collections::{BTreeSet, HashMap};

use super::super::{HistoryError, Past, Scope};
use super::{SOA, Write, zone_of_soa};
use crate::content::rrset::{serial, with_serial};
use crate::lmdb::{Environment, LmdbError};

/// The table of records.
const RECORDS: &str = "records_v5";

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
    /// Learns them from what was fetched of the past.
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
        let changed = writes.iter().filter(|write| !only_the_serial(write));
        let changed: BTreeSet<u32> = changed.filter_map(Write::zone).collect();
        writes.retain(|write| {
            !only_the_serial(write) || write.zone().is_some_and(|zone| changed.contains(&zone))
        });
        let with_soa = writes
            .iter()
            .filter_map(|write| zone_of_soa(&write.dbi, &write.key));
        let with_soa: BTreeSet<u32> = with_soa.collect();
        let without = changed
            .difference(&with_soa)
            .filter(|id| !zones(**id).keeps_serial);
        for (id, write) in soas(env, without)? {
            write.now.iter().for_each(|soa| self.note(id, soa));
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
        Ok(())
    }
}

/// The SOA records of zones as they are, to be written with another serial.
fn soas<'z>(env: &Environment, zones: impl Iterator<Item = &'z u32>) -> Result<Vec<(u32, Write)>, LmdbError> {
    env.read(|reader| {
        let Some(dbi) = reader.dbi(RECORDS)? else {
            return Ok(Vec::new());
        };
        let mut writes = Vec::new();
        for zone in zones {
            // Of the name nothing, and a zero byte each for its end and that of all names.
            let key = [&zone.to_be_bytes()[..], &[0, 0], &SOA.to_be_bytes()].concat();
            if let Some((header, soa)) = reader.get(&dbi, &key)?.filter(|(header, _)| !header.deleted) {
                let write = Write {
                    dbi: RECORDS.to_owned(),
                    seen: Some(header.timestamp),
                    now: Some(soa.to_vec()),
                    then: Some(soa.to_vec()),
                    key,
                };
                writes.push((*zone, write));
            }
        }
        Ok(writes)
    })
}

/// By RFC 1982, which has serials go round.
fn is_later(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{soa, soa_key, write, www};
    use super::*;
    use crate::content::samples::record;
    use crate::lmdb::OpenOptions;

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
