//! From a snapshot object into a database.
//!
//! PowerDNS waits while we hold the write lock, so the lock is taken only for what really changes: entries are
//! compared under a reader, the winners are collected, and a batch of them is written at a time. A database that is empty
//! and that nobody else has open is filled in another way, see [`super::fill`].

mod batch;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use self::batch::Batch;
use super::ahead::Ahead;
use super::dump::{TransferError, to_entry};
use super::fill::{Filled, Filler};
use super::quarantine::{Guard, Kept, LeftOut, key_of};
use super::schema::lowers;
use crate::content::{Change, Touched, is_possible};
use crate::lmdb::header::Header;
use crate::lmdb::{Dbi, Environment, Reader};
use crate::merge::replaces;
use crate::snapshot::{Entry, Snapshot, is_private_dbi};

/// Between two batches, so that PowerDNS gets the lock, which is not a fair one.
const PAUSE: Duration = Duration::from_millis(5);

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The transactions of the merge, none if the database already had everything.
    pub txn_ids: Vec<u64>,
    /// Entries looked at.
    pub entries: u64,
    /// How many of them were newer than what the database had.
    pub written: u64,
    /// The newest time of an entry, ns since the epoch.
    pub newest: u64,
    /// What was too far ahead of the time.
    pub left_out: LeftOut,
    /// How long LMDB took to put it on disk.
    pub committing: Duration,
}

/// Merges all entries of a snapshot into a database. Marks older than `oldest_mark` (ns since the epoch) that the database
/// does not know are left out: the sweeper has removed them here, and they must not come back. So are keys that are none.
///
/// # Errors
/// Those of LMDB. Batches that were written before stay; merging again is harmless.
pub fn merge(env: &Environment, snapshot: &mut Snapshot, oldest_mark: u64) -> Result<Merged, TransferError> {
    let terms = Terms {
        oldest_mark,
        ahead: &Ahead::alone(),
        confirm: None,
    };
    merge_and_tell(env, snapshot, (&terms, Guard::open()), &|_| {}).map_err(|interrupted| interrupted.error)
}

/// What a merge goes by, besides the entries' times.
pub(super) struct Terms<'a> {
    /// Marks older than this that the database does not know are left out, ns since the epoch.
    pub(super) oldest_mark: u64,
    pub(super) ahead: &'a Ahead,
    /// An entry that is here already, written by a transaction up to this one, is written once more: so it is known that
    /// others have it.
    pub(super) confirm: Option<u64>,
}

/// The same in a database that PowerDNS writes to. `touch` is called after each commit with what it touched, so that a merge that
/// fails half-way has told of what is in the database.
///
/// # Errors
/// Those of [`merge`].
pub(super) fn merge_and_tell(
    env: &Environment,
    snapshot: &mut Snapshot,
    (terms, guard): (&Terms<'_>, Guard),
    touch: &dyn Fn(Touched),
) -> Result<Merged, Interrupted> {
    let names: Vec<_> = snapshot
        .outline()
        .dbis
        .iter()
        .map(|dbi| dbi.header.name.clone())
        .collect();
    let mut merger = Merger::new(env, touch, terms, guard);
    merger.missing = names.into_iter().filter(|name| !is_private_dbi(name)).collect();
    let taken = snapshot.for_each_entry(|outline, entry| {
        let dbi = &outline.header.name;
        if is_private_dbi(dbi) || !is_possible(dbi, entry.key) {
            Ok(())
        } else {
            merger.take(dbi, &entry)
        }
    });
    merger.end(taken)
}

/// Merges entries that were kept until now.
pub(super) fn merge_kept(
    env: &Environment,
    kept: &[Kept],
    terms: &Terms<'_>,
    touch: &dyn Fn(Touched),
) -> Result<Merged, Interrupted> {
    let mut merger = Merger::new(env, touch, terms, Guard::open());
    merger.came = kept.iter().map(|kept| (&kept.key[..], kept.since)).collect();
    let mut entries = kept.iter().filter_map(Kept::dbi_and_entry);
    let taken = entries.try_for_each(|(dbi, entry)| merger.take(dbi, &entry));
    merger.end(taken)
}

/// Why a merge ended early, and what it had written until then.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) error: TransferError,
    pub(super) txn_ids: Vec<u64>,
}

impl<E: Into<TransferError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            txn_ids: Vec::new(),
        }
    }
}

struct Merger<'e> {
    env: &'e Environment,
    touch: &'e dyn Fn(Touched),
    terms: &'e Terms<'e>,
    guard: Guard,
    /// When what was kept until now came, by its key there.
    came: HashMap<&'e [u8], u64>,
    /// What the own clock said when this began.
    now: u64,
    /// DBIs opened so far; `None` for those that do not exist yet.
    dbis: HashMap<String, Option<Dbi>>,
    /// DBIs that must exist at the end, even if they have no entries.
    missing: Vec<String>,
    reader: Option<Reader<'e>>,
    filler: Filler<'e>,
    current: Current,
    batch: Batch,
    merged: Merged,
}

/// The DBI whose entries come at the moment.
#[derive(Default)]
struct Current {
    name: String,
    /// It was empty and is being filled.
    filled: Option<Dbi>,
}

impl<'e> Merger<'e> {
    fn new(env: &'e Environment, touch: &'e dyn Fn(Touched), terms: &'e Terms<'e>, guard: Guard) -> Self {
        Self {
            env,
            touch,
            now: terms.ahead.now(),
            terms,
            guard,
            came: HashMap::new(),
            dbis: HashMap::new(),
            missing: Vec::new(),
            reader: None,
            filler: Filler::new(env, terms.ahead),
            current: Current::default(),
            batch: Batch::default(),
            merged: Merged::default(),
        }
    }

    fn take(&mut self, dbi: &str, incoming: &Entry<'_>) -> Result<(), TransferError> {
        self.merged.entries += 1;
        if self.current.name != dbi {
            self.turn_to(dbi)?;
        }
        if self.guard.is_ahead(incoming.timestamp) && self.keep_out(dbi, incoming)? {
            return Ok(());
        }
        self.merged.newest = self.merged.newest.max(incoming.timestamp);
        if let Some(filled) = &self.current.filled {
            if incoming.deleted && incoming.timestamp < self.terms.oldest_mark {
                return Ok(());
            }
            if let Filled::Yes = self.filler.take(filled, incoming)? {
                self.merged.written += 1;
                return Ok(());
            }
            self.end_filling()?;
            self.current.filled = None;
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.env.begin_read()?),
        };
        if !self.dbis.contains_key(dbi) {
            self.dbis.insert(dbi.to_owned(), reader.dbi(dbi)?);
        }
        if self.guard.has_kept(reader, dbi, incoming)? {
            return Ok(());
        }
        let local = match self.dbis.get(dbi) {
            Some(Some(handle)) => reader.get(handle, incoming.key)?,
            _ => None,
        };
        let won = match local {
            Some((header, value)) => {
                let local = to_entry(incoming.key, header, value);
                // Under the lock it is known better.
                let timestamp = match self.terms.ahead.least(header, self.now) {
                    _ if is_recalled(self.terms.ahead, &self.guard, incoming, &local, header) => 0,
                    least => least,
                };
                let least = Entry { timestamp, ..local };
                wins(dbi, incoming, &least) || self.terms.confirms(incoming, &local, header.txn_id)
            }
            None => !incoming.deleted || incoming.timestamp >= self.terms.oldest_mark,
        };
        if won {
            self.batch.push(dbi, incoming);
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), TransferError> {
        if self.batch.is_full() {
            self.flush()?;
            if !self.env.is_alone() {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Leaves out an entry that is too far ahead of the time, and keeps it, also if there is no other difference to what is here: its
    /// writer has it with that time. False if it is merged all the same: where it replaces one that is as far ahead.
    fn keep_out(&mut self, dbi: &str, incoming: &Entry<'_>) -> Result<bool, TransferError> {
        let mut found = None;
        // What is being filled was empty.
        if self.current.filled.is_none() {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => none.insert(self.env.begin_read()?),
            };
            if let Some(handle) = reader.dbi(dbi)?
                && let Some((local, value)) = reader.get(&handle, incoming.key)?
            {
                if self.guard.is_ahead(local.timestamp) {
                    return Ok(false);
                }
                let txn_id = local.txn_id;
                let local = to_entry(incoming.key, local, value);
                found = Some(local.timestamp);
                // Others have something under this key, whatever of it is merged.
                if self.terms.confirms(&local, &local, txn_id) {
                    self.batch.push(dbi, &local);
                }
            }
        }
        self.flush_if_full()?;
        let held = self.guard.hold(dbi, incoming, found);
        if self.guard.is_full() {
            self.end_filling()?;
            self.current.filled = None;
            if let Some(reader) = self.reader.take() {
                reader.finish()?;
            }
            self.merged.txn_ids.extend(self.guard.write(self.env)?);
        }
        Ok(held)
    }

    /// Finds out how to take the entries of a DBI that follow.
    fn turn_to(&mut self, dbi: &str) -> Result<(), TransferError> {
        dbi.clone_into(&mut self.current.name);
        self.current.filled = None;
        // A batch and a filler do not mix: each has its own transaction. Whether somebody else has the file open takes longer to
        // find out than a single change takes to merge, so that is asked last.
        if self.batch.is_empty() && (self.filler.is_open() || !self.has_entries(dbi)?) {
            if let Some(reader) = self.reader.take() {
                reader.finish()?;
            }
            self.current.filled = self.filler.begin(dbi)?;
        }
        if self.current.filled.is_none() {
            self.end_filling()?;
        }
        Ok(())
    }

    fn has_entries(&mut self, dbi: &str) -> Result<bool, TransferError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.env.begin_read()?),
        };
        Ok(match reader.dbi(dbi)? {
            Some(handle) => !reader.is_empty(&handle)?,
            None => false,
        })
    }

    /// While nobody else has the file open there are no caches to tell of what was filled.
    fn end_filling(&mut self) -> Result<(), TransferError> {
        self.filler.end()?;
        if std::mem::take(&mut self.filler.joined) {
            (self.touch)(Touched::everything());
        }
        Ok(())
    }

    /// Writes the batch. PowerDNS may have written since the entries were compared, so they are compared again, with the times
    /// that count.
    fn flush(&mut self) -> Result<(), TransferError> {
        if let Some(reader) = self.reader.take() {
            reader.finish()?;
        }
        let mut writer = self.env.begin_write()?;
        let mut notes = self.terms.ahead.notes(&writer)?;
        let mut touched = Touched::default();
        for (dbi, entry) in self.batch.iter() {
            let handle = match self.dbis.get(dbi) {
                Some(Some(handle)) => handle.clone(),
                _ => {
                    let handle = writer.dbi(dbi)?;
                    self.dbis.insert(dbi.to_owned(), Some(handle.clone()));
                    handle
                }
            };
            let (old, header) = match writer.get(&handle, entry.key)? {
                Some((header, value)) => {
                    let old = to_entry(entry.key, header, value);
                    let timestamp = if is_recalled(self.terms.ahead, &self.guard, &entry, &old, header) {
                        0
                    } else {
                        notes.time_of(&writer, dbi, entry.key, header)?
                    };
                    (Some(Entry { timestamp, ..old }), Some(header))
                }
                None => (None, None),
            };
            if let (Some(old), Some(header)) = (&old, header)
                && self.terms.confirms(&entry, old, header.txn_id)
            {
                notes.put(&mut writer, &handle, &entry)?;
                continue;
            }
            if self.is_outlived(dbi, entry.key, header) {
                continue;
            }
            if old.as_ref().is_none_or(|old| wins(dbi, &entry, old)) {
                touched.note(&Change {
                    dbi,
                    key: entry.key,
                    old: old.filter(|old| !old.deleted).map(|old| old.value),
                    new: (!entry.deleted).then_some(entry.value),
                });
                notes.put(&mut writer, &handle, &entry)?;
                self.merged.written += 1;
            }
        }
        if let Some((dbi, entry)) = self.batch.last() {
            notes.expire(&mut writer, dbi, entry.key)?;
        }
        let started = Instant::now();
        self.merged.txn_ids.extend(writer.commit()?);
        self.merged.committing += started.elapsed();
        (self.touch)(touched);
        self.batch.clear();
        Ok(())
    }

    /// PowerDNS has written something under the key of a kept entry since it was looked at what came after that.
    fn is_outlived(&self, dbi: &str, key: &[u8], local: Option<Header>) -> bool {
        let (Some(local), false) = (local, self.came.is_empty()) else {
            return false;
        };
        let came = key_of(dbi, key).and_then(|key| self.came.get(&key[..]).copied());
        came.is_some_and(|came| local.timestamp > came)
    }

    /// Writes what is left, unless something went wrong before.
    fn end(mut self, taken: Result<(), TransferError>) -> Result<Merged, Interrupted> {
        let finished = taken.and_then(|()| self.finish());
        self.merged.txn_ids.append(&mut self.filler.txn_ids);
        self.merged.txn_ids.sort_unstable();
        self.merged.committing += self.filler.committing;
        self.merged.left_out = self.guard.left_out;
        match finished {
            Ok(()) => Ok(self.merged),
            Err(error) => Err(Interrupted {
                error,
                txn_ids: self.merged.txn_ids,
            }),
        }
    }

    fn finish(&mut self) -> Result<(), TransferError> {
        self.end_filling()?;
        let mut missing = std::mem::take(&mut self.missing);
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.env.begin_read()?,
        };
        for name in &missing {
            if let Some(handle) = reader.dbi(name)? {
                self.dbis.insert(name.clone(), Some(handle));
            }
        }
        reader.finish()?;
        missing.retain(|name| !matches!(self.dbis.get(name), Some(Some(_))) && !self.batch.has(name));
        if !missing.is_empty() {
            let mut writer = self.env.begin_write()?;
            for name in &missing {
                writer.dbi(name)?;
            }
            self.merged.txn_ids.extend(writer.commit()?);
        }
        if !self.batch.is_empty() {
            self.flush()?;
        }
        self.merged.txn_ids.extend(self.guard.write(self.env)?);
        Ok(())
    }
}

impl Terms<'_> {
    /// True if what is here, written by this transaction, is to be known as what others have.
    fn confirms(&self, incoming: &Entry<'_>, local: &Entry<'_>, txn_id: u64) -> bool {
        self.confirm.is_some_and(|last| txn_id <= last) && incoming == local
    }
}

/// Another has given the same the time that it should have, so this one need not.
fn is_recalled(
    ahead: &Ahead,
    guard: &Guard,
    incoming: &Entry<'_>,
    local: &Entry<'_>,
    header: Header,
) -> bool {
    ahead.is_beyond(header)
        && !guard.is_ahead(incoming.timestamp)
        && (incoming.deleted, incoming.value) == (local.deleted, local.value)
}

fn wins(dbi: &str, incoming: &Entry<'_>, local: &Entry<'_>) -> bool {
    replaces(incoming, local) && !lowers(dbi, incoming, local)
}
