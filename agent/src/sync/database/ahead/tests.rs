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
