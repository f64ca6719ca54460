//! The cold start: entries into DBIs that are empty, while nobody else has the file open.
//!
//! Entries come in LMDB's order, so they are appended: no search, no comparison, full pages. Nobody waits for the write
//! lock, so transactions may be long, and nothing is collected beforehand.

use std::time::{Duration, Instant};

use super::ahead::{Ahead, Notes};
use super::dump::TransferError;
use crate::lmdb::{Dbi, Environment, Writer};
use crate::snapshot::Entry;

/// Most bytes of one transaction. LMDB has its pages in memory until they are written, and keeps that memory.
const BYTES: usize = 2 << 20;
/// Longest transaction: PowerDNS may start meanwhile, and then waits for the lock.
const TIME: Duration = Duration::from_millis(250);
/// Entries between two looks at the clock.
const ENTRIES_PER_LOOK: u32 = 256;

/// What became of an entry.
pub(in crate::sync) enum Filled {
    Yes,
    /// It has to be compared with what is there, like all that follow; nothing of it is written.
    No,
}

pub(in crate::sync) struct Filler<'e> {
    env: &'e Environment,
    ahead: &'e Ahead,
    open: Option<Open<'e>>,
    /// Transactions that ended.
    pub(in crate::sync) txn_ids: Vec<u64>,
    /// The time that LMDB took to put them on disk.
    pub(in crate::sync) committing: Duration,
    /// Somebody else had opened the file when a transaction ended, and may have seen the state before.
    pub(in crate::sync) joined: bool,
}

struct Open<'e> {
    writer: Writer<'e>,
    notes: Notes<'e>,
    since: Instant,
    bytes: usize,
    looked: u32,
}

impl<'e> Filler<'e> {
    pub(in crate::sync) fn new(env: &'e Environment, ahead: &'e Ahead) -> Self {
        Self {
            env,
            ahead,
            open: None,
            txn_ids: Vec::new(),
            committing: Duration::ZERO,
            joined: false,
        }
    }

    /// A transaction has begun, and with it the write lock is held.
    pub(in crate::sync) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Opens a DBI for filling, and makes it; `None` when it has entries or somebody else has the file open.
    pub(in crate::sync) fn begin(&mut self, dbi: &str) -> Result<Option<Dbi>, TransferError> {
        if !self.env.is_alone() {
            return Ok(None);
        }
        let open = self.open()?;
        let dbi = open.writer.dbi(dbi)?;
        Ok(open.writer.is_empty(&dbi)?.then_some(dbi))
    }

    fn open(&mut self) -> Result<&mut Open<'e>, TransferError> {
        Ok(match &mut self.open {
            Some(open) => open,
            none => {
                let writer = self.env.begin_write()?;
                none.insert(Open {
                    notes: self.ahead.notes(&writer)?,
                    writer,
                    since: Instant::now(),
                    bytes: 0,
                    looked: 0,
                })
            }
        })
    }

    /// Appends an entry to a DBI that was begun.
    pub(in crate::sync) fn take(&mut self, dbi: &Dbi, entry: &Entry<'_>) -> Result<Filled, TransferError> {
        if self.is_full() {
            self.end()?;
            if !self.env.is_alone() {
                return Ok(Filled::No);
            }
        }
        let open = self.open()?;
        let appended = open
            .writer
            .append(dbi, entry.key, entry.timestamp, entry.deleted, entry.value)?;
        if !appended {
            return Ok(Filled::No);
        }
        open.notes
            .note(&mut open.writer, &dbi.name, entry.key, entry.timestamp)?;
        open.bytes += entry.key.len() + entry.value.len();
        open.looked += 1;
        Ok(Filled::Yes)
    }

    fn is_full(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.bytes >= BYTES {
            return true;
        }
        if open.looked < ENTRIES_PER_LOOK {
            return false;
        }
        open.looked = 0;
        open.since.elapsed() >= TIME
    }

    /// Commits what was appended, so that other transactions can begin.
    pub(in crate::sync) fn end(&mut self) -> Result<(), TransferError> {
        if let Some(open) = self.open.take() {
            let started = Instant::now();
            self.txn_ids.extend(open.writer.commit()?);
            self.committing += started.elapsed();
            self.joined |= !self.env.is_alone();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lmdb::{LmdbError, OpenOptions};

    fn entry<'a>(key: &'a [u8], value: &'a [u8]) -> Entry<'a> {
        Entry {
            key,
            value,
            timestamp: 1,
            deleted: false,
        }
    }

    fn open(path: &std::path::Path) -> Environment {
        let options = OpenOptions {
            map_size: 32 << 20,
            max_dbs: 4,
            create: true,
            no_subdir: true,
        };
        Environment::open(path, &options).unwrap()
    }

    #[test]
    fn more_than_fits_into_one_transaction_goes_into_several_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir.path().join("pdns.lmdb"));
        let ahead = Ahead::alone();
        let mut filler = Filler::new(&env, &ahead);
        let dbi = filler.begin("records_v5").unwrap().unwrap();
        let value = vec![7; 3000];
        for number in 0..3000_u32 {
            let taken = filler.take(&dbi, &entry(&number.to_be_bytes(), &value)).unwrap();
            assert!(matches!(taken, Filled::Yes));
        }
        filler.end().unwrap();
        assert!(filler.txn_ids.len() > 1);
        assert_eq!(filler.txn_ids.last(), Some(&env.last_txn_id()));
        let mut entries = 0;
        env.read(|reader| {
            let dbi = reader.dbi("records_v5")?.unwrap();
            reader.for_each(&dbi, |_, _, _| {
                entries += 1;
                Ok::<(), LmdbError>(())
            })
        })
        .unwrap();
        assert_eq!(entries, 3000);
    }

    #[test]
    fn a_key_that_does_not_come_last_is_refused_and_a_dbi_with_entries_too_without_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir.path().join("pdns.lmdb"));
        let ahead = Ahead::alone();
        let mut filler = Filler::new(&env, &ahead);
        let dbi = filler.begin("records_v5").unwrap().unwrap();
        assert!(matches!(
            filler.take(&dbi, &entry(b"b", b"1")).unwrap(),
            Filled::Yes
        ));
        for key in [&b"a"[..], b"b"] {
            assert!(matches!(
                filler.take(&dbi, &entry(key, b"2")).unwrap(),
                Filled::No
            ));
        }
        filler.end().unwrap();
        assert_eq!(filler.txn_ids, [1]);
        assert!(filler.begin("records_v5").unwrap().is_none());
        filler.end().unwrap();
        assert_eq!((filler.txn_ids.len(), env.last_txn_id()), (1, 1));
    }
}
