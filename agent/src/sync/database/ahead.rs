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

mod notes;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::lmdb::header::Header;
use crate::lmdb::{Change, KeptReader};
use crate::sync::known::fleet_time::Clock;
use crate::sync::known::fleet_time::FleetTime;
pub use notes::AHEAD_DBI;
pub(in crate::sync) use notes::{Notes, after, note_key, pending, replaced};

/// What tells which of two writes on this server is the later one.
pub struct Ahead {
    clock: Clock,
    /// The state that was collected last, and the transactions since then that are none of PowerDNS'.
    pub(in crate::sync) kept: Option<Arc<KeptReader>>,
    foreign: BTreeSet<u64>,
    /// Of transactions up to this one nobody knows any more which were PowerDNS'.
    forgotten: u64,
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
pub(in crate::sync) struct Believed {
    /// Of those that others may have.
    pub(in crate::sync) latest: u64,
    /// Of those that nobody else has, which are of later transactions than `told`, but not of `merged`.
    pub(in crate::sync) latest_untold: u64,
    pub(in crate::sync) told: u64,
    pub(in crate::sync) merged: BTreeSet<u64>,
    /// The transaction up to which the last run had stored all, and the time of that state, ns since the epoch.
    pub(in crate::sync) stored_before: (u64, u64),
}

impl Believed {
    pub(in crate::sync) fn all() -> Self {
        Self {
            latest: u64::MAX,
            latest_untold: u64::MAX,
            told: u64::MAX,
            merged: BTreeSet::new(),
            stored_before: (0, 0),
        }
    }
}

/// An entry by its DBI, key, and the transaction that wrote it.
pub(in crate::sync) type Stay = (String, Vec<u8>, u64);

impl Ahead {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept: None,
            foreign: BTreeSet::new(),
            forgotten: 0,
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
    pub(in crate::sync) fn since(self, kept: Option<Arc<KeptReader>>, foreign: BTreeSet<u64>) -> Self {
        Self {
            kept,
            foreign,
            ..self
        }
    }

    /// The same where it is not known of transactions up to this one whose they are: what a merge wrote must not get another time.
    pub(in crate::sync) fn forgotten(self, forgotten: u64) -> Self {
        Self { forgotten, ..self }
    }

    /// The same where the fleet's time is known. `settled` are the transactions that have given times by it.
    pub(in crate::sync) fn by(self, fleet: FleetTime, believed: Believed, settled: BTreeSet<u64>) -> Self {
        Self {
            fleet,
            believed,
            settled,
            ..self
        }
    }

    /// These transactions have given times.
    pub(in crate::sync) fn has_settled(&mut self, txn_ids: &[u64]) {
        self.settled.extend(txn_ids);
    }

    /// These transactions are none of PowerDNS'.
    pub(in crate::sync) fn has_mended(&mut self, txn_ids: &[u64]) {
        self.foreign.extend(txn_ids);
    }

    /// What the clock says.
    pub(in crate::sync) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// No later write of PowerDNS' has an earlier time than this, as it is or by the fleet's time.
    pub(in crate::sync) fn earliest(&self) -> u64 {
        self.fleet.earliest(self.now())
    }

    /// Times may have to be corrected that no state from before shows.
    pub(in crate::sync) fn knows_a_limit(&self) -> bool {
        self.believed.latest != u64::MAX
    }

    /// PowerDNS wrote it by a clock that is wrong, and it has not got its time yet.
    pub(in crate::sync) fn is_pending(&self, header: Header, now: u64) -> bool {
        self.is_new(header) && self.fleet.stamp(header.timestamp, now) != header.timestamp
    }

    /// A merge wrote it, or it has its time already.
    pub(in crate::sync) fn is_ours(&self, header: Header) -> bool {
        self.foreign.contains(&header.txn_id) || self.settled.contains(&header.txn_id)
    }

    fn is_new(&self, header: Header) -> bool {
        let is_later = |kept: &Arc<KeptReader>| header.txn_id > kept.txn_id().max(self.forgotten);
        !self.is_ours(header) && self.kept.as_ref().is_some_and(is_later)
    }

    /// The time that an entry should have by the fleet's, when the own clock says `now`: another one if PowerDNS wrote it by a
    /// clock that is wrong.
    pub(in crate::sync) fn corrected(&self, header: Header, now: u64) -> u64 {
        match header.timestamp {
            raw if self.is_new(header) => self.fleet.stamp(raw, now),
            // Not later than now. When it came only a note tells; of what is from before the last run's last state, that time is nearer to
            // it than the present one, and what others wrote over it is later.
            _ if self.is_beyond(header) => match self.believed.stored_before {
                (txn_id, time) if header.txn_id <= txn_id => self.fleet.now(now).min(time),
                _ => self.fleet.now(now),
            },
            raw => raw,
        }
    }

    /// The least time that an entry may come to count with.
    pub(in crate::sync) fn least(&self, header: Header, now: u64) -> u64 {
        match header.timestamp {
            _ if self.is_beyond(header) => 0,
            raw if self.is_new(header) => self.fleet.least(raw, now),
            raw => raw,
        }
    }

    /// What it counts with may still become less, down to this time or below it.
    pub(in crate::sync) fn may_sink_to(&self, timestamp: u64, header: Header, now: u64) -> bool {
        self.is_new(header) && timestamp >= self.least(header, now)
    }

    /// It has a time that no right clock has.
    pub(in crate::sync) fn is_beyond(&self, header: Header) -> bool {
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
    pub(in crate::sync) fn stays(&self, dbi: &str, key: &[u8], header: Header) -> bool {
        !self.stay.is_empty() && self.stay.contains(&(dbi.to_owned(), key.to_vec(), header.txn_id))
    }

    /// These have the times that they should have.
    pub(in crate::sync) fn let_stay(&mut self, stay: Vec<Stay>) {
        self.stay.extend(stay);
    }

    /// The time above which an entry counts that replaced another, unless that is of a clock that was wrong.
    pub(in crate::sync) fn floor(&self, replaced: Option<Header>) -> Option<u64> {
        let replaced = replaced.filter(|replaced| !self.is_beyond(*replaced));
        replaced.map(|replaced| replaced.timestamp)
    }

    /// What has this time may be known elsewhere, and that is believed.
    fn believes_time(&self, timestamp: u64) -> bool {
        timestamp <= self.believed.latest
    }

    /// What an entry replaced had a time that is believed.
    pub(in crate::sync) fn believes(&self, change: &Change<'_>) -> bool {
        change.old.is_none_or(|old| !self.is_beyond(old.header))
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

#[cfg(test)]
mod tests;
