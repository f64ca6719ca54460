//! The deltas of a database in a listing, and which of them lead from one state of an instance to the next: pure decisions.
//!
//! A delta leads from its state `since` to its state `time`. Whoever has everything of an instance up to some state can
//! use every delta that starts at that state or before. Some deltas reach back far, so that a way has few steps.

use std::collections::BTreeMap;

use crate::snapshot::DeltaName;
use crate::store::Listed;

/// Deltas by instance, each with its size in bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deltas {
    by_instance: BTreeMap<String, BTreeMap<DeltaName, u64>>,
}

impl Deltas {
    /// Sorts the names of a listing; what is not a delta of `database` is left out.
    pub fn sort(database: &str, objects: &[Listed]) -> Self {
        let mut deltas = Self::default();
        for Listed { name, size, .. } in objects {
            match DeltaName::parse(database, name) {
                Ok(name) => deltas.insert(name, *size),
                Err(error) => tracing::debug!(%name, %error, "not a delta"),
            }
        }
        deltas
    }

    /// Adds a delta of `size` bytes.
    pub fn insert(&mut self, name: DeltaName, size: u64) {
        self.by_instance
            .entry(name.instance().to_owned())
            .or_default()
            .insert(name, size);
    }

    /// Adds what a later and shorter listing showed.
    pub fn extend(&mut self, others: Self) {
        for (instance, names) in others.by_instance {
            self.by_instance.entry(instance).or_default().extend(names);
        }
    }

    /// Takes out what is not in the store any more.
    pub fn remove(&mut self, name: &DeltaName) {
        if let Some(names) = self.by_instance.get_mut(name.instance()) {
            names.remove(name);
        }
    }

    /// The deltas of an instance with their sizes, by time.
    pub fn of(&self, instance: &str) -> impl DoubleEndedIterator<Item = (&DeltaName, u64)> {
        let names = self.by_instance.get(instance).into_iter().flatten();
        names.map(|(name, size)| (name, *size))
    }

    /// Bytes of a delta, if it is there.
    pub fn size(&self, name: &DeltaName) -> Option<u64> {
        self.by_instance.get(name.instance())?.get(name).copied()
    }

    /// The instances that have deltas.
    pub fn instances(&self) -> impl Iterator<Item = &String> {
        self.by_instance
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(instance, _)| instance)
    }

    /// The times of all, ns since the epoch.
    pub fn times(&self) -> impl Iterator<Item = u64> {
        self.by_instance.values().flatten().map(|(name, _)| name.time())
    }

    /// The deltas that lead on from the state `have` of an instance, of those that are `usable`, in their order: each leads as far as
    /// one can.
    pub fn way(&self, instance: &str, have: u64, usable: impl Fn(&DeltaName) -> bool) -> Vec<&DeltaName> {
        // Without a state there is nothing to go on from: the first step is always a snapshot.
        if have == 0 {
            return Vec::new();
        }
        let newer = self.of(instance).map(|(name, _)| name).rev();
        let newer = newer.take_while(|name| name.time() > have);
        let mut newer: Vec<_> = newer.filter(|name| usable(name)).collect();
        newer.sort_by_key(|name| name.since());
        let mut newer = newer.into_iter().peekable();
        let (mut way, mut farthest) = (Vec::<&DeltaName>::new(), None::<&DeltaName>);
        loop {
            let reached = way.last().map_or(have, |name| name.time());
            while let Some(name) = newer.next_if(|name| name.since() <= reached) {
                if farthest.is_none_or(|farthest| farthest.time() < name.time()) {
                    farthest = Some(name);
                }
            }
            match farthest.filter(|farthest| farthest.time() > reached) {
                Some(name) => way.push(name),
                None => return way,
            }
        }
    }

    /// The state that they lead to.
    pub fn reach(&self, instance: &str, have: u64, usable: impl Fn(&DeltaName) -> bool) -> u64 {
        let way = self.way(instance, have, usable);
        way.last().map_or(have, |name| name.time())
    }

    /// Deltas of an instance that nobody needs who is not slow: a snapshot of time `snapshot`, or another delta that is
    /// `sound`, has all that they have. One that leads nowhere only tells of something new, and so does every later one.
    pub fn covered(
        &self,
        instance: &str,
        snapshot: u64,
        sound: impl Fn(&DeltaName) -> bool,
    ) -> Vec<DeltaName> {
        let names: Vec<_> = self.of(instance).map(|(name, _)| name).collect();
        let longer = |name: &DeltaName| {
            names
                .iter()
                .filter(|other| other.since() <= name.since() && other.time() >= name.time())
                .any(|other| *other != name && sound(other))
        };
        let last = names.last().map_or(0, |name| name.time());
        let idle = |name: &DeltaName| name.since() == name.time() && name.time() < last;
        let covered = names
            .iter()
            .filter(|name| name.time() <= snapshot || longer(name) || idle(name));
        covered.map(|name| (*name).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(of: &[(u64, u64)]) -> Deltas {
        let mut deltas = Deltas::default();
        for (since, time) in of {
            deltas.insert(DeltaName::new("main", "a", *since, *time).unwrap(), 100);
        }
        deltas
    }

    fn times(names: &[DeltaName]) -> Vec<(u64, u64)> {
        names.iter().map(|name| (name.since(), name.time())).collect()
    }

    #[test]
    fn a_way_takes_the_longest_steps_and_ends_at_a_gap() {
        let all = deltas(&[(10, 11), (11, 12), (12, 13), (10, 14), (14, 15), (16, 17)]);
        let way = |have| {
            let way = all.way("a", have, |_| true);
            let way: Vec<_> = way.iter().map(|name| (name.since(), name.time())).collect();
            way
        };
        assert_eq!(way(0), []);
        assert_eq!(way(10), [(10, 14), (14, 15)]);
        // Who has the third needs the long one all the same: it alone has what came after.
        assert_eq!(way(13), [(10, 14), (14, 15)]);
        assert_eq!(way(14), [(14, 15)]);
        assert_eq!(way(15), []);
        assert_eq!(way(16), [(16, 17)]);
        assert_eq!(all.reach("a", 10, |_| true), 15);
        assert_eq!(all.reach("a", 16, |_| true), 17);
        assert_eq!(all.reach("b", 16, |_| true), 16);
    }

    #[test]
    fn an_unusable_delta_is_a_gap_unless_another_covers_it() {
        let all = deltas(&[(10, 11), (11, 12), (12, 13), (10, 14)]);
        let usable = |name: &DeltaName| name.time() != 14;
        assert_eq!(all.reach("a", 10, usable), 13);
        assert_eq!(all.reach("a", 10, |name| name.time() != 11), 14);
        assert_eq!(all.reach("a", 10, |name| usable(name) && name.time() != 12), 11);
    }

    #[test]
    fn what_a_snapshot_or_a_longer_delta_has_is_covered() {
        let all = deltas(&[(10, 11), (11, 12), (12, 13), (11, 14), (14, 15)]);
        assert_eq!(times(&all.covered("a", 0, |_| true)), [(11, 12), (12, 13)]);
        assert_eq!(
            times(&all.covered("a", 11, |_| true)),
            [(10, 11), (11, 12), (12, 13)]
        );
        assert_eq!(all.covered("a", 15, |_| true).len(), 5);
        // A torn one has nothing.
        assert_eq!(times(&all.covered("a", 0, |name| name.time() != 14)), []);
        // Each attempt at a first snapshot is told of.
        let attempts = deltas(&[(10, 10), (12, 12), (14, 14)]);
        assert_eq!(times(&attempts.covered("a", 0, |_| true)), [(10, 10), (12, 12)]);
    }

    #[test]
    fn other_objects_in_the_folder_are_left_alone() {
        let listed = |name: &str| Listed {
            name: name.to_owned(),
            size: 7,
            modified: None,
        };
        let name = DeltaName::new("main", "a", 1, 2).unwrap();
        let sorted = Deltas::sort("main", &[listed(name.as_str()), listed("zonetide/delta/main/x")]);
        assert_eq!(sorted.of("a").collect::<Vec<_>>(), [(&name, 7)]);
        assert_eq!(sorted.times().collect::<Vec<_>>(), [2]);
    }
}
