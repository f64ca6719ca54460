//! Digests of a database by DBI, which follow its changes: pure.
//!
//! A digest is the sum of the hashes of its entries, so that their order does not matter and what is put takes the place of what was
//! there. Transaction IDs are not in it, nor private DBIs. Tombstones are summed by the day of their time: servers sweep old ones
//! at times of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::content::is_possible;
use crate::lmdb::{Change, Version};
use crate::snapshot::is_private_dbi;

/// A day, ns.
const DAY: u64 = 86_400_000_000_000;

/// The hash of an entry, or the sum of those of many, modulo 2^128, and how many they are. As text: both, the sum in hexadecimal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(in crate::sync) struct Sum {
    entries: u64,
    sum: u128,
}

impl Sum {
    /// Of what is under a key. What a tombstone has as its value says nothing.
    fn of(key: &[u8], version: &Version<'_>) -> Self {
        let header = version.header;
        let mut hash = Sha256::new();
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
        hash.update(header.timestamp.to_be_bytes());
        hash.update([u8::from(header.deleted)]);
        if !header.deleted {
            hash.update(version.value);
        }
        let hash = hash.finalize();
        let (start, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self {
            entries: 1,
            sum: u128::from_be_bytes(*start),
        }
    }

    pub(in crate::sync) fn add(&mut self, other: Self) {
        self.entries = self.entries.wrapping_add(other.entries);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    fn take(&mut self, other: Self) {
        self.entries = self.entries.wrapping_sub(other.entries);
        self.sum = self.sum.wrapping_sub(other.sum);
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        format!("{}:{:032x}", sum.entries, sum.sum)
    }
}

impl TryFrom<String> for Sum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parse = || {
            let (entries, sum) = text.split_once(':')?;
            Some(Self {
                entries: entries.parse().ok()?,
                sum: u128::from_str_radix(sum, 16).ok()?,
            })
        };
        parse().ok_or_else(|| format!("{text:?} is no sum of entries"))
    }
}

/// The digest of one DBI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sync) struct Sums {
    live: Sum,
    /// Tombstones, by the day of their time since the epoch.
    marks: BTreeMap<u64, Sum>,
}

impl Sums {
    fn put(&mut self, key: &[u8], version: &Version<'_>) {
        self.of(version).add(Sum::of(key, version));
    }

    fn remove(&mut self, key: &[u8], version: &Version<'_>) {
        self.of(version).take(Sum::of(key, version));
        let day = day(version);
        if version.header.deleted && self.marks.get(&day).is_some_and(Sum::is_nothing) {
            self.marks.remove(&day);
        }
    }

    fn of(&mut self, version: &Version<'_>) -> &mut Sum {
        if version.header.deleted {
            self.marks.entry(day(version)).or_default()
        } else {
            &mut self.live
        }
    }

    fn is_nothing(&self) -> bool {
        self.live.is_nothing() && self.marks.is_empty()
    }

    fn matches(&self, other: &Self, first_day: u64) -> bool {
        self.live == other.live && self.marks.range(first_day..).eq(other.marks.range(first_day..))
    }
}

fn day(version: &Version<'_>) -> u64 {
    version.header.timestamp / DAY
}

/// The digests of all DBIs that are replicated. Those without entries are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sync) struct Content(BTreeMap<String, Sums>);

impl Content {
    /// Follows a change of the database.
    pub(in crate::sync) fn note(&mut self, change: &Change<'_>) {
        if !is_compared(change.dbi, change.key) {
            return;
        }
        if !self.0.contains_key(change.dbi) {
            self.0.insert(change.dbi.to_owned(), Sums::default());
        }
        let Some(sums) = self.0.get_mut(change.dbi) else {
            return;
        };
        if let Some(old) = &change.old {
            sums.remove(change.key, old);
        }
        if let Some(new) = &change.new {
            sums.put(change.key, new);
        }
        if sums.is_nothing() {
            self.0.remove(change.dbi);
        }
    }
}

/// What is under a key is replicated, and as it is.
pub(in crate::sync) fn is_compared(dbi: &str, key: &[u8]) -> bool {
    !is_private_dbi(dbi) && is_possible(dbi, key)
}

/// What a database has at a state of all instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// By instance, the state of it up to which all that it wrote is here, ns since the epoch.
    pub(in crate::sync) vector: BTreeMap<String, u64>,
    /// The first day since the epoch of which no tombstone is swept yet.
    first_day: u64,
    content: Content,
}

impl Digest {
    /// `oldest_mark`: tombstones from this time on are all here, ns since the epoch. Clocks differ, and a sweep takes a while: that day
    /// and the one after it are left out.
    pub(in crate::sync) fn new(vector: BTreeMap<String, u64>, oldest_mark: u64, content: Content) -> Self {
        let first_day = match oldest_mark {
            0 => 0,
            time => time / DAY + 2,
        };
        Self {
            vector,
            first_day,
            content,
        }
    }

    /// The DBIs in which another database of the same state of all instances differs; `None`: it is not of the same.
    pub(in crate::sync) fn differences(&self, other: &Self) -> Option<BTreeSet<String>> {
        if self.vector != other.vector {
            return None;
        }
        let (Content(ours), Content(theirs)) = (&self.content, &other.content);
        let first_day = self.first_day.max(other.first_day);
        let nothing = Sums::default();
        let differs = |name: &&String| {
            let [one, other] = [ours, theirs].map(|all| all.get(*name).unwrap_or(&nothing));
            !one.matches(other, first_day)
        };
        let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        Some(names.into_iter().filter(differs).cloned().collect())
    }

    /// Tombstones older than this are not compared with those of another one, ns since the epoch.
    pub(in crate::sync) fn marks_since(&self, other: &Self) -> u64 {
        self.first_day.max(other.first_day).saturating_mul(DAY)
    }
}

/// Parts of a DBI that are compared one by one, by the hash of the key.
const PARTS: usize = 1024;

/// The sums of the parts of some DBIs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts(BTreeMap<String, Vec<Sum>>);

/// By DBI, numbers of parts.
pub(in crate::sync) type Numbers = BTreeMap<String, BTreeSet<usize>>;

impl Parts {
    pub(in crate::sync) fn new<'n>(dbis: impl IntoIterator<Item = &'n String>) -> Self {
        let parts = |name: &String| (name.clone(), vec![Sum::default(); PARTS]);
        Self(dbis.into_iter().map(parts).collect())
    }

    /// Adds what is under a key. Tombstones from before `marks_since`, ns since the epoch, do not count.
    pub(in crate::sync) fn add(&mut self, dbi: &str, key: &[u8], version: &Version<'_>, marks_since: u64) {
        let is_old = version.header.deleted && version.header.timestamp < marks_since;
        if is_old || !is_compared(dbi, key) {
            return;
        }
        let part = self.0.get_mut(dbi).and_then(|parts| parts.get_mut(part_of(key)));
        if let Some(part) = part {
            part.add(Sum::of(key, version));
        }
    }

    /// The parts that differ from those of another database.
    pub(in crate::sync) fn differences(&self, other: &Self) -> Numbers {
        let mut all = Numbers::new();
        for (dbi, parts) in &self.0 {
            let theirs = other.0.get(dbi).map(Vec::as_slice).unwrap_or_default();
            let differs = |number: &usize| parts.get(*number) != theirs.get(*number);
            let numbers: BTreeSet<_> = (0..PARTS).filter(differs).collect();
            if !numbers.is_empty() {
                all.insert(dbi.clone(), numbers);
            }
        }
        all
    }
}

/// What of some DBIs is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// By DBI, numbers of parts; none: all of it.
    pub(in crate::sync) dbis: Numbers,
    /// Without tombstones that are older than this, ns since the epoch.
    pub(in crate::sync) marks_since: u64,
}

impl Wanted {
    pub(in crate::sync) fn has(&self, dbi: &str, key: &[u8]) -> bool {
        let parts = self.dbis.get(dbi);
        parts.is_some_and(|parts| parts.is_empty() || parts.contains(&part_of(key)))
    }
}

/// The number of the part that a key is in.
fn part_of(key: &[u8]) -> usize {
    let hash = Sha256::digest(key);
    let (start, _) = hash.split_first_chunk::<2>().unwrap_or((&[0; 2], &[]));
    usize::from(u16::from_be_bytes(*start)) % PARTS
}

#[cfg(test)]
#[path = "sums_tests.rs"]
mod tests;
