//! Instances whose objects go or are gone from the store: pure.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Listing;
use crate::snapshot::{Had, Vector};

/// Time for which own snapshots go on to vouch for an instance whose objects went, ns: others may look late.
const VOUCHED: u64 = 24 * 3_600_000_000_000;

#[derive(Debug, Default)]
pub(in crate::sync) struct Departed {
    /// By instance: the newest sign of it that the store had, ns since the epoch.
    signs: BTreeMap<String, u64>,
    /// By instance whose snapshot is gone from the store: since when that is known, ns since the epoch.
    vanished: BTreeMap<String, u64>,
    /// By instance whose objects were gone when another one's snapshot had its changes: the state of it that is here, ns since the epoch.
    gone: BTreeMap<String, u64>,
    /// Those whose changes the next own snapshot is to have, so that their objects can be removed.
    taken_in: BTreeSet<String>,
    /// By instance whose objects go, what the store has of it in an own snapshot, and since when, ns since the epoch.
    vouched: BTreeMap<String, (Had, u64)>,
}

impl Departed {
    /// The store has an object of an instance of this time, ns since the epoch.
    pub(in crate::sync) fn saw(&mut self, instance: &str, time: u64) {
        let sign = self.signs.entry(instance.to_owned()).or_default();
        *sign = time.max(*sign);
    }

    /// Up to which state the objects of an instance were known that is here up to `have`, ns since the epoch.
    pub(in crate::sync) fn had_of(&self, instance: &str, have: u64) -> u64 {
        self.signs.get(instance).map_or(have, |sign| have.min(*sign))
    }

    /// A look at the store: the snapshots of these instances are gone. Those that are listed are not.
    pub(in crate::sync) fn look(&mut self, vanished: &[String], listing: &Listing) {
        self.vanished.retain(|instance, _| vanished.contains(instance));
        self.gone.retain(|instance, _| !listing.contains_key(instance));
    }

    /// Since when it is known that the snapshots of an instance are gone, ns since the epoch.
    pub(in crate::sync) fn vanished_since(&mut self, instance: &str, now: u64) -> u64 {
        *self.vanished.entry(instance.to_owned()).or_insert(now)
    }

    /// What an instance had is not to be looked for any more.
    pub(in crate::sync) fn forget(&mut self, instance: &str) {
        self.vanished.remove(instance);
        self.signs.remove(instance);
    }

    /// The same, since another one's snapshot has it. It is here up to this state, ns since the epoch.
    pub(in crate::sync) fn leave_to_another(&mut self, instance: &str, have: u64) {
        self.gone.insert(instance.to_owned(), have);
        self.forget(instance);
    }

    /// Up to which state of an instance that is gone its changes are here, ns since the epoch; 0: none is known.
    pub(in crate::sync) fn gone_at(&self, instance: &str) -> u64 {
        self.gone.get(instance).copied().unwrap_or(0)
    }

    /// The same of all of them, by instance.
    pub(in crate::sync) fn gone(&self) -> &BTreeMap<String, u64> {
        &self.gone
    }

    pub(in crate::sync) fn go_on_from(&mut self, gone: BTreeMap<String, u64>) {
        self.gone = gone;
    }

    /// The next own snapshot is to have the changes of an instance.
    pub(in crate::sync) fn take_in(&mut self, instance: String) {
        self.taken_in.insert(instance);
    }

    pub(in crate::sync) fn taken_in(&self) -> &BTreeSet<String> {
        &self.taken_in
    }

    /// An own snapshot is stored that has the changes of these, and says so.
    pub(in crate::sync) fn are_stored(&mut self, taken_in: &BTreeSet<String>, vector: Vector, now: u64) {
        self.taken_in.retain(|instance| !taken_in.contains(instance));
        let vouched = vector.into_iter().map(|(instance, had)| (instance, (had, now)));
        self.vouched.extend(vouched);
    }

    /// What earlier own snapshots said that they have of those whose objects went, for as long as later ones are to say so.
    pub(in crate::sync) fn vouched(&mut self, now: u64) -> Vector {
        self.vouched
            .retain(|_, (_, since)| now.abs_diff(*since) < VOUCHED);
        let vouched = self.vouched.iter();
        vouched
            .map(|(instance, (had, _))| (instance.clone(), *had))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::samples::{listing, name, vector};
    use super::*;

    #[test]
    fn what_was_in_the_objects_of_an_instance_is_what_the_store_showed_at_the_most() {
        let mut departed = Departed::default();
        assert_eq!(departed.had_of("a", 8), 8);
        departed.saw("a", 7);
        departed.saw("a", 5);
        // A later state is known from a peer and was in no object.
        assert_eq!(departed.had_of("a", 8), 7);
        assert_eq!(departed.had_of("a", 6), 6);
    }

    #[test]
    fn who_is_gone_stays_so_until_there_are_objects_again() {
        let mut departed = Departed::default();
        assert_eq!(departed.vanished_since("a", 10), 10);
        departed.look(&["a".to_owned()], &listing(&[]));
        assert_eq!(departed.vanished_since("a", 20), 10);
        departed.look(&[], &listing(&[]));
        assert_eq!(departed.vanished_since("a", 30), 30);
        departed.leave_to_another("a", 25);
        departed.look(&[], &listing(&[name("b", 1)]));
        assert_eq!((departed.gone_at("a"), departed.gone_at("b")), (25, 0));
        departed.look(&[], &listing(&[name("a", 26)]));
        assert_eq!(departed.gone_at("a"), 0);
    }

    #[test]
    fn a_snapshot_is_vouched_for_by_later_ones_for_a_day() {
        let mut departed = Departed::default();
        departed.take_in("a".to_owned());
        let taken_in = departed.taken_in().clone();
        departed.take_in("b".to_owned());
        departed.are_stored(&taken_in, vector(&[("a", 7)]), 100);
        assert_eq!(departed.taken_in(), &["b".to_owned()].into());
        assert_eq!(departed.vouched(100 + VOUCHED - 1), vector(&[("a", 7)]));
        assert!(departed.vouched(100 + VOUCHED).is_empty());
    }
}
