//! What is known of the other instances that write now.

use std::collections::BTreeMap;

use super::replica::Replica;

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
