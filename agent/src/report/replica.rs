//! What the replica of one database reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::Quarantined;
use crate::skew::Skew;
use crate::snapshot::{DeltaName, SnapshotName};

/// How serious something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

/// On which way a delta came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Store,
    Peer,
}

/// Where the replica of one database reports to, what it does and what goes wrong. Nothing here waits or fails. A report is also a sign
/// that the replica is alive, unless it says otherwise.
pub trait Report: Send + Sync {
    /// After each listing of the store: these instances have objects, the newest of these times (ns since the epoch).
    fn listed(&self, newest: BTreeMap<String, u64>);

    /// After each look at the list of retired instances: these never come back. No sign of life.
    fn retired(&self, instances: BTreeSet<String>);

    /// A round of loading has ended and nothing failed in it.
    fn loaded(&self);

    /// Once: all instances that the first listing showed are merged.
    fn set_ready(&self);

    /// A snapshot is merged; so many of its entries were news.
    fn merged(&self, name: &SnapshotName, written: u64);

    /// A delta is merged; so many of its entries were news.
    fn merged_delta(&self, name: &DeltaName, way: Way, written: u64);

    /// A snapshot does not decode and is ignored; `reason` is for people.
    fn corrupt(&self, name: &SnapshotName, reason: &str);

    /// A delta in the store does not decode and is ignored; `reason` is for people.
    fn corrupt_delta(&self, name: &DeltaName, reason: &str);

    /// Whenever local changes are looked for: the database's last transaction, the one up to which the store has everything, and whether
    /// it is to have a snapshot all the same, since it lost something.
    fn local_txn(&self, last: u64, synced: u64, wants_snapshot: bool);

    /// An own snapshot of this many bytes is stored.
    fn stored(&self, name: &SnapshotName, bytes: u64);

    /// An own delta of this many bytes and entries is stored.
    fn stored_delta(&self, name: &DeltaName, bytes: u64, entries: u64);

    /// A step such as `list`, `read`, `write` or `merge` failed.
    fn failed(&self, step: &'static str, error: &dyn Display);

    /// Something wants attention until it is cleared. Said again, it may have another text or level.
    fn raise(&self, condition: &'static str, level: Level, text: &str);

    /// What [`Report::raise`] told is over, if it was told.
    fn clear(&self, condition: &'static str);

    /// Lost entries were put back, and entries whose keys were overwritten got theirs back or are removed: so many. No sign of life.
    fn mended(&self, restored: u64, overwritten: u64);

    /// The database is equal to that of a peer, which has the same changes, at `now`, ns since the epoch. No sign of life.
    fn compared(&self, now: u64);

    /// Entries differed from those of a peer that has the same changes, and were taken from it: so many.
    fn differed(&self, taken: u64);

    /// After each sweep: so many old deletion marks are removed.
    fn swept(&self, removed: u64);

    /// After each cleaning: so many superseded objects are removed from the store.
    fn cleaned(&self, removed: u64);

    /// What is kept out of the zones now, and how many entries were put there and merged since the last call.
    fn quarantined(&self, all: Quarantined, kept: u64, released: u64);

    /// After each request to the store whose answer told the time: how far the own clock is from the store's. No sign of life.
    fn compared_clocks(&self, skew: Skew);
}
