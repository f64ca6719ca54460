//! Transactions of ours: what a merge wrote is nothing new to the store, nor to peers, nor to the witness.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::Log;

/// Which they are.
impl Log {
    /// The transactions after this one that say nothing new.
    pub(in crate::sync) fn foreign_after(&self, txn: u64) -> BTreeSet<u64> {
        let after = self.foreign.range((Bound::Excluded(txn), Bound::Unbounded));
        after.copied().collect()
    }

    /// Up to this transaction nobody knows any more which were ours.
    pub(in crate::sync) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// As the last run knew.
    pub(in crate::sync) fn were_foreign(&mut self, foreign: BTreeSet<u64>, forgotten: u64) {
        self.foreign.extend(foreign);
        self.forgotten = self.forgotten.max(forgotten);
    }

    pub(in crate::sync) fn foreign(&self) -> &BTreeSet<u64> {
        &self.foreign
    }

    /// Transactions that gave what PowerDNS wrote other times.
    pub(in crate::sync) fn settled(&self) -> &BTreeSet<u64> {
        &self.settled
    }

    /// True if somebody else wrote after `txn`, up to `last`.
    pub(in crate::sync) fn has_changes_after(&self, txn: u64, last: u64) -> bool {
        last > txn && (self.foreign.range(txn + 1..=last).count() as u64) < last - txn
    }
}

/// What becomes of them.
impl Log {
    /// They say nothing new.
    pub(in crate::sync) fn absorb(&mut self, txn_ids: &[u64]) {
        self.foreign.extend(txn_ids);
        self.advance(0);
    }

    /// The witness knows all that was written here up to this transaction, and those before are not asked for by it any more.
    pub(in crate::sync) fn is_witnessed(&mut self, txn: u64) {
        self.witnessed = Some(txn);
        self.advance(0);
    }

    /// They gave what PowerDNS wrote other times.
    pub(in crate::sync) fn settle(&mut self, txn_ids: impl IntoIterator<Item = u64>) {
        self.settled.extend(txn_ids);
    }

    /// The store has everything up to this transaction, and up to all foreign ones that follow it.
    pub(super) fn advance(&mut self, txn: u64) {
        self.synced_txn = self.synced_txn.max(txn);
        while self.foreign.contains(&(self.synced_txn + 1)) {
            self.synced_txn += 1;
        }
        // Only what is compared with a state from before is asked for them.
        let basis = match (self.stored.time, self.told.time) {
            (0, _) => self.synced_txn,
            (_, 0) => self.stored.txn,
            _ => self.stored.txn.min(self.told.txn),
        };
        let watched = self.watched.as_ref().map_or(u64::MAX, |watched| watched.txn_id());
        let basis = basis.min(watched).min(self.witnessed.unwrap_or(u64::MAX));
        self.foreign = self.foreign.split_off(&(basis + 1));
        self.settled = self.settled.split_off(&(basis + 1));
        while self.foreign.len() > self.limits.foreign {
            self.forgotten = self.foreign.pop_first().unwrap_or(self.forgotten);
        }
    }
}
