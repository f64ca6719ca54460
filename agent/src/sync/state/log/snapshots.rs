//! When an own snapshot is due.

use crate::sync::limits::Limits;

/// Deltas since the last snapshot, in bytes, may become this much of its size.
const SHARE: u64 = 2;

/// What the store has since the last own snapshot.
#[derive(Debug, Default)]
struct Since {
    /// Size of the snapshot, bytes.
    size: u64,
    deltas: u64,
    delta_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// The transaction that the last stored one shows.
    stored_txn: u64,
    since: Since,
    /// One is to be stored even if nothing changed, and deltas are to begin anew from it.
    wanted: bool,
    /// How often there was a reason for that.
    reasons: u64,
    /// One was not stored, and may have left a torn object, which others wait to see replaced.
    owed: bool,
}

impl Snapshots {
    pub(super) fn reasons(&self) -> u64 {
        self.reasons
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn add_delta(&mut self, size: u64) {
        self.since.deltas += 1;
        self.since.delta_bytes += size;
    }

    pub(super) fn is_stored(&mut self, txn: u64, size: u64, reasons: u64) {
        self.stored_txn = txn;
        // A reason that came up meanwhile calls for another one.
        self.wanted &= self.reasons != reasons;
        self.owed = false;
        self.since = Since {
            size,
            ..Since::default()
        };
    }

    pub(super) fn forget_sizes(&mut self) {
        self.since = Since::default();
    }

    fn is_outgrown(&self, limits: &Limits) -> bool {
        self.since.delta_bytes > (self.since.size / SHARE).max(limits.least)
            || self.since.deltas >= limits.deltas
    }
}

impl super::Log {
    /// The transaction that the last stored snapshot shows.
    pub(in crate::sync) fn snapshot_txn(&self) -> u64 {
        self.snapshots.stored_txn
    }

    /// How often there was a reason for a snapshot.
    pub(in crate::sync) fn reasons(&self) -> u64 {
        self.snapshots.reasons
    }

    /// There is a reason for a snapshot, and deltas are to begin anew from it.
    pub(in crate::sync) fn wants_snapshot(&self) -> bool {
        self.snapshots.wanted
    }

    /// The same, or one was not stored.
    pub(in crate::sync) fn needs_snapshot(&self) -> bool {
        self.snapshots.wanted || self.snapshots.owed
    }

    /// A snapshot is to be stored now, as far as the own states tell. `changed`: there is something that the store lacks.
    pub(in crate::sync) fn snapshot_is_due(&self, changed: bool) -> bool {
        let outgrown = self.snapshots.is_outgrown(&self.limits);
        self.needs_snapshot() || changed && (self.stored.time == 0 || outgrown)
    }

    /// The store has deltas of this instance since its last snapshot.
    pub(in crate::sync) fn has_deltas(&self) -> bool {
        self.snapshots.since.deltas > 0
    }

    /// What a listing shows of the last own snapshot and of the deltas since: its size, and theirs, bytes.
    pub(in crate::sync) fn found_since_snapshot(&mut self, size: u64, deltas: &[u64]) {
        self.snapshots.since = Since {
            size,
            deltas: deltas.len() as u64,
            delta_bytes: deltas.iter().sum(),
        };
    }

    /// One is about to be stored: until it is, there may be a torn one.
    pub(in crate::sync) fn owe_snapshot(&mut self) {
        self.snapshots.owed = true;
    }

    /// All that is known here is to be in the store under this instance's name, for all to read.
    pub(in crate::sync) fn want_snapshot(&mut self) {
        if !self.snapshots.wanted {
            self.want_another_snapshot();
        }
    }

    /// The same, though one may be wanted already: what is known now is news.
    pub(in crate::sync) fn want_another_snapshot(&mut self) {
        self.snapshots.wanted = true;
        self.snapshots.reasons += 1;
    }

    /// What was stored may not be seen by readers any more, so it has to be stored again.
    pub(in crate::sync) fn mistrust_the_store(&mut self) {
        self.want_another_snapshot();
        self.snapshots.stored_txn = 0;
    }
}
