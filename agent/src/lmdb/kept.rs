//! A state of the file that stays readable while later ones are written.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heed::{RoTxn, WithoutTls};

use super::header::Header;
use super::walk::{self, Change, Changes, Meta, Walk, read_meta};
use super::{Environment, LmdbError, LmdbErrorKind};

/// Readers begun before giving up on one whose meta page was not overwritten before it was read.
const ATTEMPTS: usize = 100;
/// Milliseconds to wait for the result of a transaction that is being committed.
const PATIENCE: u32 = 100;

/// A read transaction that keeps a state's pages from being used again. It opens no DBI, so any number of them can
/// live beside the transactions of [`Environment::begin_read`] and [`Environment::begin_write`].
///
/// While it lives the file grows with every commit: replace it by a newer one soon, or drop it.
pub struct KeptReader {
    pub(super) state: Meta,
    pub(super) file: File,
    pub(super) env: Arc<Environment>,
    /// In a lock, which is never taken, only so that states can be compared from any thread.
    _txn: Mutex<RoTxn<'static, WithoutTls>>,
}

impl Environment {
    /// Keeps the state that was committed last.
    ///
    /// # Errors
    /// Those of LMDB and of reading the file.
    pub fn keep_reader(self: &Arc<Self>) -> Result<KeptReader, LmdbError> {
        let fail = |kind| self.fail(kind);
        let file = self
            .env
            .try_clone_inner_file()
            .map_err(|error| fail(error.into()))?;
        for _ in 0..ATTEMPTS {
            let txn = self.begin(None, || self.env.clone().static_read_txn())?;
            let txn_id = txn.id() as u64;
            // Two commits later the page is overwritten, and a reading in between would mix two states.
            let state = read_meta(&file, txn_id).map_err(fail)?;
            if state.txn_id == txn_id && read_meta(&file, txn_id).map_err(fail)? == state {
                return Ok(KeptReader {
                    state,
                    file,
                    env: self.clone(),
                    _txn: Mutex::new(txn),
                });
            }
        }
        Err(fail(LmdbErrorKind::Page {
            pgno: 0,
            what: "others commit faster than it can be read",
        }))
    }

    /// The same once the transaction that LMDB tells of is over: it does a few milliseconds before a reader gets its result.
    ///
    /// # Errors
    /// As [`Environment::keep_reader`].
    pub fn keep_newest(self: &Arc<Self>) -> Result<KeptReader, LmdbError> {
        let last = self.last_txn_id();
        for _ in 0..PATIENCE {
            let reader = self.keep_reader()?;
            if reader.txn_id() >= last {
                return Ok(reader);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.keep_reader()
    }
}

impl KeptReader {
    /// The transaction whose result is kept.
    pub fn txn_id(&self) -> u64 {
        self.state.txn_id
    }

    /// The header of what this state has under a key, if anything.
    ///
    /// # Errors
    /// As [`KeptReader::changes_since`].
    pub fn header(&self, dbi: &str, key: &[u8]) -> Result<Option<Header>, LmdbError> {
        walk::header(self.env.path(), &self.file, &self.state, dbi, key)
    }

    /// True if this state has no such DBI, or one without entries.
    ///
    /// # Errors
    /// As [`KeptReader::changes_since`].
    pub fn is_empty(&self, dbi: &str) -> Result<bool, LmdbError> {
        walk::is_empty(self.env.path(), &self.file, &self.state, dbi)
    }

    /// Entries by DBI, deletion marks included; it does not read them.
    ///
    /// # Errors
    /// As [`KeptReader::changes_since`].
    pub fn counts(&self) -> Result<BTreeMap<String, u64>, LmdbError> {
        walk::counts(self.env.path(), &self.file, &self.state)
    }

    /// Calls `visit` with every entry that was put after `old` up to this state, deletion marks included, or that is gone
    /// without a mark, DBI by DBI in LMDB's order.
    ///
    /// # Errors
    /// Those of `visit`, [`LmdbErrorKind::Header`] for a value without a header, [`LmdbErrorKind::DbiFlags`],
    /// [`LmdbErrorKind::Disorder`], and
    /// [`LmdbErrorKind::Page`] if the file is not as LMDB 0.9 writes it: [`scan_since`](super::scan_since) then does
    /// without the knowledge of pages.
    pub fn changes_since<E: From<LmdbError>>(
        &self,
        old: &Self,
        visit: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<Changes, E> {
        if !Arc::ptr_eq(&self.env, &old.env) {
            let kind = LmdbErrorKind::Page {
                pgno: 0,
                what: "the two states are not of one opening of the file",
            };
            return Err(self.env.fail(kind).into());
        }
        let walk = Walk {
            path: self.env.path(),
            file: &self.file,
            old: &old.state,
            new: &self.state,
        };
        walk.run(visit)
    }

    /// Calls `visit` with every entry of this state.
    ///
    /// # Errors
    /// As [`KeptReader::changes_since`].
    pub fn changes_since_nothing<E: From<LmdbError>>(
        &self,
        visit: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<Changes, E> {
        let walk = Walk {
            path: self.env.path(),
            file: &self.file,
            old: &self.state.without_entries(),
            new: &self.state,
        };
        walk.run(visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lmdb::walk::tests::open;

    fn put(env: &Environment, keys: std::ops::Range<u32>, timestamp: u64) {
        let written = env.write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi("records_v5")?;
            for key in keys {
                writer.put(&dbi, &key.to_be_bytes(), timestamp, false, &[0; 100])?;
            }
            Ok(())
        });
        written.unwrap();
    }

    fn count(old: &KeptReader, new: &KeptReader) -> Result<Changes, LmdbError> {
        new.changes_since(old, |_| Ok(()))
    }

    /// Pages of the file that were ever used.
    fn size(env: &Environment) -> u64 {
        env.usage().unwrap().used / 4096
    }

    #[test]
    fn a_kept_reader_is_sent_between_threads_and_lives_beside_other_transactions() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        let empty = env.keep_reader().unwrap();
        assert_eq!(empty.txn_id(), 0);
        put(&env, 0..10, 1);
        let reader = env.begin_read().unwrap();
        let first = std::thread::spawn({
            let env = env.clone();
            move || env.keep_reader().unwrap()
        });
        let first = first.join().unwrap();
        assert_eq!((first.txn_id(), reader.txn_id()), (1, 1));
        drop(reader);
        put(&env, 5..6, 2);
        let second = env.keep_reader().unwrap();
        assert_eq!(count(&first, &second).unwrap().entries, 1);
        let all = count(&empty, &second).unwrap();
        assert_eq!((all.entries, all.new_dbis), (10, vec!["records_v5".to_owned()]));
        assert_eq!(count(&second, &second).unwrap(), Changes::default());
    }

    #[test]
    fn one_change_in_many_entries_is_found_in_few_pages() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        put(&env, 0..50_000, 1);
        let old = env.keep_reader().unwrap();
        put(&env, 30_000..30_001, 2);
        let changes = count(&old, &env.keep_reader().unwrap()).unwrap();
        assert_eq!(changes.entries, 1);
        assert!(changes.pages <= 10, "{} pages", changes.pages);
    }

    #[test]
    fn the_file_grows_under_a_kept_reader_and_no_longer_once_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        put(&env, 0..10_000, 1);
        let rewrite = |from| {
            for round in from..from + 5 {
                put(&env, 0..10_000, round);
            }
        };
        rewrite(2);
        let without = size(&env);
        let kept = env.keep_reader().unwrap();
        rewrite(10);
        let with = size(&env);
        assert!(
            with > without * 2,
            "{without} pages before, {with} with a reader of an old state"
        );
        let mut newer = env.keep_reader().unwrap();
        assert_eq!(count(&kept, &newer).unwrap().entries, 10_000);
        drop(kept);
        for round in 20..30 {
            put(&env, 0..10_000, round);
            let next = env.keep_reader().unwrap();
            assert_eq!(count(&newer, &next).unwrap().entries, 10_000);
            newer = next;
        }
        assert!(size(&env) <= with, "{with} pages grew to {}", size(&env));
    }

    #[test]
    fn readers_kept_while_others_commit_have_one_state_each() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        put(&env, 0..1_000, 1);
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (env, done) = (env.clone(), done.clone());
            move || {
                let mut round = 2;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    put(&env, 0..1_000, round);
                    round += 1;
                }
            }
        });
        let mut old = env.keep_reader().unwrap();
        let mut moved = 0;
        while moved < 50 {
            let new = env.keep_reader().unwrap();
            let mut timestamps = std::collections::BTreeSet::new();
            let changes = new.changes_since::<LmdbError>(&old, |change| {
                timestamps.extend(change.new.map(|new| new.header.timestamp));
                Ok(())
            });
            let expected = if new.txn_id() == old.txn_id() {
                (0, 0)
            } else {
                (1_000, 1)
            };
            assert_eq!((changes.unwrap().entries, timestamps.len()), expected);
            moved += timestamps.len();
            old = new;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
    }

    #[test]
    fn a_value_without_a_header_is_named_with_its_dbi_and_key() {
        for len in [3, 5_000] {
            let dir = tempfile::tempdir().unwrap();
            let env = open(&dir);
            put(&env, 0..10, 1);
            let old = env.keep_reader().unwrap();
            let mut writer = env.begin_write().unwrap();
            let dbi = writer.dbi("records_v5").unwrap();
            writer.dirty = true;
            dbi.handle
                .put(&mut writer.txn, b"\x00\x01", &vec![0xff; len])
                .unwrap();
            writer.commit().unwrap();
            let error = count(&old, &env.keep_reader().unwrap()).unwrap_err();
            assert!(
                matches!(&error.kind, LmdbErrorKind::Header { dbi, key, .. } if dbi == "records_v5" && key == "0001"),
                "{error}"
            );
        }
    }

    #[test]
    fn extension_blocks_longer_than_a_page_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        let old = env.keep_reader().unwrap();
        let mut writer = env.begin_write().unwrap();
        let dbi = writer.dbi("records_v5").unwrap();
        writer.dirty = true;
        let mut header = crate::lmdb::header::Header {
            timestamp: 7,
            txn_id: 1,
            deleted: false,
        }
        .to_bytes();
        header[22..].copy_from_slice(&600_u16.to_be_bytes());
        let stored = [&header[..], &[0xaa; 600 * 8], b"value"].concat();
        dbi.handle.put(&mut writer.txn, b"key", &stored).unwrap();
        writer.commit().unwrap();
        let mut values = Vec::new();
        let changes = env
            .keep_reader()
            .unwrap()
            .changes_since::<LmdbError>(&old, |change| {
                values.extend(change.new.map(|new| new.value.to_vec()));
                Ok(())
            });
        assert_eq!((changes.unwrap().entries, values), (1, vec![b"value".to_vec()]));
    }

    #[test]
    fn a_dbi_with_flags_of_lmdb_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        let old = env.keep_reader().unwrap();
        let mut writer = env.begin_write().unwrap();
        let mut options = env
            .env
            .database_options()
            .types::<heed::types::Bytes, heed::types::Bytes>();
        options.name("strange").flags(heed::DatabaseFlags::REVERSE_KEY);
        options.create(&mut writer.txn).unwrap();
        writer.dirty = true;
        writer.commit().unwrap();
        let error = count(&old, &env.keep_reader().unwrap()).unwrap_err();
        assert!(
            matches!(&error.kind, LmdbErrorKind::DbiFlags { dbi, flags: 2 } if dbi == "strange"),
            "{error}"
        );
    }

    #[test]
    fn states_of_two_databases_are_not_compared() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = dirs.each_ref().map(|dir| open(dir).keep_reader().unwrap());
        let error = count(&one, &other).unwrap_err().to_string();
        assert!(error.contains("not of one opening"), "{error}");
    }
}
