//! What peers told of and nobody stored: the peer is lost, or its store. Those who have it store it: pure decisions.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::sync::known::heard::{Orphans, Stored};

impl State {
    /// Another one has stored these states. What a lost instance stores next is read from before them on.
    pub(in crate::sync) fn are_adopted(
        &mut self,
        own: &str,
        states: &BTreeMap<String, BTreeSet<u64>>,
        in_contact: impl Fn(&str) -> bool,
    ) {
        for (instance, since) in self.heard.are_stored(states) {
            if !in_contact(&instance) {
                self.known.lower(&instance, since);
            }
        }
        let of_ours = states.get(own).and_then(BTreeSet::last);
        self.log.own_is_known(of_ours.copied().unwrap_or(0));
    }

    /// Looks for states that a peer told of and that nobody stored. `place`: how many instances have their turn to store them before
    /// this one; `None`: this one stores nothing.
    ///
    /// What a lost instance stores from now on is read from the state on that was known before: without its database, or with a clock
    /// set back, it may give times that were told to other states. One that is `in_contact` goes on as it is.
    pub(in crate::sync) fn adopt(
        &mut self,
        now: u64,
        place: impl Fn(&str) -> Option<u64>,
        in_contact: impl Fn(&str) -> bool,
    ) -> Orphans {
        let has_stored = self.log.has_stored();
        let mut heard = std::mem::take(&mut self.heard);
        let orphans = heard.adopt(
            now,
            |instance| self.stored_of(instance),
            place,
            in_contact,
            has_stored,
        );
        self.heard = heard;
        for (instance, since) in &orphans.lost {
            self.known.lower(instance, *since);
        }
        if !orphans.by_snapshot.is_empty() {
            self.log.mistrust_the_store();
        }
        orphans
    }

    /// The states of an instance that the store has. A later snapshot has them, too, unless the instance began anew before that: then
    /// it may have lost them.
    fn stored_of(&self, instance: &str) -> Stored {
        let sound = |name: &DeltaName| !self.known.corrupt_deltas.contains_key(name);
        let mut stored = Stored::default();
        let mut since = u64::MAX;
        for (name, _) in self.deltas.of(instance).rev() {
            if name.since() == name.time() {
                stored.began = stored.began.max(name.time());
            }
            if sound(name) {
                since = since.min(name.since());
                stored.since.insert(name.time(), since);
            }
        }
        let snapshots = self.listing.get(instance).into_iter().flatten();
        let mut snapshots = snapshots.filter(|name| !self.known.corrupt.contains(*name)).rev();
        stored.snapshot = snapshots.next().map_or(0, SnapshotName::timestamp);
        stored.elsewhere = self.vectors.of(instance, &self.listing);
        stored
    }
}

#[cfg(test)]
#[path = "unstored_tests.rs"]
mod tests;
