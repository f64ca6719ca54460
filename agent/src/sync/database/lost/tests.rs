use super::*;
use crate::lmdb::OpenOptions;
use crate::lmdb::header::Header;
use crate::sync::database::loss::Gone;

const DBI: &str = "records";

fn open(dir: &tempfile::TempDir) -> Arc<Environment> {
    let options = OpenOptions::of_a_new_file(1 << 20);
    Arc::new(Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap())
}

fn put(env: &Environment, timestamp: u64) {
    let written = env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi(DBI)?;
        writer.put(&dbi, b"key", timestamp, false, b"value")
    });
    written.unwrap();
}

#[test]
fn a_state_that_was_told_before_its_entries_had_their_times_is_collected_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir);
    put(&env, 100);
    let before = Arc::new(env.keep_reader().unwrap());
    // By a clock that was set back.
    put(&env, 50);
    let told = Arc::new(env.keep_reader().unwrap());
    put(&env, 101);
    let from = Synced {
        time: 1,
        txn: before.txn_id(),
        reader: Some(before.clone()),
    };
    let ahead = Ahead::new(Arc::new(|| 60)).since(Some(before), BTreeSet::new());
    let mut mended = Mended::default();
    let sound = collect_sound(
        &env,
        &from,
        Some(told.clone()),
        BTreeSet::new(),
        ahead,
        |_| Meta::default(),
        &mut mended,
    )
    .unwrap();
    assert_eq!(sound.to.txn_id(), told.txn_id());
    assert_eq!(sound.collected.entries, 0);
    assert!(mended.is_empty());
}

#[test]
fn what_powerdns_wrote_again_before_the_lock_was_taken_stays() {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir);
    put(&env, 100);
    put(&env, 200);
    let before = Header {
        timestamp: 100,
        txn_id: 1,
        deleted: false,
    };
    let gone = Gone {
        dbi: DBI.to_owned(),
        key: b"key".to_vec(),
        header: before,
        value: b"value".to_vec(),
        under: None,
    };
    let mut mended = Mended::default();
    mend::put_back(&env, &[gone], &Ahead::alone(), &mut mended).unwrap();
    let header = env.keep_reader().unwrap().header(DBI, b"key").unwrap().unwrap();
    assert_eq!((header.timestamp, header.txn_id), (200, 2));
    assert_eq!(mended.restored, 0);
}
