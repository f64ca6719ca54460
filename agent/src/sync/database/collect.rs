//! What was written to a database since one of its states, as a delta object.

use std::collections::BTreeSet;
use std::io::Seek as _;
use std::sync::Arc;

use tempfile::SpooledTempFile;

use super::ahead::{AHEAD_DBI, Ahead, after, note_key, replaced};
use super::dump::{TransferError, to_entry};
use super::loss::Lost;
use super::settle::Later;
use crate::content::keys::zone_made_by;
use crate::lmdb::header::Header;
use crate::lmdb::{Change, Environment, KeptReader, LmdbError, LmdbErrorKind, Reader, Version, scan_since};
use crate::snapshot::{DeltaWriter, EncodeError, Entry, Meta, is_private_dbi};
use crate::store::spool;
use crate::sync::known::deleted_zones::Deleted;

/// Entries are given to the caller, too, as long as they are few: most bytes of their keys and values.
const FEW: usize = 64 << 10;

/// A state of the database that somebody else has: the store, or the peers.
#[derive(Default, Clone)]
pub(in crate::sync) struct Synced {
    /// Its time, ns since the epoch; 0: nobody has any.
    pub(in crate::sync) time: u64,
    /// The transaction that led to it.
    pub(in crate::sync) txn: u64,
    /// Keeps its pages for the comparison with later ones; without it every entry is looked at.
    pub(in crate::sync) reader: Option<Arc<KeptReader>>,
}

/// An entry that was written, and its DBI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) struct Written {
    pub(in crate::sync) dbi: String,
    pub(in crate::sync) key: Vec<u8>,
    pub(in crate::sync) value: Vec<u8>,
    pub(in crate::sync) timestamp: u64,
    pub(in crate::sync) deleted: bool,
}

impl Written {
    pub(in crate::sync) fn new(dbi: &str, entry: &Entry<'_>) -> Self {
        Self {
            dbi: dbi.to_owned(),
            key: entry.key.to_vec(),
            value: entry.value.to_vec(),
            timestamp: entry.timestamp,
            deleted: entry.deleted,
        }
    }

    /// Of its key and value.
    pub(in crate::sync) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    /// Its DBI and key.
    pub(in crate::sync) fn place(&self) -> (String, Vec<u8>) {
        (self.dbi.clone(), self.key.clone())
    }

    pub(in crate::sync) fn entry(&self) -> Entry<'_> {
        Entry {
            key: &self.key,
            value: &self.value,
            timestamp: self.timestamp,
            deleted: self.deleted,
        }
    }
}

/// A delta that is not named yet.
pub(in crate::sync) struct Collected {
    pub(in crate::sync) object: SpooledTempFile,
    /// Bytes.
    pub(in crate::sync) size: u64,
    pub(in crate::sync) entries: u64,
    /// The entries once more, if they are few.
    pub(in crate::sync) few: Option<Vec<Written>>,
    /// What is to be put back before this is given to anybody.
    pub(in crate::sync) lost: Lost,
    /// What is left out because it has not got its time yet: with the one it has it would lose against what it replaced.
    pub(in crate::sync) later: Vec<Later>,
    /// The newest time of an entry that is not noted, ns since the epoch.
    pub(in crate::sync) newest: u64,
    /// Zones that are gone.
    pub(in crate::sync) deleted: Deleted,
}

impl Collected {
    /// A delta without entries.
    pub(in crate::sync) fn nothing(env: &Environment, meta: &Meta) -> Result<Self, TransferError> {
        Ok(Collector::new(env, (&BTreeSet::new(), &Ahead::alone()), meta)?.finish()?)
    }
}

/// Collects what was written between `from` and `to`, less what the transactions in `foreign` wrote: merges of what others
/// have stored.
///
/// # Errors
/// Those of LMDB and of the temporary file.
pub(in crate::sync) fn collect(
    env: &Environment,
    from: &Synced,
    to: &KeptReader,
    (foreign, ahead): (&BTreeSet<u64>, &Ahead),
    meta: &Meta,
) -> Result<Collected, TransferError> {
    if let Some(reader) = &from.reader {
        let mut collector = Collector::new(env, (foreign, ahead), meta)?;
        let walked = walk(&mut collector, reader, to);
        match walked {
            Ok(()) => return Ok(collector.finish()?),
            Err(TransferError::Lmdb(LmdbError {
                kind: kind @ LmdbErrorKind::Page { .. },
                ..
            })) => {
                tracing::warn!(path = %env.path().display(), error = %kind, "cannot compare pages: looking at every entry");
            }
            Err(error) => return Err(error),
        }
    }
    let mut collector = Collector::new(env, (foreign, ahead), meta)?;
    env.read(|reader| scan(&mut collector, reader, from.txn))?;
    Ok(collector.finish()?)
}

/// Collects what these transactions wrote, as far as nothing was put over it.
///
/// # Errors
/// Those of [`collect`].
pub(in crate::sync) fn collect_writes(
    env: &Environment,
    writes: &BTreeSet<u64>,
    meta: &Meta,
) -> Result<Collected, TransferError> {
    let (nothing, alone) = (BTreeSet::new(), Ahead::alone());
    let mut collector = Collector::new(env, (&nothing, &alone), meta)?;
    let before = writes.first().map_or(u64::MAX, |first| first.saturating_sub(1));
    env.read(|reader| {
        scan_since(reader, before, |change| match change.new {
            Some(new) if writes.contains(&new.header.txn_id) && !is_private_dbi(change.dbi) => {
                collector.write(change.dbi, change.key, new)
            }
            _ => Ok(()),
        })
    })?;
    Ok(collector.finish()?)
}

/// Collects what was collected before, in parts, DBI by DBI.
///
/// # Errors
/// Those of the temporary file.
pub(in crate::sync) fn collect_again(
    env: &Environment,
    written: &[Written],
    meta: &Meta,
) -> Result<Collected, TransferError> {
    let (nothing, alone) = (BTreeSet::new(), Ahead::alone());
    let mut collector = Collector::new(env, (&nothing, &alone), meta)?;
    for written in written {
        collector.put(&written.dbi, &written.entry())?;
    }
    Ok(collector.finish()?)
}

/// The zones that were deleted since a state, less what the transactions in `foreign` wrote, and those up to `forgotten`, of which nobody
/// knows whose they were.
///
/// # Errors
/// Those of LMDB.
pub(in crate::sync) fn deleted_since(
    env: &Arc<Environment>,
    from: &Synced,
    (foreign, forgotten): (&BTreeSet<u64>, u64),
) -> Result<Deleted, LmdbError> {
    let mut deleted = Deleted::new();
    let mut take = |change: &Change<'_>| {
        let writer = change.new.map(|new| new.header.txn_id);
        if writer.is_some_and(|txn_id| txn_id > forgotten && !foreign.contains(&txn_id)) {
            deleted.extend(deleted_zone(change));
        }
    };
    if let Some(reader) = &from.reader {
        let to = env.keep_newest()?;
        let walked = to.changes_since(reader, |change| {
            take(&change);
            Ok::<(), LmdbError>(())
        });
        if walked.is_ok() {
            return Ok(deleted);
        }
    }
    env.read(|reader| {
        scan_since(reader, from.txn, |change| {
            take(&change);
            Ok::<(), LmdbError>(())
        })
    })?;
    Ok(deleted)
}

/// The zone that is gone with a change, and when it was deleted.
fn deleted_zone(change: &Change<'_>) -> Option<(u32, u64)> {
    let new = change.new.filter(|new| new.header.deleted)?;
    let was_there = change.old.is_none_or(|old| !old.header.deleted);
    let zone = zone_made_by(change.dbi, change.key).filter(|_| was_there)?;
    Some((zone, new.header.timestamp))
}

fn walk(collector: &mut Collector<'_>, from: &KeptReader, to: &KeptReader) -> Result<(), TransferError> {
    let noted = !to.is_empty(AHEAD_DBI)?;
    let note = |key: &[u8]| {
        if noted {
            to.header(AHEAD_DBI, key)
        } else {
            Ok(None)
        }
    };
    to.changes_since(from, |change| collector.take(&change, note))?;
    Ok(())
}

fn scan(collector: &mut Collector<'_>, reader: &Reader<'_>, since: u64) -> Result<(), TransferError> {
    let notes = reader.dbi(AHEAD_DBI)?;
    let note = |key: &[u8]| match &notes {
        Some(notes) => Ok(reader.get(notes, key)?.map(|(note, _)| note)),
        None => Ok(None),
    };
    scan_since(reader, since, |change| collector.take(&change, note))
}

struct Collector<'f> {
    foreign: &'f BTreeSet<u64>,
    ahead: &'f Ahead,
    /// What the own clock says.
    now: u64,
    writer: DeltaWriter<SpooledTempFile>,
    few: Option<Vec<Written>>,
    later: Vec<Later>,
    newest: u64,
    bytes: usize,
    lost: Lost,
    deleted: Deleted,
}

impl<'f> Collector<'f> {
    fn new(
        env: &Environment,
        (foreign, ahead): (&'f BTreeSet<u64>, &'f Ahead),
        meta: &Meta,
    ) -> Result<Self, EncodeError> {
        Ok(Self {
            foreign,
            ahead,
            now: ahead.now(),
            writer: DeltaWriter::new(spool(env.folder()), meta)?,
            few: Some(Vec::new()),
            later: Vec::new(),
            newest: 0,
            bytes: 0,
            lost: Lost::default(),
            deleted: Deleted::new(),
        })
    }

    /// `note`: the header of the note under a key, if there is one.
    fn take(
        &mut self,
        change: &Change<'_>,
        note: impl FnOnce(&[u8]) -> Result<Option<Header>, LmdbError>,
    ) -> Result<(), TransferError> {
        let is_foreign = change
            .new
            .is_some_and(|new| self.foreign.contains(&new.header.txn_id));
        if is_private_dbi(change.dbi) || self.lost.note(change, is_foreign && self.ahead.believes(change)) {
            return Ok(());
        }
        let Some(new) = change.new.filter(|_| !is_foreign) else {
            return Ok(());
        };
        let note = match note_key(change.dbi, change.key) {
            Some(key) => note(&key)?,
            None => None,
        };
        let floor = [change.old.map(|old| old.header), replaced(note, new.header)];
        let floor = floor
            .map(|replaced| self.ahead.floor(replaced))
            .into_iter()
            .max()
            .flatten();
        let time = after(self.ahead.corrected(new.header, self.now), floor);
        if time != new.header.timestamp && !self.ahead.stays(change.dbi, change.key, new.header) {
            self.later.push(Later::of(change, new.header, floor));
            return Ok(());
        }
        if note.is_none_or(|note| note.txn_id != new.header.txn_id) {
            self.newest = self.newest.max(new.header.timestamp);
        }
        self.deleted.extend(deleted_zone(change));
        self.write(change.dbi, change.key, new)
    }

    fn write(&mut self, dbi: &str, key: &[u8], new: Version<'_>) -> Result<(), TransferError> {
        self.put(dbi, &to_entry(key, new.header, new.value))
    }

    fn put(&mut self, dbi: &str, entry: &Entry<'_>) -> Result<(), TransferError> {
        self.writer.entry(dbi, entry)?;
        self.bytes += entry.key.len() + entry.value.len();
        if self.bytes > FEW {
            self.few = None;
        }
        if let Some(few) = &mut self.few {
            few.push(Written::new(dbi, entry));
        }
        Ok(())
    }

    fn finish(self) -> Result<Collected, EncodeError> {
        let entries = self.writer.entries();
        let mut object = self.writer.finish()?;
        let size = object.stream_position().map_err(EncodeError::Io)?;
        Ok(Collected {
            object,
            size,
            entries,
            few: self.few,
            lost: self.lost,
            later: self.later,
            newest: self.newest,
            deleted: self.deleted,
        })
    }
}
