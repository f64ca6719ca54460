//! Entries whose time is yet to come, by the clock of whoever wrote them: kept out of the zones until that time is near.
//!
//! With such a time an entry would win over everything that is written until then. It is kept as a whole in a private DBI, so nothing
//! is lost, and merged by the usual rule later; unless its writer, whose clock is right by then, puts something else in
//! its place.

mod kept;
mod release;

use super::dump::TransferError;
use crate::lmdb::{Environment, LmdbError, LmdbErrorKind, Reader};
use crate::snapshot::Entry;
use crate::sync::known::fleet_time::FAR;
pub use kept::QUARANTINE_DBI;
pub(in crate::sync) use kept::{Kept, is_kept, key_of};
pub(in crate::sync) use release::{Summary, look, ripe, take_out};

/// Most entries that are kept, and most bytes of them, of which a map has room for so many.
const MOST: u64 = 100_000;
const MOST_BYTES: u64 = 64 << 20;
const OF_THE_MAP: u64 = 16;
/// Nothing more is kept when so much of the map is used, in quarters: PowerDNS needs the rest.
const QUARTERS: u64 = 3;
/// Bytes in memory before they are written.
const BATCH_BYTES: usize = 2 << 20;
/// Which entries a merge must leave out, and those that it has left out.
pub(in crate::sync) struct Guard {
    /// The latest time that is merged, ns since the epoch.
    limit: u64,
    /// The fleet's time.
    now: u64,
    /// When what is in the object came at the latest.
    came: u64,
    sender: String,
    room: Room,
    /// Something is kept.
    any: bool,
    held: Vec<Kept>,
    bytes: usize,
    /// Keys of kept entries under which something else is merged.
    others: Vec<(Vec<u8>, Other)>,
    pub(in crate::sync) left_out: LeftOut,
}

/// What is merged under the key of a kept entry.
#[derive(Debug, Clone, Copy)]
enum Other {
    /// Its writer put something of this time in its place.
    At(u64),
    /// Its writer gave the same, which was kept with the one time, the other.
    Than(u64, u64),
    /// Something of this time, which is itself yet to come: that does not show that it is the later one.
    Ahead(u64),
}

impl Other {
    /// It may be older than the kept entry, though it is later than that came.
    fn is_before(self, kept: &Kept) -> bool {
        matches!(self, Self::Ahead(time) if time > kept.since && time < kept.timestamp)
    }
}

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Room {
    pub entries: u64,
    pub bytes: u64,
}

/// What a merge left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Entries that are kept now and were not before.
    pub kept: u64,
    /// Kept entries that something else of the same writer took the place of.
    pub given_up: u64,
    /// Entries for which there was no room, and the newest of their times, ns since the epoch.
    pub no_room: u64,
    pub newest: u64,
}

impl Guard {
    /// Lets everything through, what is kept included.
    pub(in crate::sync) fn open() -> Self {
        Self::new(u64::MAX, (0, 0), "", Some(&Summary::default()))
    }

    /// Leaves out what is later than `limit` in an object of `sender` that is merged at `now` and had `came` by then. `summary`: what is
    /// kept already.
    pub(in crate::sync) fn new(
        limit: u64,
        (now, came): (u64, u64),
        sender: &str,
        summary: Option<&Summary>,
    ) -> Self {
        let (entries, bytes) = summary.map_or((0, 0), |summary| {
            (summary.entries + summary.given_up, summary.bytes)
        });
        Self {
            limit,
            now,
            came,
            sender: sender.to_owned(),
            room: Room {
                entries: MOST.saturating_sub(entries),
                bytes: MOST_BYTES.saturating_sub(bytes),
            },
            // Until it was looked at, something may be.
            any: summary.is_none_or(|_| entries > 0),
            held: Vec::new(),
            bytes: 0,
            others: Vec::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Something is kept.
    pub(in crate::sync) fn has_any(&self) -> bool {
        self.any
    }

    /// Something is kept, or will be.
    pub(in crate::sync) fn is_involved(&self) -> bool {
        self.any || !self.held.is_empty() || self.left_out != LeftOut::default()
    }

    /// A time that is too far ahead to be merged.
    pub(in crate::sync) fn is_ahead(&self, timestamp: u64) -> bool {
        timestamp > self.limit
    }

    /// Keeps an entry. `local`: the time of what is here instead. False for one whose key is too long for that, which none of
    /// PowerDNS' is.
    pub(in crate::sync) fn hold(&mut self, dbi: &str, entry: &Entry<'_>, local: Option<u64>) -> bool {
        let Some(key) = key_of(dbi, entry.key) else {
            return false;
        };
        self.bytes += key.len() + entry.value.len();
        self.held.push(Kept {
            key,
            timestamp: entry.timestamp,
            deleted: entry.deleted,
            value: entry.value.to_vec(),
            sender: self.sender.clone(),
            // What is here may itself have a time to come, and is older all the same.
            since: local
                .filter(|local| *local > self.now.saturating_add(FAR.unsigned_abs()))
                .max(Some(self.came))
                .unwrap_or(0),
            is_given_up: false,
        });
        true
    }

    /// So much is held in memory that it has to be written.
    pub(in crate::sync) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    /// Looks whether an entry that is to be merged was put by its writer in the place of one that is kept: then it is later than that,
    /// for what is kept was written before it was kept; or it is the same with another time. True if it is the kept one itself, of
    /// which it is known when it came: it is not merged here.
    pub(in crate::sync) fn has_kept(
        &mut self,
        reader: &Reader<'_>,
        dbi: &str,
        entry: &Entry<'_>,
    ) -> Result<bool, LmdbError> {
        if !self.any {
            return Ok(false);
        }
        let (Some(quarantine), Some(key)) = (reader.dbi(QUARANTINE_DBI)?, key_of(dbi, entry.key)) else {
            return Ok(false);
        };
        let kept = reader.get(&quarantine, &key)?;
        let Some(kept) = kept.and_then(|(header, value)| Kept::read(&key, header, value)) else {
            return Ok(false);
        };
        let is_same = kept.deleted == entry.deleted && kept.value == entry.value;
        if is_same && kept.timestamp == entry.timestamp {
            return Ok(true);
        }
        let other = if is_same {
            Other::Than(kept.timestamp, entry.timestamp)
        } else if entry.timestamp > self.now.saturating_add(FAR.unsigned_abs()) {
            Other::Ahead(entry.timestamp)
        } else {
            Other::At(entry.timestamp)
        };
        if self.is_given_up(&kept, other) || other.is_before(&kept) {
            self.others.push((key, other));
        }
        Ok(false)
    }

    fn is_given_up(&self, kept: &Kept, by: Other) -> bool {
        kept.sender == self.sender
            && !kept.is_given_up
            && match by {
                Other::At(time) => time > kept.since,
                Other::Than(time, _) => time == kept.timestamp,
                Other::Ahead(_) => false,
            }
    }

    /// Writes what is held. What there is no room for is left out and counted: its writer has it.
    pub(in crate::sync) fn write(&mut self, env: &Environment) -> Result<Option<u64>, TransferError> {
        if self.held.is_empty() && self.others.is_empty() {
            return Ok(None);
        }
        self.bytes = 0;
        let held = std::mem::take(&mut self.held);
        let others = std::mem::take(&mut self.others);
        let usage = env.usage()?;
        let map_has_room = usage.used / QUARTERS < usage.map_size / 4;
        self.room.bytes = self.room.bytes.min(usage.map_size / OF_THE_MAP);
        let before = (self.room, self.left_out);
        let written = self.try_to_write(env, &held, &others, map_has_room);
        match written {
            Err(LmdbError {
                kind: LmdbErrorKind::MapFull,
                ..
            }) => {
                (self.room, self.left_out) = before;
                for kept in &held {
                    self.no_room_for(kept);
                }
                Ok(None)
            }
            written => Ok(written?),
        }
    }

    fn try_to_write(
        &mut self,
        env: &Environment,
        held: &[Kept],
        others: &[(Vec<u8>, Other)],
        map_has_room: bool,
    ) -> Result<Option<u64>, LmdbError> {
        let mut writer = env.begin_write()?;
        let dbi = writer.dbi(QUARANTINE_DBI)?;
        for (key, other) in others {
            let kept = writer.get(&dbi, key)?;
            let Some(mut kept) = kept.and_then(|(header, value)| Kept::read(key, header, value)) else {
                continue;
            };
            if self.is_given_up(&kept, *other) {
                kept.is_given_up = true;
                if let Other::Than(_, time) = other {
                    kept.since = kept.since.min(*time);
                }
                kept.write(&mut writer, &dbi)?;
                self.left_out.given_up += 1;
            } else if let Other::Ahead(time) = *other
                && other.is_before(&kept)
            {
                kept.since = time;
                kept.write(&mut writer, &dbi)?;
            }
        }
        for kept in held {
            let old = writer.get(&dbi, &kept.key)?;
            let is_new = old.is_none();
            let old = old.and_then(|(header, value)| Kept::read(&kept.key, header, value));
            if old.as_ref().is_some_and(|old| !kept.replaces(old)) {
                continue;
            }
            let bytes = (kept.key.len() + kept.value.len()) as u64;
            if !map_has_room || (is_new && self.room.entries == 0) || self.room.bytes < bytes {
                self.no_room_for(kept);
                continue;
            }
            kept.write(&mut writer, &dbi)?;
            self.room.bytes -= bytes;
            if is_new {
                self.room.entries -= 1;
            }
            self.left_out.kept += 1;
        }
        writer.commit()
    }

    fn no_room_for(&mut self, kept: &Kept) {
        self.left_out.no_room += 1;
        self.left_out.newest = self.left_out.newest.max(kept.timestamp);
    }
}

#[cfg(test)]
mod tests;
