//! For tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Mutex;

use super::{Level, Quarantined, Report, Way};
use crate::skew::Skew;
use crate::snapshot::{DeltaName, SnapshotName};

/// Keeps in mind which conditions are raised, and nothing else.
#[derive(Default)]
pub(crate) struct Raised(Mutex<BTreeSet<&'static str>>);

impl Raised {
    /// Their names, in order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().copied().collect()
    }
}

impl Report for Raised {
    fn raise(&self, condition: &'static str, _level: Level, _text: &str) {
        self.0.lock().unwrap().insert(condition);
    }

    fn clear(&self, condition: &'static str) {
        self.0.lock().unwrap().remove(condition);
    }

    fn listed(&self, _newest: BTreeMap<String, u64>) {}
    fn retired(&self, _instances: BTreeSet<String>) {}
    fn loaded(&self) {}
    fn set_ready(&self) {}
    fn merged(&self, _name: &SnapshotName, _written: u64) {}
    fn merged_delta(&self, _name: &DeltaName, _way: Way, _written: u64) {}
    fn corrupt(&self, _name: &SnapshotName, _reason: &str) {}
    fn corrupt_delta(&self, _name: &DeltaName, _reason: &str) {}
    fn local_txn(&self, _last: u64, _synced: u64, _wants_snapshot: bool) {}
    fn stored(&self, _name: &SnapshotName, _bytes: u64) {}
    fn stored_delta(&self, _name: &DeltaName, _bytes: u64, _entries: u64) {}
    fn failed(&self, _step: &'static str, _error: &dyn Display) {}
    fn mended(&self, _restored: u64, _overwritten: u64) {}
    fn compared(&self, _now: u64) {}
    fn differed(&self, _taken: u64) {}
    fn swept(&self, _removed: u64) {}
    fn cleaned(&self, _removed: u64) {}
    fn quarantined(&self, _all: Quarantined, _kept: u64, _released: u64) {}
    fn compared_clocks(&self, _skew: Skew) {}
}
