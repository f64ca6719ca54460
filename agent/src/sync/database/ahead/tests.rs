use super::*;
use crate::lmdb::{Environment, LmdbError, OpenOptions, Writer};

const DBI: &str = "records_v5";
const KEY: &[u8] = b"key";

fn write(env: &Environment, time: u64) -> u64 {
    let put = |writer: &mut Writer<'_>| {
        let dbi = writer.dbi(DBI)?;
        writer.put(&dbi, KEY, time, false, b"value")
    };
    env.write::<(), LmdbError>(put).unwrap();
    env.last_txn_id()
}

#[test]
fn what_powerdns_put_over_an_entry_counts_as_later_and_what_has_its_time_already_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::of_a_new_file(1 << 20);
    let env = Arc::new(Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap());
    write(&env, 1_000);
    let kept = Arc::new(env.keep_reader().unwrap());
    let txn_id = write(&env, 500);
    let counts = |settled: &[u64], foreign: &[u64]| {
        let ahead = Ahead::new(Arc::new(|| 2_000))
            .since(Some(kept.clone()), foreign.iter().copied().collect())
            .by(
                FleetTime::UNKNOWN,
                Believed::all(),
                settled.iter().copied().collect(),
            );
        env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi(DBI)?;
            let (header, _) = writer.get(&dbi, KEY)?.unwrap();
            ahead.notes(writer)?.time_of(writer, DBI, KEY, header)
        })
        .unwrap()
    };
    assert_eq!(counts(&[], &[]), 1_001);
    assert_eq!(counts(&[txn_id], &[]), 500, "it was given this time");
    assert_eq!(counts(&[], &[txn_id]), 500, "a merge wrote it");
}

const NOW: u64 = 100_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A server whose clock is right, where times up to this are believed.
fn right(latest: u64) -> Ahead {
    let believed = Believed {
        latest,
        latest_untold: latest,
        ..Believed::all()
    };
    Ahead::new(Arc::new(|| NOW)).by(FleetTime::UNKNOWN, believed, BTreeSet::new())
}

/// What is done in one transaction, with the notes and the entry.
fn look<T>(
    env: &Environment,
    ahead: &Ahead,
    act: impl FnOnce(&mut Notes<'_>, &mut Writer<'_>, Header) -> Result<T, LmdbError>,
) -> T {
    let looked = env.write::<_, LmdbError>(|writer| {
        let dbi = writer.dbi(DBI)?;
        let (header, _) = writer.get(&dbi, KEY)?.unwrap();
        act(&mut ahead.notes(writer)?, writer, header)
    });
    looked.unwrap()
}

#[test]
fn an_entry_of_no_clock_that_is_right_is_later_than_a_noted_one_that_it_was_put_over() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::of_a_new_file(1 << 20);
    let env = Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap();
    let noted = NOW + 60 * SECOND;
    write(&env, noted);
    for wrong in [NOW + 3600 * SECOND, NOW + 7200 * SECOND] {
        look(&env, &right(u64::MAX), |notes, writer, header| {
            notes.note_found(writer, DBI, KEY, (header, 0))
        });
        write(&env, wrong);
    }
    look(&env, &right(NOW + 300 * SECOND), |notes, writer, header| {
        notes.note_found(writer, DBI, KEY, (header, 0))
    });
    for (latest, counts) in [(NOW + 300 * SECOND, noted + 1), (NOW + 10 * SECOND, NOW)] {
        let time = look(&env, &right(latest), |notes, writer, header| {
            notes.time_of(writer, DBI, KEY, header)
        });
        assert_eq!(time, counts);
    }
}

#[test]
fn an_entry_of_no_clock_that_is_right_was_put_over_what_clocks_cannot_tell_from_it_and_that_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::of_a_new_file(1 << 20);
    let env = Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap();
    write(&env, NOW + 3600 * SECOND);
    let right = right(NOW + 300 * SECOND);
    let counts = |incoming: u64| {
        look(&env, &right, |notes, writer, header| {
            let (time, was_there) = notes.time_against(writer, (DBI, KEY), incoming, header)?;
            if was_there {
                notes.note_before(writer, (DBI, KEY), incoming, header)?;
            }
            Ok(time)
        })
    };
    assert_eq!(counts(NOW - 1), NOW);
    assert_eq!(counts(NOW + 3 * SECOND + 1), NOW, "it came later");
    for incoming in [NOW, NOW + 3 * SECOND] {
        assert_eq!(counts(incoming), incoming + 1);
        assert_eq!(counts(NOW - 1), incoming + 1, "whatever comes next");
    }
    assert_eq!(counts(NOW + 3 * SECOND + 2), NOW + 3 * SECOND + 1);
}
