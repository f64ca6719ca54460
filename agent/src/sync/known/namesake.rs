//! Noticing another agent that writes under this instance's name.
//!
//! Readers take only the newest snapshot of a name, so two agents of one name would hide each other's changes. From the
//! moment the other is seen, this one merges what the other stores and stores nothing itself.

use std::collections::BTreeSet;

/// Time without a foreign snapshot after which the other agent counts as gone, ns. It must be longer than a restart of a pod
/// whose predecessor still stores its last change.
const QUIET: u64 = 300_000_000_000;

/// Own snapshots kept in mind, some 150 bytes each.
const MOST_REMEMBERED: usize = 10_000;

/// What is known of own objects, snapshots or deltas, and of foreign ones under the own name.
#[derive(Debug)]
pub(in crate::sync) struct Namesake<N> {
    /// Objects that this process stored or tried to store, or that were there when it started.
    ours: Option<BTreeSet<N>>,
    /// Foreign objects that are not merged yet.
    pending: BTreeSet<N>,
    last_foreign: Option<(N, u64)>,
}

impl<N> Default for Namesake<N> {
    fn default() -> Self {
        Self {
            ours: None,
            pending: BTreeSet::new(),
            last_foreign: None,
        }
    }
}

impl<N: Ord + Clone> Namesake<N> {
    /// Remembers a snapshot before the attempt to store it.
    pub(in crate::sync) fn about_to_store(&mut self, name: N) {
        self.ours.get_or_insert_default().insert(name);
    }

    /// Looks at the own name's snapshots in a listing and returns those that somebody else stored since the last look.
    /// At the first look all are from this instance's former life. `now` is in ns since the epoch.
    pub(in crate::sync) fn look(&mut self, own: &BTreeSet<N>, now: u64) -> Vec<N> {
        let Some(ours) = &mut self.ours else {
            self.ours = Some(own.clone());
            return Vec::new();
        };
        let foreign: Vec<_> = own.difference(ours).cloned().collect();
        // Those long gone from the store need no memory; a store that comes back from an outage may still have the others.
        while ours.len() > MOST_REMEMBERED
            && let Some(oldest) = ours.first().filter(|oldest| !own.contains(*oldest)).cloned()
        {
            ours.remove(&oldest);
        }
        ours.extend(foreign.iter().cloned());
        self.pending.retain(|name| own.contains(name));
        self.pending.extend(foreign.iter().cloned());
        if let Some(newest) = foreign.last() {
            self.last_foreign = Some((newest.clone(), now));
        }
        foreign
    }

    /// Foreign snapshots to be merged, older ones than the newest own among them.
    pub(in crate::sync) fn pending(&self) -> Vec<N> {
        self.pending.iter().cloned().collect()
    }

    pub(in crate::sync) fn has_merged(&mut self, name: &N) {
        self.pending.remove(name);
    }

    /// The foreign snapshot because of which nothing may be stored now.
    pub(in crate::sync) fn holds(&self, now: u64) -> Option<&N> {
        if let Some(name) = self.pending.last() {
            return Some(name);
        }
        let (name, seen) = self.last_foreign.as_ref()?;
        // A clock that is set back must not hold for as long as it takes to get there again.
        (now.abs_diff(*seen) < QUIET).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::SnapshotName;

    fn name(second: u64) -> SnapshotName {
        SnapshotName::new("main", "a", second * 1_000_000_000).unwrap()
    }

    #[test]
    fn what_was_there_at_the_start_and_what_was_stored_since_is_our_own() {
        let mut namesake = Namesake::default();
        assert!(namesake.look(&[name(1)].into(), 0).is_empty());
        namesake.about_to_store(name(2));
        namesake.about_to_store(name(3));
        assert!(namesake.look(&[name(1), name(3)].into(), 0).is_empty());
        // The second was slow, and is there after all.
        namesake.about_to_store(name(4));
        assert!(namesake.look(&[name(3), name(4)].into(), 0).is_empty());
        assert_eq!(namesake.holds(0), None);
        // The store is emptied, and comes back as it was.
        assert!(namesake.look(&[].into(), 0).is_empty());
        assert!(namesake.look(&[name(1), name(3), name(4)].into(), 0).is_empty());
    }

    #[test]
    fn a_foreign_snapshot_is_told_once_and_holds_until_it_is_quiet() {
        let mut namesake = Namesake::default();
        namesake.look(&[].into(), 0);
        namesake.about_to_store(name(5));
        let own = [name(2), name(5)].into();
        assert_eq!(namesake.look(&own, 1_000), [name(2)]);
        assert!(namesake.look(&own, 2_000).is_empty());
        assert_eq!(namesake.holds(9 * QUIET), Some(&name(2)));
        assert_eq!(namesake.pending(), [name(2)]);
        namesake.has_merged(&name(2));
        assert_eq!(namesake.holds(1_000 + QUIET - 1), Some(&name(2)));
        assert_eq!(namesake.holds(1_000 + QUIET), None);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hold_for_longer() {
        let mut namesake = Namesake::default();
        namesake.look(&[].into(), 0);
        namesake.look(&[name(1)].into(), 9 * QUIET);
        namesake.has_merged(&name(1));
        assert_eq!(namesake.holds(9 * QUIET), Some(&name(1)));
        assert_eq!(namesake.holds(2 * QUIET), None);
    }
}
