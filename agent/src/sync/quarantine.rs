//! Entries whose time is yet to come, by the clock of whoever wrote them: kept out of the zones until that time is near.
//!
//! With such a time an entry would win over everything that is written until then. It is kept as a whole in a private DBI, so nothing
//! is lost, and merged by the usual rule later; unless its writer, whose clock is right by then, puts something else in
//! its place.

use std::collections::{BTreeMap, BTreeSet};

use super::dump::TransferError;
use crate::lmdb::header::Header;
use crate::lmdb::{Dbi, Environment, LmdbError, LmdbErrorKind, Reader, Writer};
use crate::merge::replaces;
use crate::snapshot::{Entry, MAX_KEY_LEN};

/// What is kept: under the DBI's name, a zero byte and the key an entry with the header's time of who wrote it, whose value is
/// when it was kept (8 bytes), whether it is a deletion (1), the length of the sender's name (1), that name, and the value.
pub const QUARANTINE_DBI: &str = "_sync_quarantine";

/// Most entries that are kept, and most bytes of them, of which a map has room for so many.
const MOST: u64 = 100_000;
const MOST_BYTES: u64 = 64 << 20;
const OF_THE_MAP: u64 = 16;
/// Nothing more is kept when so much of the map is used, in quarters: PowerDNS needs the rest.
const QUARTERS: u64 = 3;
/// Bytes in memory before they are written.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of a value before the name of the sender.
const FIXED: usize = 10;
/// Entries that are shown.
const SHOWN: usize = 5;

/// Which entries a merge must leave out, and those that it has left out.
pub(super) struct Guard {
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
    pub(super) left_out: LeftOut,
}

/// What is merged under the key of a kept entry.
#[derive(Debug, Clone, Copy)]
enum Other {
    /// Its writer put something of this time in its place.
    At(u64),
    /// Its writer gave the same, which was kept with this time, another.
    Than(u64),
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
pub(super) struct Room {
    pub entries: u64,
    pub bytes: u64,
}

/// What a merge left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Entries that are kept now and were not before.
    pub kept: u64,
    /// Kept entries that something else of the same writer took the place of.
    pub withdrawn: u64,
    /// Entries for which there was no room, and the newest of their times, ns since the epoch.
    pub no_room: u64,
    pub newest: u64,
}

/// A kept entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// With the DBI's name before it.
    pub key: Vec<u8>,
    pub timestamp: u64,
    pub deleted: bool,
    pub value: Vec<u8>,
    pub sender: String,
    /// When it was kept, ns since the epoch: it was written before that.
    pub since: u64,
}

impl Kept {
    pub(super) fn dbi_and_entry(&self) -> Option<(&str, Entry<'_>)> {
        let end = self.key.iter().position(|byte| *byte == 0)?;
        let (dbi, key) = self.key.split_at_checked(end)?;
        let entry = Entry {
            key: key.get(1..)?,
            value: &self.value,
            timestamp: self.timestamp,
            deleted: self.deleted,
        };
        Some((std::str::from_utf8(dbi).ok()?, entry))
    }

    fn read(key: &[u8], header: Header, value: &[u8]) -> Option<Self> {
        let (fixed, rest) = value.split_first_chunk::<FIXED>()?;
        let [since @ .., deleted, len] = *fixed;
        let (sender, value) = rest.split_at_checked(len.into())?;
        Some(Self {
            key: key.to_vec(),
            timestamp: header.timestamp,
            deleted: deleted != 0,
            value: value.to_vec(),
            sender: std::str::from_utf8(sender).ok()?.to_owned(),
            since: u64::from_be_bytes(since),
        })
    }

    fn write(&self, writer: &mut Writer<'_>, dbi: &Dbi) -> Result<(), LmdbError> {
        let sender = self.sender.get(..255).unwrap_or(&self.sender);
        let len = u8::try_from(sender.len()).unwrap_or(u8::MAX);
        let since = self.since.to_be_bytes();
        let fixed = [&since[..], &[u8::from(self.deleted), len]];
        let value = [&fixed.concat(), sender.as_bytes(), &self.value].concat();
        writer.put(dbi, &self.key, self.timestamp, false, &value)
    }

    fn replaces(&self, other: &Self) -> bool {
        match (self.dbi_and_entry(), other.dbi_and_entry()) {
            (Some((_, new)), Some((_, old))) => replaces(&new, &old),
            _ => true,
        }
    }
}

fn key_of(dbi: &str, key: &[u8]) -> Option<Vec<u8>> {
    let key = [dbi.as_bytes(), b"\0", key].concat();
    (key.len() <= MAX_KEY_LEN).then_some(key)
}

impl Guard {
    /// Lets everything through, what is kept included.
    pub(super) fn open() -> Self {
        Self::new(u64::MAX, (0, 0), "", Some(&Summary::default()))
    }

    /// Leaves out what is later than `limit` in an object of `sender` that is merged at `now` and had `came` by then. `summary`: what is
    /// kept already.
    pub(super) fn new(limit: u64, (now, came): (u64, u64), sender: &str, summary: Option<&Summary>) -> Self {
        let (entries, bytes) = summary.map_or((0, 0), |summary| (summary.entries, summary.bytes));
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
            any: summary.is_none_or(|summary| summary.entries > 0),
            held: Vec::new(),
            bytes: 0,
            others: Vec::new(),
            left_out: LeftOut::default(),
        }
    }

    /// A time that is too far ahead to be merged.
    pub(super) fn is_ahead(&self, timestamp: u64) -> bool {
        timestamp > self.limit
    }

    /// Keeps an entry. `local`: the time of what is here instead. False for one whose key is too long for that, which none of
    /// PowerDNS' is.
    pub(super) fn hold(&mut self, dbi: &str, entry: &Entry<'_>, local: Option<u64>) -> bool {
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
                .filter(|local| *local > self.now)
                .max(Some(self.came))
                .unwrap_or(0),
        });
        true
    }

    /// So much is held in memory that it has to be written.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    /// Looks whether an entry that is to be merged was put by its writer in the place of one that is kept: then it is later than that,
    /// for what is kept was written before it was kept; or it is the same with another time. True if it is the kept one itself, of
    /// which it is known when it came: it is not merged here.
    pub(super) fn has_kept(
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
            Other::Than(kept.timestamp)
        } else if entry.timestamp > self.now {
            Other::Ahead(entry.timestamp)
        } else {
            Other::At(entry.timestamp)
        };
        if self.is_withdrawn(&kept, other) || other.is_before(&kept) {
            self.others.push((key, other));
        }
        Ok(false)
    }

    fn is_withdrawn(&self, kept: &Kept, by: Other) -> bool {
        kept.sender == self.sender
            && match by {
                Other::At(time) => time > kept.since,
                Other::Than(time) => time == kept.timestamp,
                Other::Ahead(_) => false,
            }
    }

    /// Writes what is held. What there is no room for is left out and counted: its writer has it.
    pub(super) fn write(&mut self, env: &Environment) -> Result<Option<u64>, TransferError> {
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
            if self.is_withdrawn(&kept, *other) {
                writer.delete(&dbi, key)?;
                self.left_out.withdrawn += 1;
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

/// What is kept, for people and for the decision when to look again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub entries: u64,
    pub bytes: u64,
    /// The earliest time of an entry, ns since the epoch; `None`: nothing is kept.
    pub earliest: Option<u64>,
    pub senders: BTreeMap<String, u64>,
    /// Some of them: DBI and key, the sender, the time.
    pub some: Vec<(String, Vec<u8>, String, u64)>,
}

/// Looks at all that is kept.
pub(super) fn look(env: &Environment) -> Result<Summary, LmdbError> {
    let mut summary = Summary::default();
    for_each(env, |kept| {
        summary.entries += 1;
        summary.bytes += (kept.key.len() + kept.value.len()) as u64;
        summary.earliest = Some(
            summary
                .earliest
                .map_or(kept.timestamp, |time| time.min(kept.timestamp)),
        );
        if summary.some.len() < SHOWN
            && let Some((dbi, entry)) = kept.dbi_and_entry()
        {
            let shown = (
                dbi.to_owned(),
                entry.key.to_vec(),
                kept.sender.clone(),
                kept.timestamp,
            );
            summary.some.push(shown);
        }
        *summary.senders.entry(kept.sender).or_default() += 1;
    })?;
    Ok(summary)
}

/// What is kept and is not too far ahead any more.
#[derive(Default)]
pub(super) struct Ripe {
    pub merge: Vec<Kept>,
    /// What was written here after these had come is later.
    pub outlived: Vec<Kept>,
}

/// Looks for what may be merged now, but for the rest of more than so many bytes.
pub(super) fn ripe(env: &Environment, limit: u64, most_bytes: usize) -> Result<Ripe, LmdbError> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for_each(env, |kept| {
        if kept.timestamp <= limit && bytes < most_bytes {
            bytes += kept.key.len() + kept.value.len();
            all.push(kept);
        }
    })?;
    let mut ripe = Ripe::default();
    env.read::<_, LmdbError>(|reader| {
        for kept in all {
            if has_later(reader, &kept)? {
                ripe.outlived.push(kept);
            } else {
                ripe.merge.push(kept);
            }
        }
        Ok(())
    })?;
    Ok(ripe)
}

/// Something is kept for when its time comes that is under this key.
pub(super) fn is_kept(
    writer: &Writer<'_>,
    quarantine: Option<&Dbi>,
    dbi: &str,
    key: &[u8],
) -> Result<bool, LmdbError> {
    match (quarantine, key_of(dbi, key)) {
        (Some(quarantine), Some(key)) => Ok(writer.get(quarantine, &key)?.is_some()),
        _ => Ok(false),
    }
}

fn has_later(reader: &Reader<'_>, kept: &Kept) -> Result<bool, LmdbError> {
    let Some((dbi, entry)) = kept.dbi_and_entry() else {
        return Ok(false);
    };
    let Some(dbi) = reader.dbi(dbi)? else {
        return Ok(false);
    };
    let local = reader.get(&dbi, entry.key)?;
    Ok(local.is_some_and(|(local, _)| local.timestamp > kept.since))
}

/// Takes out what need not be kept any more.
pub(super) fn take_out(env: &Environment, done: &Ripe) -> Result<Option<u64>, LmdbError> {
    let mut writer = env.begin_write()?;
    if let Some(dbi) = writer.existing_dbi(QUARANTINE_DBI)? {
        for kept in done.merge.iter().chain(&done.outlived) {
            writer.delete(&dbi, &kept.key)?;
        }
    }
    writer.commit()
}

fn for_each(env: &Environment, mut visit: impl FnMut(Kept)) -> Result<(), LmdbError> {
    let mut damaged = BTreeSet::new();
    env.read(|reader| {
        let Some(dbi) = reader.dbi(QUARANTINE_DBI)? else {
            return Ok(());
        };
        reader.for_each(&dbi, |key, header, value| {
            match Kept::read(key, header, value) {
                Some(kept) => visit(kept),
                None => {
                    damaged.insert(key.to_vec());
                }
            }
            Ok::<(), LmdbError>(())
        })
    })?;
    if !damaged.is_empty() {
        tracing::warn!(path = %env.path().display(), entries = damaged.len(), "cannot read what is kept in quarantine");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
