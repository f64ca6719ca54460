//! From a snapshot object into a database.
//!
//! PowerDNS waits while we hold the write lock, so the lock is taken only for what really changes: entries are
//! compared under a reader, the winners are collected, and a batch of them is written at a time. A database that is empty
//! and that nobody else has open is filled in another way, see [`super::fill`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::dump::{TransferError, to_entry};
use super::fill::{Filled, Filler};
use super::schema::lowers;
use crate::lmdb::{Dbi, Environment, Reader};
use crate::merge::replaces;
use crate::powerdns::{Change, Touched};
use crate::snapshot::{Entry, Snapshot, is_private_dbi};

/// Most entries and bytes that are written in one transaction: a few milliseconds of the write lock. What fits is seen
/// by readers all at once.
const BATCH_ENTRIES: usize = 10_000;
const BATCH_BYTES: usize = 2 << 20;
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
    /// How long LMDB took to put it on disk.
    pub committing: Duration,
}

/// Merges all entries of a snapshot into a database. Marks older than `oldest_mark` (ns since the epoch) that the database
/// does not know are left out: the sweeper has removed them here, and they must not come back.
///
/// # Errors
/// Those of LMDB. Batches that were written before stay; merging again is harmless.
pub fn merge(env: &Environment, snapshot: &mut Snapshot, oldest_mark: u64) -> Result<Merged, TransferError> {
    let terms = Terms {
        oldest_mark,
        ahead: &Ahead::alone(),
        confirm: None,
    };
    merge_and_tell(env, snapshot, &terms, &|_| {})
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
    terms: &Terms<'_>,
    touch: &dyn Fn(Touched),
) -> Result<Merged, TransferError> {
    let names: Vec<_> = snapshot
        .outline()
        .dbis
        .iter()
        .map(|dbi| dbi.header.name.clone())
        .collect();
    let mut merger = Merger {
        env,
        touch,
        terms,
        dbis: HashMap::new(),
        missing: names
            .iter()
            .filter(|name| !is_private_dbi(name))
            .cloned()
            .collect(),
        reader: None,
        filler: Filler::new(env, terms.ahead),
        current: Current::default(),
        batch: Batch::default(),
        merged: Merged::default(),
    };
    snapshot.for_each_entry(|outline, entry| {
        if is_private_dbi(&outline.header.name) {
            Ok(())
        } else {
            merger.take(&outline.header.name, &entry)
        }
    })?;
    merger.finish()
}

struct Merger<'e> {
    env: &'e Environment,
    touch: &'e dyn Fn(Touched),
    terms: &'e Terms<'e>,
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

impl Merger<'_> {
    fn take(&mut self, dbi: &str, incoming: &Entry<'_>) -> Result<(), TransferError> {
        self.merged.entries += 1;
        self.merged.newest = self.merged.newest.max(incoming.timestamp);
        if self.current.name != dbi {
            self.turn_to(dbi)?;
        }
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
        let local = match self.dbis.get(dbi) {
            Some(Some(handle)) => reader.get(handle, incoming.key)?,
            _ => None,
        };
        let won = match local {
            Some((header, value)) => {
                let local = to_entry(incoming.key, header, value);
                wins(dbi, incoming, &local) || self.terms.confirms(incoming, &local, header.txn_id)
            }
            None => !incoming.deleted || incoming.timestamp >= self.terms.oldest_mark,
        };
        if won {
            self.batch.push(dbi, incoming);
            if self.batch.is_full() {
                self.flush()?;
                if !self.env.is_alone() {
                    std::thread::sleep(PAUSE);
                }
            }
        }
        Ok(())
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
            let (old, txn_id) = match writer.get(&handle, entry.key)? {
                Some((header, value)) => {
                    let timestamp = notes.time_of(&writer, dbi, entry.key, header)?;
                    let old = to_entry(entry.key, header, value);
                    (Some(Entry { timestamp, ..old }), header.txn_id)
                }
                None => (None, 0),
            };
            if let Some(old) = &old
                && self.terms.confirms(&entry, old, txn_id)
            {
                notes.put(&mut writer, &handle, &entry)?;
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

    fn finish(mut self) -> Result<Merged, TransferError> {
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
        self.merged.txn_ids.append(&mut self.filler.txn_ids);
        self.merged.txn_ids.sort_unstable();
        self.merged.committing += self.filler.committing;
        Ok(self.merged)
    }
}

impl Terms<'_> {
    /// True if what is here, written by this transaction, is to be known as what others have.
    fn confirms(&self, incoming: &Entry<'_>, local: &Entry<'_>, txn_id: u64) -> bool {
        self.confirm.is_some_and(|last| txn_id <= last) && incoming == local
    }
}

fn wins(dbi: &str, incoming: &Entry<'_>, local: &Entry<'_>) -> bool {
    replaces(incoming, local) && !lowers(dbi, incoming, local)
}

/// Entries that won, out of the snapshot's buffers and in few allocations.
#[derive(Default)]
struct Batch {
    dbis: Vec<String>,
    items: Vec<Item>,
    bytes: Vec<u8>,
}

struct Item {
    dbi: usize,
    key: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
    timestamp: u64,
    deleted: bool,
}

impl Batch {
    fn push(&mut self, dbi: &str, entry: &Entry<'_>) {
        // Entries come DBI by DBI.
        if self.dbis.last().is_none_or(|last| last != dbi) {
            self.dbis.push(dbi.to_owned());
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(entry.value);
        self.items.push(Item {
            dbi: self.dbis.len() - 1,
            key: start..middle,
            value: middle..self.bytes.len(),
            timestamp: entry.timestamp,
            deleted: entry.deleted,
        });
    }

    fn is_full(&self) -> bool {
        self.items.len() >= BATCH_ENTRIES || self.bytes.len() >= BATCH_BYTES
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn has(&self, dbi: &str) -> bool {
        self.dbis.iter().any(|name| name == dbi)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, Entry<'_>)> {
        self.items.iter().map(|item| {
            let entry = Entry {
                key: &self.bytes[item.key.clone()],
                value: &self.bytes[item.value.clone()],
                timestamp: item.timestamp,
                deleted: item.deleted,
            };
            (self.dbis[item.dbi].as_str(), entry)
        })
    }

    fn last(&self) -> Option<(&str, Entry<'_>)> {
        self.iter().next_back()
    }

    fn clear(&mut self) {
        self.dbis.clear();
        self.items.clear();
        self.bytes.clear();
    }
}
