//! The change log of this instance: up to which of its states the store and the peers have what was written here, and how what came
//! after that is found. Pure; nobody else writes its fields.
//!
//! A state of the database is *cut*: it gets a time, and what was written before it is collected. The store has a chain of such
//! states, from a snapshot over deltas. Peers are told of the same states, and of more while nothing can be stored. Where the chain
//! of the store begins anew, what peers are told no longer joins to what they know until they can read the new snapshot.

mod cuts;
mod ours;
mod reach;
mod snapshots;
mod states;
mod times;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use self::cuts::Cuts;
use self::reach::Reach;
use self::snapshots::Snapshots;
use self::times::Times;
use crate::lmdb::KeptReader;
use crate::sync::database::collect::{Synced, Written};
use crate::sync::limits::Limits;

/// Who is to be given the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) enum Whom {
    /// `always`: the state gets a time even if nothing changed, for a snapshot; `anew`: one that peers do not know yet, so that they
    /// look for what the store has at it.
    Store {
        always: bool,
        anew: bool,
    },
    Peers,
}

#[derive(Default)]
pub(in crate::sync) struct Log {
    limits: Limits,
    times: Times,
    snapshots: Snapshots,
    /// The state that the store has, by a snapshot and deltas in a row.
    stored: Synced,
    /// The transaction up to which the store has everything that was written here; 0 when that is not known.
    synced_txn: u64,
    /// The transaction up to which the last run had stored all, and the time of that state, ns since the epoch.
    stored_before: (u64, u64),
    /// The last transaction of a state that others had when that was forgotten.
    gave_up_to: u64,
    reach: Reach,
    /// The state that the peers were told of.
    told: Synced,
    /// What they were told that the store lacks.
    cuts: Cuts,
    /// The one that they were told of before they were told nothing any more, until the next snapshot is stored.
    told_last: Synced,
    /// How many reasons for a snapshot there were when `told` began; `None`: nothing was known of the own objects then.
    told_since: Option<u64>,
    /// A state like these where neither is kept: what was put over its entries is seen.
    watched: Option<Arc<KeptReader>>,
    /// The transaction up to which the witness knows what was written here; `None`: there is none.
    witnessed: Option<u64>,
    /// Keeping one has failed, and is not tried before.
    keeping_rests_until: Option<Instant>,
    /// Transactions of ours that wrote what the store has from others, or that removed old marks.
    foreign: BTreeSet<u64>,
    /// Up to this one nobody knows any more which transactions those were.
    forgotten: u64,
    /// Transactions of ours that gave what PowerDNS wrote other times.
    settled: BTreeSet<u64>,
}

/// What is known.
impl Log {
    /// The state that the store has.
    pub(in crate::sync) fn stored(&self) -> &Synced {
        &self.stored
    }

    /// The store has a state to go on from.
    pub(in crate::sync) fn has_stored(&self) -> bool {
        self.stored.time != 0
    }

    /// The transaction up to which the store has everything that was written here; 0 when that is not known.
    pub(in crate::sync) fn synced_txn(&self) -> u64 {
        self.synced_txn
    }

    /// The transaction up to which the last run had stored all, and the time of that state, ns since the epoch.
    pub(in crate::sync) fn stored_before(&self) -> (u64, u64) {
        self.stored_before
    }

    /// The state that the peers were told of.
    pub(in crate::sync) fn told(&self) -> &Synced {
        &self.told
    }

    /// Peers are told of changes.
    pub(in crate::sync) fn is_telling(&self) -> bool {
        self.told.time != 0
    }

    /// The transaction up to which somebody else may have what was written here.
    pub(in crate::sync) fn given_txn(&self) -> u64 {
        self.stored.txn.max(self.told.txn)
    }

    /// The last state of which it is known that others have it, or had.
    pub(in crate::sync) fn known_elsewhere(&self) -> Synced {
        let told = if self.told.time == 0 {
            &self.told_last
        } else {
            &self.told
        };
        match (told.txn, self.stored.txn) {
            (0, 0) => Synced {
                txn: self.stored_before.0.max(self.gave_up_to),
                ..Synced::default()
            },
            (0, _) => self.stored.clone(),
            _ => told.clone(),
        }
    }

    /// The transaction up to which all that was written here has a time.
    pub(in crate::sync) fn timed_txn(&self) -> u64 {
        let told = if self.told.time == 0 { 0 } else { self.told.txn };
        told.max(self.synced_txn)
    }

    /// The newest time of any instance's delta, but for those of clocks that are far off, ns since the epoch.
    pub(in crate::sync) fn newest_seen(&self) -> u64 {
        self.times.newest_seen()
    }

    pub(in crate::sync) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::sync) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}

/// Cutting, and what becomes of a state that is cut.
impl Log {
    /// The state after which changes are to be collected for somebody, and the one up to which, if that is known: the store gets the states
    /// that peers know.
    pub(in crate::sync) fn span(&self, whom: Whom) -> (Synced, Option<Synced>) {
        match whom {
            Whom::Peers => (self.told.clone(), None),
            Whom::Store { .. } => {
                // Without its reader the newest state is collected, which has another time.
                let is_kept = self.told.reader.is_some() && self.told.time != 0;
                (self.stored.clone(), is_kept.then(|| self.told.clone()))
            }
        }
    }

    /// What was written in the span for the store, if all of it was collected for the peers and is not too much to be known by now.
    pub(in crate::sync) fn told_in_span(&self) -> Option<Vec<Written>> {
        if self.stored.time == 0 {
            // A chain begins with a snapshot.
            return None;
        }
        self.cuts.between(self.stored.txn, self.told.txn)
    }

    /// The changes of a span are collected, up to the state `to`; there are some if `any`, and `few` has them if they are few. Returns the
    /// time of that state, ns since the epoch. Peers count as told of it.
    pub(in crate::sync) fn cut(
        &mut self,
        whom: Whom,
        (from, known): (&Synced, Option<&Synced>),
        (to, any, few): (&Arc<KeptReader>, bool, Option<&[Written]>),
        now: u64,
    ) -> u64 {
        // Whether or not it arrives: others may have its entries with the times that they have.
        if whom != Whom::Peers && self.newest_kept().is_none_or(|kept| kept.txn_id() < to.txn_id()) {
            self.watched = Some(to.clone());
        }
        match (whom, known) {
            (Whom::Peers, _) => {
                let time = self.times.next(now);
                self.cuts.add(from.txn, to.txn_id(), few);
                self.told = Synced {
                    time: if any { time } else { from.time },
                    txn: to.txn_id(),
                    reader: Some(to.clone()),
                };
                time
            }
            // What is told next joins for those alone who have read what this one is for.
            (Whom::Store { anew: true, .. }, _) if self.told.time != 0 => self.tell_at(now),
            (_, Some(told)) if told.time > from.time => told.time,
            // A new time for a state that is stored already would be one that nobody ever gets to know.
            (Whom::Store { always: false, .. }, Some(_)) if !any => from.time,
            (_, Some(_)) => self.tell_at(now),
            (_, None) => self.times.next(now),
        }
    }

    /// The state that the peers were told of gets a new time.
    fn tell_at(&mut self, now: u64) -> u64 {
        self.told.time = self.times.next(now);
        self.told.time
    }

    /// The state that the store has gets a new time, for what others told and this one stores: it is what a delta of that goes from.
    /// Returns the state as it was, the new time, and for [`Log::take_back`] the time up to which peers were told; `None`: whoever has a
    /// state has all before it, and what peers were told of goes first.
    pub(in crate::sync) fn cut_for_others(&mut self, now: u64) -> Option<(Synced, u64, u64)> {
        let is_first = self.has_changes_after(self.stored.txn, self.given_txn());
        if self.stored.time == 0 || is_first {
            return None;
        }
        let told = self.told.time;
        let time = self.times.next(now);
        if told != 0 {
            // What is told next joins for those alone who have read this.
            self.told.time = time;
        }
        Some((self.stored.clone(), time, told))
    }

    /// The state of this time was not stored: what peers are told goes on from the one before, unless they were told more meanwhile.
    pub(in crate::sync) fn take_back(&mut self, time: u64, told: u64) {
        if self.told.time == time {
            self.told.time = told;
        }
    }

    /// What the next delta from a state of this time holds. Returns what it is to hold in place of that, if it is to reach back.
    pub(in crate::sync) fn reach_back(&mut self, from: u64, few: Option<Vec<Written>>) -> Option<&Reach> {
        self.reach.add(few);
        (from != 0 && self.reach.is_due(self.limits.stride)).then_some(&self.reach)
    }

    /// A delta of so many bytes is stored.
    pub(in crate::sync) fn delta_is_stored(&mut self, time: u64, size: u64, reaches_back: bool) {
        self.snapshots.add_delta(size);
        if reaches_back {
            self.reach.restart(time);
        } else {
            self.reach.stepped(time);
        }
    }

    /// The store has all of a state. Returns false where it had a later one.
    pub(in crate::sync) fn is_stored(&mut self, time: u64, to: Arc<KeptReader>) -> bool {
        let txn = to.txn_id();
        if self.stored.txn > txn {
            return false;
        }
        let reader = Some(to);
        self.stored = Synced { time, txn, reader };
        // It tells as much.
        self.watched.take_if(|watched| watched.txn_id() <= txn);
        self.cuts.are_stored(txn);
        self.advance(txn);
        true
    }

    /// What others told is stored as a state of this time, after the state `from`. Returns false where the store has another one by now.
    pub(in crate::sync) fn is_stored_for_others(&mut self, from: u64, time: u64) -> bool {
        let is_last = self.stored.time == from;
        if is_last {
            self.stored.time = time;
        }
        is_last
    }

    /// A snapshot of so many bytes is stored at a state, which shows a transaction. `reasons`: how many there were when the changes for it
    /// were collected.
    pub(in crate::sync) fn snapshot_is_stored(&mut self, time: u64, (txn, size): (u64, u64), reasons: u64) {
        self.snapshots.is_stored(txn, size, reasons);
        self.reach.restart(time);
    }

    /// The chain of the store begins at a snapshot of this time: peers are told on from there.
    pub(in crate::sync) fn tell_on_from_the_store(&mut self, time: u64) {
        self.told_last = Synced::default();
        // Unless they were told of later states meanwhile.
        if self.told.time <= time {
            self.told = self.stored.clone();
        }
    }

    /// Peers are told from now on of what is written after the state that they were told of last, or after `newest`.
    /// `knows_own`: what the store has of this instance is known.
    pub(in crate::sync) fn begin_to_tell(&mut self, now: u64, newest: Synced, knows_own: bool) {
        let last = std::mem::take(&mut self.told_last);
        let from = if last.time == 0 { newest } else { last };
        self.told = Synced {
            time: self.times.next(now),
            ..from
        };
        self.told_since = knows_own.then_some(self.snapshots.reasons());
    }

    /// The last run had stored all up to this transaction, as a state of this time. `tells`: there are peers, who know it.
    pub(in crate::sync) fn go_on_from(&mut self, (txn, time): (u64, u64), tells: bool) {
        self.stored = Synced {
            time,
            txn,
            reader: None,
        };
        self.stored_before = (txn, time);
        if tells {
            self.told = self.stored.clone();
        }
        self.synced_txn = txn;
        self.reach.restart(time);
    }
}

/// Beginning anew.
impl Log {
    /// Nothing is known of own objects in the store.
    pub(in crate::sync) fn forget_own(&mut self) {
        self.watched = self.newest_kept();
        self.synced_txn = 0;
        self.gave_up_to = self.given_txn().max(self.gave_up_to);
        self.stored = Synced::default();
        self.cuts.clear();
        self.snapshots.forget_sizes();
        // What peers are told from now on must not join to what they know, or they would take the next snapshot for known.
        let told = std::mem::take(&mut self.told);
        if told.time != 0 {
            self.told_last = told;
        }
    }

    /// The same, and no state from before is compared with any more.
    pub(in crate::sync) fn forget_all_states(&mut self) {
        self.forget_own();
        self.let_go_of_all_states();
    }

    /// Forgets as much for the next snapshot, unless that was done for the same reasons and it could not be stored.
    pub(in crate::sync) fn begin_anew(&mut self) {
        let began =
            self.told.time != 0 && self.stored.time == 0 && self.told_since == Some(self.snapshots.reasons());
        if self.snapshots.is_wanted() && !began {
            self.forget_own();
        }
    }
}

#[cfg(test)]
mod tests;
