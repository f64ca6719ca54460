//! What is known of the other instances that write now.

use std::collections::BTreeMap;

use super::replica::Replica;
use crate::sync::known::plan::auditor;

/// Time for which a database counts as equal that was found to be, ns.
const EQUAL: u64 = 3_600_000_000_000;
/// Snapshots of an instance that there may be where somebody cleans.
const FEW: usize = 3;

impl Replica {
    /// The states that peers told of.
    pub(in crate::sync) fn told_by_peers(&self) -> BTreeMap<String, u64> {
        let contacts = self.peers.as_ref().map(|peers| peers.contacts(self.database()));
        contacts.unwrap_or_default()
    }

    /// One of these states, which are known for a while, is not merged: its telling was lost, and the store has it.
    pub(in crate::sync) fn lacks_any_of(&self, told: &BTreeMap<String, u64>) -> bool {
        let state = self.state();
        told.iter()
            .any(|(instance, time)| *instance != self.own && state.known.have(instance) < *time)
    }

    /// Has the snapshots of those spared whose databases were found equal not long ago, and which another one reads.
    pub(in crate::sync) fn spare_the_equal(&self) {
        let (now, contacts) = (self.now_ns(), self.told_by_peers());
        let mut state = self.state();
        state.compared.retain(|_, when| now.abs_diff(*when) < EQUAL);
        // Who told of nothing may not have this database.
        let others = contacts.iter().filter(|(_, told)| **told > 0);
        let all = others
            .map(|(name, _)| name.as_str())
            .chain([self.own.as_str()])
            .collect();
        // Where they pile up nobody removes them who has read the newest.
        let are_few = |instance: &str| {
            let there = state.listing.get(instance);
            there.is_none_or(|names| names.len() <= FEW)
        };
        let equal = state.compared.keys();
        let spared =
            equal.filter(|instance| are_few(instance) && auditor(&all, instance) != Some(self.own.as_str()));
        state.known.spared = spared.cloned().collect();
    }

    /// How many instances have their turn before this one to store what only one needs to store of an instance.
    pub(in crate::sync) fn place_before(&self, instance: &str) -> u64 {
        let contacts = self.told_by_peers();
        let now = self.now_ns();
        let state = self.state();
        let living = state.living(&self.own, now).into_iter();
        let before = living.filter(|other| {
            *other != instance
                && **other < self.own
                && (self.peers.is_none() || contacts.contains_key(*other))
                && !state.lightning_stream.contains(*other)
        });
        before.count() as u64
    }
}
