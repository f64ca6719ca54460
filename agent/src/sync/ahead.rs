//! What PowerDNS puts over an entry is later than it, whatever the clocks say.
//!
//! PowerDNS stamps a write with its own clock. If that is behind the clock of whoever wrote what is replaced, the later write has
//! the earlier time, and would lose everywhere. So a merge *notes* in its own transaction every entry that is ahead of the clock
//! here: in a private DBI, with the entry's time and the transaction that wrote it. An entry under a noted key that another
//! transaction wrote is a later write of PowerDNS', and counts with a time above the noted one. What is not noted is older than
//! the clock, so whatever PowerDNS writes next is later by itself, unless the clock is set back: then the state that was
//! collected last tells what was replaced.
//!
//! A server that is certain that its clock is wrong gives what PowerDNS wrote the fleet's time as well.
//!
//! Only what is written by us keeps the notes true, so everything that goes into a DBI of PowerDNS' goes through [`Notes::put`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fleet_time::FleetTime;
use super::replica::Clock;
use crate::lmdb::header::Header;
use crate::lmdb::{Change, Dbi, KeptReader, LmdbError, Reader, Writer};
use crate::snapshot::{Entry, MAX_KEY_LEN};

/// The notes: under the DBI's name, a zero byte and the key a value whose header has the entry's time and transaction: when it came, by the
/// fleet's time in ns since the epoch (8 bytes).
pub const AHEAD_DBI: &str = "_sync_ahead";

/// Notes that are looked at after a merge, in case the clock has passed them.
const LOOKED_AT: usize = 64;

/// What tells which of two writes on this server is the later one.
pub struct Ahead {
    clock: Clock,
    /// The state that was collected last, and the transactions since then that are none of PowerDNS'.
    pub(super) kept: Option<Arc<KeptReader>>,
    foreign: BTreeSet<u64>,
    /// How far the clock is from the fleet's time, the latest time that is believed, and the transactions that have given times
    /// by that already.
    fleet: FleetTime,
    believed: Believed,
    settled: BTreeSet<u64>,
    /// Entries that were looked at, and have the times that they should have.
    stay: BTreeSet<Stay>,
}

/// Up to which time entries that are here are believed, ns since the epoch. Others are of no clock that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Believed {
    /// Of those that others may have.
    pub(super) latest: u64,
    /// Of those that nobody else has, which are of later transactions than `told`, but not of `merged`.
    pub(super) latest_untold: u64,
    pub(super) told: u64,
    pub(super) merged: BTreeSet<u64>,
    /// The transaction up to which all was stored, and when that was, ns since the epoch.
    pub(super) stored: (u64, u64),
}

impl Believed {
    pub(super) fn all() -> Self {
        Self {
            latest: u64::MAX,
            latest_untold: u64::MAX,
            told: u64::MAX,
            merged: BTreeSet::new(),
            stored: (0, 0),
        }
    }
}

/// An entry by its DBI, key, and the transaction that wrote it.
pub(super) type Stay = (String, Vec<u8>, u64);

impl Ahead {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept: None,
            foreign: BTreeSet::new(),
            fleet: FleetTime::UNKNOWN,
            believed: Believed::all(),
            settled: BTreeSet::new(),
            stay: BTreeSet::new(),
        }
    }

    /// For a database that nobody else writes to: no entry is ahead.
    pub fn alone() -> Self {
        Self::new(Arc::new(|| u64::MAX))
    }

    /// The same where a state is known that was collected, with the transactions since then that are none of PowerDNS'.
    pub(super) fn since(self, kept: Option<Arc<KeptReader>>, foreign: BTreeSet<u64>) -> Self {
        Self {
            kept,
            foreign,
            ..self
        }
    }

    /// The same where the fleet's time is known. `settled` are the transactions that have given times by it.
    pub(super) fn by(self, fleet: FleetTime, believed: Believed, settled: BTreeSet<u64>) -> Self {
        Self {
            fleet,
            believed,
            settled,
            ..self
        }
    }

    /// These transactions have given times.
    pub(super) fn has_settled(&mut self, txn_ids: &[u64]) {
        self.settled.extend(txn_ids);
    }

    /// These transactions are none of PowerDNS'.
    pub(super) fn has_mended(&mut self, txn_ids: &[u64]) {
        self.foreign.extend(txn_ids);
    }

    /// What the clock says.
    pub(super) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// No later write of PowerDNS' has an earlier time than this, as it is or by the fleet's time.
    pub(super) fn earliest(&self) -> u64 {
        self.fleet.earliest(self.now())
    }

    /// Times may have to be corrected that no state from before shows.
    pub(super) fn knows_a_limit(&self) -> bool {
        self.believed.latest != u64::MAX
    }

    /// PowerDNS wrote it by a clock that is wrong, and it has not got its time yet.
    pub(super) fn is_pending(&self, header: Header, now: u64) -> bool {
        self.is_new(header) && self.fleet.stamp(header.timestamp, now) != header.timestamp
    }

    /// A merge wrote it, or it has its time already.
    pub(super) fn is_ours(&self, header: Header) -> bool {
        self.foreign.contains(&header.txn_id) || self.settled.contains(&header.txn_id)
    }

    fn is_new(&self, header: Header) -> bool {
        let kept = self.kept.as_ref();
        !self.is_ours(header) && kept.is_some_and(|kept| header.txn_id > kept.txn_id())
    }

    /// The time that an entry should have by the fleet's, when the own clock says `now`: another one if PowerDNS wrote it by a
    /// clock that is wrong.
    pub(super) fn corrected(&self, header: Header, now: u64) -> u64 {
        match header.timestamp {
            raw if self.is_new(header) => self.fleet.stamp(raw, now),
            // Not later than now, nor than it was stored. When it came only a note tells.
            _ if self.is_beyond(header) => match self.believed.stored {
                (txn_id, time) if header.txn_id <= txn_id => self.fleet.now(now).min(time),
                _ => self.fleet.now(now),
            },
            raw => raw,
        }
    }

    /// The least time that an entry may come to count with.
    pub(super) fn least(&self, header: Header, now: u64) -> u64 {
        if self.is_beyond(header) {
            return 0;
        }
        self.corrected(header, now).min(header.timestamp)
    }

    /// It has a time that no right clock has.
    pub(super) fn is_beyond(&self, header: Header) -> bool {
        let Believed { told, merged, .. } = &self.believed;
        let txn_id = header.txn_id;
        let is_known_elsewhere = txn_id <= *told || merged.contains(&txn_id) || self.is_ours(header);
        let latest = if is_known_elsewhere {
            self.believed.latest
        } else {
            self.believed.latest_untold
        };
        header.timestamp > latest && !self.is_new(header)
    }

    /// It was looked at, and has the time that it should have.
    pub(super) fn stays(&self, dbi: &str, key: &[u8], header: Header) -> bool {
        !self.stay.is_empty() && self.stay.contains(&(dbi.to_owned(), key.to_vec(), header.txn_id))
    }

    /// These have the times that they should have.
    pub(super) fn let_stay(&mut self, stay: Vec<Stay>) {
        self.stay.extend(stay);
    }

    /// The time above which an entry counts that replaced another, unless that is of a clock that was wrong.
    pub(super) fn floor(&self, replaced: Option<Header>) -> Option<u64> {
        let replaced = replaced.filter(|replaced| !self.is_beyond(*replaced));
        replaced.map(|replaced| replaced.timestamp)
    }

    /// What an entry replaced had a time that is believed.
    pub(super) fn believes(&self, change: &Change<'_>) -> bool {
        change.old.is_none_or(|old| !self.is_beyond(old.header))
    }

    /// The notes as a write transaction sees them.
    pub(super) fn notes(&self, writer: &Writer<'_>) -> Result<Notes<'_>, LmdbError> {
        let dbi = writer.existing_dbi(AHEAD_DBI)?;
        let any = match &dbi {
            Some(dbi) => !writer.is_empty(dbi)?,
            None => false,
        };
        // Under the write lock: PowerDNS reads the clock for its next write after this.
        let now = self.now();
        Ok(Notes {
            ahead: self,
            now,
            earliest: self.fleet.earliest(now),
            dbi,
            any,
        })
    }

    /// What PowerDNS replaced since the last collection.
    fn replaced(&self, dbi: &str, key: &[u8], header: Header) -> Option<Header> {
        let kept = self.kept.as_ref()?;
        // What has its time already is later than what it replaced.
        if header.txn_id <= kept.txn_id() || self.is_ours(header) {
            return None;
        }
        kept.header(dbi, key).unwrap_or_else(|error| {
            tracing::debug!(%error, "what an entry replaced is not known");
            None
        })
    }
}

/// The notes in a write transaction.
pub(super) struct Notes<'a> {
    ahead: &'a Ahead,
    now: u64,
    /// No later write of PowerDNS' has an earlier time than this, as it is or by the fleet's time.
    earliest: u64,
    dbi: Option<Dbi>,
    /// There are notes.
    any: bool,
}

impl Notes<'_> {
    /// The time that an entry of this database counts with: its own, or a later one if PowerDNS put it over another with a time
    /// that is not lower.
    pub(super) fn time_of(
        &self,
        writer: &Writer<'_>,
        dbi: &str,
        key: &[u8],
        header: Header,
    ) -> Result<u64, LmdbError> {
        let noted = match &self.dbi {
            Some(notes) if self.any => match note_key(dbi, key) {
                Some(key) => writer.get(notes, &key)?.map(|(note, came)| (note, came_at(came))),
                None => None,
            },
            _ => None,
        };
        let came = noted.filter(|(note, _)| note.txn_id == header.txn_id);
        let came = came.and_then(|(_, came)| came);
        let noted = noted.map(|(note, _)| note);
        let floor = [replaced(noted, header), self.ahead.replaced(dbi, key, header)];
        let floor = floor.map(|replaced| self.ahead.floor(replaced)).into_iter().max();
        let corrected = match (self.ahead.corrected(header, self.now), came) {
            (corrected, Some(came)) if self.ahead.is_beyond(header) => corrected.min(came),
            (corrected, _) => corrected,
        };
        Ok(after(corrected, floor.flatten()))
    }

    /// Writes an entry as one of ours.
    pub(super) fn put(
        &mut self,
        writer: &mut Writer<'_>,
        dbi: &Dbi,
        entry: &Entry<'_>,
    ) -> Result<(), LmdbError> {
        writer.put(dbi, entry.key, entry.timestamp, entry.deleted, entry.value)?;
        self.note(writer, &dbi.name, entry.key, entry.timestamp)
    }

    /// Notes an entry that this transaction wrote if it is ahead of the clock.
    pub(super) fn note(
        &mut self,
        writer: &mut Writer<'_>,
        dbi: &str,
        key: &[u8],
        timestamp: u64,
    ) -> Result<(), LmdbError> {
        let is_ahead = timestamp >= self.earliest;
        if !is_ahead && !self.any {
            return Ok(());
        }
        let Some(key) = note_key(dbi, key) else {
            return Ok(());
        };
        let notes = match &self.dbi {
            Some(notes) => notes.clone(),
            None => self.dbi.insert(writer.dbi(AHEAD_DBI)?).clone(),
        };
        if !is_ahead {
            return writer.delete(&notes, &key);
        }
        self.any = true;
        let came = self.ahead.fleet.now(self.now);
        writer.put(&notes, &key, timestamp, false, &came.to_be_bytes())
    }

    /// Notes an entry that was found to be ahead of the clock and that was written when that was ahead by so much, ns. A later note
    /// stays: what it is about was replaced.
    pub(super) fn note_found(
        &mut self,
        writer: &mut Writer<'_>,
        dbi: &str,
        key: &[u8],
        (found, was_ahead): (Header, u64),
    ) -> Result<(), LmdbError> {
        let Some(key) = note_key(dbi, key) else {
            return Ok(());
        };
        let notes = match &self.dbi {
            Some(notes) => notes.clone(),
            None => self.dbi.insert(writer.dbi(AHEAD_DBI)?).clone(),
        };
        let is_noted = writer
            .get(&notes, &key)?
            .is_some_and(|(note, _)| note.timestamp >= found.timestamp);
        if is_noted {
            return Ok(());
        }
        self.any = true;
        let came = self
            .ahead
            .fleet
            .now(found.timestamp.saturating_sub(was_ahead).min(self.now));
        writer.put_under(&notes, &key, found, &came.to_be_bytes())
    }

    /// Removes notes that the clock has passed: some of those that come after a key, and of the first ones. What PowerDNS wrote
    /// meanwhile stays noted until it has its time.
    pub(super) fn expire(&self, writer: &mut Writer<'_>, dbi: &str, key: &[u8]) -> Result<(), LmdbError> {
        let Some(notes) = self.dbi.as_ref().filter(|_| self.any) else {
            return Ok(());
        };
        let from = note_key(dbi, key).unwrap_or_default();
        let mut looked_at = writer.keys_after(notes, &from, LOOKED_AT)?;
        let left = LOOKED_AT - looked_at.len();
        looked_at.extend(writer.keys_after(notes, &[], left)?);
        for (key, note) in &looked_at {
            if note.timestamp < self.earliest && !is_pending(writer, key, *note)? {
                writer.delete(notes, key)?;
            }
        }
        Ok(())
    }
}

/// When a noted entry came, as its note says; `None` in a note of an older version.
fn came_at(note: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(note.try_into().ok()?))
}

/// A later write of PowerDNS' has not got its time yet.
fn is_pending(writer: &Writer<'_>, key: &[u8], note: Header) -> Result<bool, LmdbError> {
    let Some((dbi, key)) = noted(key) else {
        return Ok(false);
    };
    let Some(dbi) = writer.existing_dbi(dbi)? else {
        return Ok(false);
    };
    let entry = writer.get(&dbi, key)?;
    Ok(entry.is_some_and(|(entry, _)| {
        replaced(Some(note), entry).is_some_and(|old| entry.timestamp <= old.timestamp)
    }))
}

/// What an entry replaced, by the note under its key.
pub(super) fn replaced(note: Option<Header>, entry: Header) -> Option<Header> {
    note.filter(|note| note.txn_id != entry.txn_id)
}

/// A time above the floor.
pub(super) fn after(timestamp: u64, floor: Option<u64>) -> u64 {
    floor.map_or(timestamp, |floor| timestamp.max(floor.saturating_add(1)))
}

/// Where the note of an entry is; `None` for a key that is too long, which none of PowerDNS' is.
pub(super) fn note_key(dbi: &str, key: &[u8]) -> Option<Vec<u8>> {
    let key = [dbi.as_bytes(), b"\0", key].concat();
    (key.len() <= MAX_KEY_LEN).then_some(key)
}

/// The DBI and the key that a note is about.
fn noted(key: &[u8]) -> Option<(&str, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (dbi, key) = key.split_at_checked(end)?;
    Some((std::str::from_utf8(dbi).ok()?, key.get(1..)?))
}

/// Calls `visit` with every noted entry that has not got its time yet: its DBI, its key, the transaction
/// that wrote it, and what it replaced.
pub(super) fn pending(
    reader: &Reader<'_>,
    mut visit: impl FnMut(&str, &[u8], u64, Header),
) -> Result<(), LmdbError> {
    let Some(notes) = reader.dbi(AHEAD_DBI)? else {
        return Ok(());
    };
    let mut open: Option<Dbi> = None;
    reader.for_each(&notes, |note_key, note, _| {
        let Some((dbi, key)) = noted(note_key) else {
            return Ok(());
        };
        if open.as_ref().is_none_or(|open| open.name != dbi) {
            open = reader.dbi(dbi)?;
        }
        let Some(open) = &open else { return Ok(()) };
        if let Some((entry, _)) = reader.get(open, key)?
            && let Some(old) = replaced(Some(note), entry)
            && entry.timestamp <= old.timestamp
        {
            visit(dbi, key, entry.txn_id, old);
        }
        Ok(())
    })
}
