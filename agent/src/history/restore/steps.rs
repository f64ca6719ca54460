//! In which order what is restored is written, and writing it as new changes.

use std::collections::{BTreeMap, BTreeSet};

use super::Write;
use crate::lmdb::{Environment, LmdbError};

/// Entries, and bytes of them, that are written with one transaction: PowerDNS' own writes wait for it.
const AT_ONCE: (usize, usize) = (1_000, 1 << 20);

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    pub written: u64,
    /// Somebody wrote these entries since they were looked at: they stay as they are.
    pub left: u64,
}

/// What is written before the next step begins, by the names of databases.
pub type Step = BTreeMap<String, Vec<Write>>;

/// Records come before their zone, and go after it. So what is there of a zone is all there while PowerDNS knows it. Serials come last, for
/// a secondary that has one must have what belongs to it; and with each another record of its zone, so that whoever begins anew finds
/// something to do as long as the serial is missing.
pub fn steps(plan: BTreeMap<String, Vec<Write>>) -> [Step; 4] {
    let [mut first, mut between, mut last, mut serials] = [(); 4].map(|()| Step::new());
    for (database, writes) in plan {
        let of = writes.iter().filter(|write| write.is_serial());
        let mut moved: BTreeMap<u32, Vec<Write>> = of
            .filter_map(|write| Some((write.zone()?, vec![write.clone()])))
            .collect();
        let mut alone: BTreeSet<u32> = moved.keys().copied().collect();
        // Those that go are the last that is done for a zone, so one of them goes with the serial where there is one.
        let (go, come): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .filter(|write| !write.is_serial())
            .partition(|write| write.then.is_none());
        for write in go.into_iter().chain(come) {
            let zone = write.zone();
            if let Some(zone) = zone.filter(|zone| alone.remove(zone)) {
                moved.entry(zone).or_default().push(write);
                continue;
            }
            let step = match (zone, &write.then) {
                (Some(_), Some(_)) => &mut first,
                (Some(_), None) => &mut last,
                (None, _) => &mut between,
            };
            step.entry(database.clone()).or_default().push(write);
        }
        if !moved.is_empty() {
            serials.insert(database, moved.into_values().flatten().collect());
        }
    }
    [first, between, last, serials]
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
        // What goes with a serial is there when it is.
        if rest[count - 1].is_serial() && count < rest.len() {
            count += 1;
        }
        let (part, others) = rest.split_at(count);
        rest = others;
        let mut writer = env.begin_write()?;
        let (mut done, mut left) = (Restored::default(), None);
        for write in part {
            let dbi = writer.dbi(&write.dbi)?;
            let there = writer.get(&dbi, &write.key)?.map(|(header, _)| header.timestamp);
            // Without its serial what goes with it would not be seen to be missing when this is run again.
            if there != write.seen || left.is_some() && left == write.zone() {
                done.left += 1;
                left = write.zone().filter(|_| write.is_serial());
                continue;
            }
            left = None;
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
    use super::super::samples::{soa, soa_key, write, www};
    use super::*;
    use crate::lmdb::OpenOptions;

    fn plan(writes: Vec<Write>) -> BTreeMap<String, Vec<Write>> {
        [("shard".to_owned(), writes)].into()
    }

    fn zone(id: u32, then: Option<Vec<u8>>) -> Write {
        Write {
            dbi: "domains_v5".into(),
            ..write(id.to_be_bytes().to_vec(), None, then)
        }
    }

    #[test]
    fn records_come_before_their_zone_and_go_after_it() {
        let (new, gone) = (
            write(www(7), None, Some(b"a".to_vec())),
            write(www(8), Some(b"a".to_vec()), None),
        );
        let soa_of_new = write(soa_key(7), None, Some(soa(1)));
        let (made, removed) = (zone(7, Some(b"zone".to_vec())), zone(8, None));
        let all = vec![
            gone.clone(),
            removed.clone(),
            made.clone(),
            soa_of_new.clone(),
            new.clone(),
        ];
        let [first, between, last, serials] = steps(plan(all));
        assert_eq!(first["shard"], [soa_of_new, new]);
        assert_eq!(between["shard"], [removed, made]);
        assert_eq!(last["shard"], [gone]);
        assert_eq!(serials, Step::new());
    }

    #[test]
    fn as_long_as_a_serial_is_missing_something_else_of_its_zone_is_missing_too() {
        let serial = |zone| write(soa_key(zone), Some(soa(1)), Some(soa(2)));
        let record = |zone, now, then| write(www(zone), now, then);
        let gone = record(7, Some(b"a".to_vec()), None);
        let come = write(
            [&www(7)[..4], b"a\0", &[0, 0, 1]].concat(),
            None,
            Some(b"b".to_vec()),
        );
        let other = record(8, Some(b"a".to_vec()), Some(b"b".to_vec()));
        let all = vec![
            serial(8),
            come.clone(),
            serial(7),
            other.clone(),
            gone.clone(),
            serial(9),
        ];
        let [first, _, last, serials] = steps(plan(all));
        assert_eq!(first["shard"], [come]);
        assert_eq!(last, Step::new());
        assert_eq!(serials["shard"], [serial(7), gone, serial(8), other, serial(9)]);
    }

    #[test]
    fn a_serial_is_written_with_what_goes_with_it_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::open(&dir.path().join("lmdb"), &OpenOptions::of_a_new_file(64 << 20)).unwrap();
        let mut all = Vec::new();
        for zone in 0..1_501_u32 {
            // So that the first serial is the last that fits into a transaction.
            if zone > 0 {
                all.push(write(soa_key(zone), Some(soa(1)), Some(soa(2))));
            }
            all.push(write(www(zone), None, Some(b"a".to_vec())));
        }
        let restored = write_all(&env, &all);
        assert_eq!((restored.written, restored.left), (3_001, 0));
        let transactions = |zone: u32| {
            let of = |key: Vec<u8>| {
                env.read(|reader| {
                    let dbi = reader.dbi("records_v5")?.expect("records");
                    Ok::<u64, LmdbError>(reader.get(&dbi, &key)?.expect("an entry").0.txn_id)
                })
                .unwrap()
            };
            (of(soa_key(zone)), of(www(zone)))
        };
        for zone in 1..1_501 {
            let (serial, record) = transactions(zone);
            assert_eq!(serial, record, "{zone}");
        }
        // Somebody has written the serial of one zone meanwhile: what would go with it stays as it is.
        let again = vec![
            write(soa_key(1), Some(soa(2)), Some(soa(3))),
            Write {
                seen: Some(9),
                ..write(www(1), Some(b"a".to_vec()), Some(b"b".to_vec()))
            },
            Write {
                seen: Some(9),
                ..write(soa_key(2), Some(soa(2)), Some(soa(3)))
            },
        ];
        let restored = write_all(&env, &again);
        assert_eq!((restored.written, restored.left), (1, 2));
    }

    fn write_all(env: &Environment, all: &[Write]) -> Restored {
        super::write(env, all, 9).unwrap()
    }
}
