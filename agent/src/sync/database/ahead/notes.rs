//! The notes of entries that are ahead of the clock.

use super::Ahead;
use crate::lmdb::header::Header;
use crate::lmdb::{Dbi, LmdbError, Reader, Writer};
use crate::snapshot::{Entry, MAX_KEY_LEN};
use crate::sync::known::fleet_time::FAR;

/// The notes: under the DBI's name, a zero byte and the key a value whose header has the entry's time and transaction: when it came, by the
/// fleet's time in ns since the epoch (8 bytes); and where that is known the time of something that was there before (8 bytes).
pub const AHEAD_DBI: &str = "_sync_ahead";

/// By how much the time of what an entry replaced, and is not noted, may be later than the one at which that came, ns: a clock that is less
/// than a second off is not corrected, what one is ahead of by two seconds is not noted, and the fleet's time is known to a second.
const APART: u64 = 3 * FAR.unsigned_abs();

/// Notes that are looked at after a merge, in case the clock has passed them.
const LOOKED_AT: usize = 64;

/// The notes in a write transaction.
pub(in crate::sync) struct Notes<'a> {
    ahead: &'a Ahead,
    now: u64,
    /// No later write of PowerDNS' has an earlier time than this, as it is or by the fleet's time.
    earliest: u64,
    dbi: Option<Dbi>,
    /// There are notes.
    any: bool,
}

impl Ahead {
    /// The notes as a write transaction sees them.
    pub(in crate::sync) fn notes(&self, writer: &Writer<'_>) -> Result<Notes<'_>, LmdbError> {
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
}

impl Notes<'_> {
    /// The time that an entry of this database counts with: its own, or a later one if PowerDNS put it over another with a time
    /// that is not lower.
    pub(in crate::sync) fn time_of(
        &self,
        writer: &Writer<'_>,
        dbi: &str,
        key: &[u8],
        header: Header,
    ) -> Result<u64, LmdbError> {
        let noted = self.noted(writer, dbi, key)?;
        Ok(after(
            self.without_floor(noted, header),
            self.floor(noted, dbi, key, header),
        ))
    }

    /// The same against an entry that comes, and whether that was there before: an entry of no clock that is right may have been put over
    /// what has a later time than that at which it came, as far as clocks tell.
    pub(in crate::sync) fn time_against(
        &self,
        writer: &Writer<'_>,
        (dbi, key): (&str, &[u8]),
        incoming: u64,
        header: Header,
    ) -> Result<(u64, bool), LmdbError> {
        let noted = self.noted(writer, dbi, key)?;
        let came = self.without_floor(noted, header);
        let time = after(came, self.floor(noted, dbi, key, header));
        let may_have_been_there = incoming >= time && incoming <= came.saturating_add(APART);
        Ok(if may_have_been_there && self.ahead.is_beyond(header) {
            (after(time, Some(incoming)), true)
        } else {
            (time, false)
        })
    }

    /// A time is above that of all that is known to have been there before an entry.
    pub(in crate::sync) fn is_above_floor(
        &self,
        writer: &Writer<'_>,
        (dbi, key): (&str, &[u8]),
        timestamp: u64,
        header: Header,
    ) -> Result<bool, LmdbError> {
        let noted = self.noted(writer, dbi, key)?;
        Ok(Some(timestamp) > self.floor(noted, dbi, key, header))
    }

    /// Notes that something of this time was there before an entry: it stays so whatever becomes known of the clocks.
    pub(in crate::sync) fn note_before(
        &mut self,
        writer: &mut Writer<'_>,
        (dbi, key): (&str, &[u8]),
        before: u64,
        header: Header,
    ) -> Result<(), LmdbError> {
        if !self.ahead.believes_time(before) {
            return Ok(());
        }
        let noted = self.noted(writer, dbi, key)?;
        let came = self.without_floor(noted, header);
        let before = self.floor(noted, dbi, key, header).max(Some(before));
        let Some(key) = note_key(dbi, key) else {
            return Ok(());
        };
        let note = Note {
            header,
            came: Some(came),
            before,
        };
        self.write(writer, &key, note)
    }

    fn noted(&self, writer: &Writer<'_>, dbi: &str, key: &[u8]) -> Result<Option<Note>, LmdbError> {
        Ok(match &self.dbi {
            Some(notes) if self.any => match note_key(dbi, key) {
                Some(key) => writer.get(notes, &key)?.map(Note::read),
                None => None,
            },
            _ => None,
        })
    }

    /// The time that an entry counts with, whatever it replaced.
    fn without_floor(&self, noted: Option<Note>, header: Header) -> u64 {
        let corrected = self.ahead.corrected(header, self.now);
        let came = noted.filter(|note| note.header.txn_id == header.txn_id);
        match came.and_then(|note| note.came) {
            Some(came) if self.ahead.is_beyond(header) => corrected.min(came),
            _ => corrected,
        }
    }

    fn floor(&self, noted: Option<Note>, dbi: &str, key: &[u8], header: Header) -> Option<u64> {
        let before = noted.and_then(|note| note.before);
        let before = before.filter(|before| self.ahead.believes_time(*before));
        let noted = noted.map(|note| note.header);
        let floor = [replaced(noted, header), self.ahead.replaced(dbi, key, header)];
        let floor = floor.map(|replaced| self.ahead.floor(replaced));
        floor.into_iter().max().flatten().max(before)
    }

    /// The time that an entry counts with may still become less than that of one that loses against it now.
    pub(in crate::sync) fn may_sink_to(&self, timestamp: u64, header: Header) -> bool {
        self.ahead.may_sink_to(timestamp, header, self.now)
    }

    /// Writes an entry as one of ours.
    pub(in crate::sync) fn put(
        &mut self,
        writer: &mut Writer<'_>,
        dbi: &Dbi,
        entry: &Entry<'_>,
    ) -> Result<(), LmdbError> {
        writer.put(dbi, entry.key, entry.timestamp, entry.deleted, entry.value)?;
        self.note(writer, &dbi.name, entry.key, entry.timestamp)
    }

    /// Notes an entry that this transaction wrote if it is ahead of the clock.
    pub(in crate::sync) fn note(
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
        if let (false, Some(notes)) = (is_ahead, &self.dbi) {
            return writer.delete(notes, &key);
        }
        let header = Header {
            timestamp,
            txn_id: writer.txn_id(),
            deleted: false,
        };
        let note = Note {
            header,
            came: Some(self.ahead.fleet.now(self.now)),
            before: None,
        };
        self.write(writer, &key, note)
    }

    /// Notes an entry that was found to be ahead of the clock and that was written when that was ahead by so much, ns. A later note
    /// stays: what it is about was replaced. So was what an earlier one is about.
    pub(in crate::sync) fn note_found(
        &mut self,
        writer: &mut Writer<'_>,
        dbi: &str,
        key: &[u8],
        (found, was_ahead): (Header, u64),
    ) -> Result<(), LmdbError> {
        let Some(key) = note_key(dbi, key) else {
            return Ok(());
        };
        let noted = match &self.dbi {
            Some(notes) => writer.get(notes, &key)?.map(Note::read),
            None => None,
        };
        if noted.is_some_and(|note| note.header.timestamp >= found.timestamp) {
            return Ok(());
        }
        let came = found.timestamp.saturating_sub(was_ahead).min(self.now);
        let replaced = replaced(noted.map(|note| note.header), found);
        let note = Note {
            header: found,
            came: Some(self.ahead.fleet.now(came)),
            before: self.ahead.floor(replaced).max(noted.and_then(|note| note.before)),
        };
        self.write(writer, &key, note)
    }

    fn write(&mut self, writer: &mut Writer<'_>, key: &[u8], note: Note) -> Result<(), LmdbError> {
        let notes = match &self.dbi {
            Some(notes) => notes.clone(),
            None => self.dbi.insert(writer.dbi(AHEAD_DBI)?).clone(),
        };
        self.any = true;
        let times = [note.came, note.before].into_iter().flatten();
        let value: Vec<u8> = times.flat_map(u64::to_be_bytes).collect();
        writer.put_under(&notes, key, note.header, &value)
    }

    /// Removes notes that the clock has passed: some of those that come after a key, and of the first ones. What PowerDNS wrote
    /// meanwhile stays noted until it has its time.
    pub(in crate::sync) fn expire(
        &self,
        writer: &mut Writer<'_>,
        dbi: &str,
        key: &[u8],
    ) -> Result<(), LmdbError> {
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

/// A note.
#[derive(Clone, Copy)]
struct Note {
    /// Of the noted entry.
    header: Header,
    /// When that came, ns since the epoch; `None` in a note of an older version.
    came: Option<u64>,
    /// The time of something that was there before it.
    before: Option<u64>,
}

impl Note {
    fn read((header, value): (Header, &[u8])) -> Self {
        let mut times = value
            .chunks_exact(8)
            .map(|time| time.try_into().map(u64::from_be_bytes));
        let mut next = || times.next()?.ok();
        Self {
            header,
            came: next(),
            before: next(),
        }
    }
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
pub(in crate::sync) fn replaced(note: Option<Header>, entry: Header) -> Option<Header> {
    note.filter(|note| note.txn_id != entry.txn_id)
}

/// A time above the floor.
pub(in crate::sync) fn after(timestamp: u64, floor: Option<u64>) -> u64 {
    floor.map_or(timestamp, |floor| timestamp.max(floor.saturating_add(1)))
}

/// Where the note of an entry is; `None` for a key that is too long, which none of PowerDNS' is.
pub(in crate::sync) fn note_key(dbi: &str, key: &[u8]) -> Option<Vec<u8>> {
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
pub(in crate::sync) fn pending(
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
