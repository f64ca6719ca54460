//! Which snapshots of a listing to load, to keep and to remove: pure decisions.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::SnapshotName;
use crate::store::Listed;

/// What an agent knows of the snapshots of one database.
#[derive(Debug, Default, Clone)]
pub struct Knowledge {
    /// The newest snapshot of each instance that is merged into the database (or was written from it).
    pub merged: BTreeMap<String, SnapshotName>,
    /// Objects that do not decode: they count as if they were not there.
    pub corrupt: BTreeSet<SnapshotName>,
    /// Snapshots of a newer schema, with it: not merged as long as the database has an older one.
    pub refused: BTreeMap<SnapshotName, u32>,
}

/// The snapshots of a listing, by instance, oldest first.
pub type Listing = BTreeMap<String, BTreeSet<SnapshotName>>;

/// Sorts the names of a listing; what is not a snapshot of `database` is left out.
pub fn sort_listing(database: &str, objects: &[Listed]) -> Listing {
    let mut listing = Listing::new();
    for Listed { name, .. } in objects {
        match SnapshotName::parse(name) {
            Ok(name) if name.database() == database => {
                listing
                    .entry(name.instance().to_owned())
                    .or_default()
                    .insert(name);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%name, %error, "not a snapshot"),
        }
    }
    listing
}

impl Knowledge {
    /// A snapshot was merged. The newest of its instance counts.
    pub fn merged(&mut self, name: SnapshotName) {
        let newest = self
            .merged
            .entry(name.instance().to_owned())
            .or_insert_with(|| name.clone());
        if *newest < name {
            *newest = name;
        }
    }

    fn is_usable(&self, name: &SnapshotName) -> bool {
        !self.corrupt.contains(name) && !self.refused.contains_key(name)
    }

    /// The newest snapshot of an instance that is not known to be corrupt, nor refused.
    pub fn newest<'l>(&self, listing: &'l Listing, instance: &str) -> Option<&'l SnapshotName> {
        listing
            .get(instance)?
            .iter()
            .rev()
            .find(|name| self.is_usable(name))
    }

    /// True if the snapshot is merged, corrupt or refused: there is nothing more to do with it.
    pub fn has_judged(&self, name: &SnapshotName) -> bool {
        self.is_merged(name) || !self.is_usable(name)
    }

    fn is_merged(&self, name: &SnapshotName) -> bool {
        self.merged
            .get(name.instance())
            .is_some_and(|merged| merged >= name)
    }

    /// What is still to be loaded: of each instance its newest, the own instance's first.
    pub fn to_load(&self, listing: &Listing, own: &str) -> Vec<SnapshotName> {
        let mut names: Vec<_> = listing
            .keys()
            .filter_map(|instance| self.newest(listing, instance))
            .filter(|name| !self.is_merged(name))
            .cloned()
            .collect();
        names.sort_by_key(|name| name.instance() != own);
        names
    }

    /// Instances whose merged snapshot is gone from the store, with no newer one in its place.
    pub fn vanished(&self, listing: &Listing) -> Vec<String> {
        let newest = |instance| listing.get(instance).and_then(BTreeSet::last);
        let gone = self
            .merged
            .iter()
            .filter(|(instance, merged)| newest(*instance) < Some(merged));
        gone.map(|(instance, _)| instance.clone()).collect()
    }

    /// Superseded snapshots: those older than one of the same instance that is in the listing and was found readable by
    /// merging it (or was written here).
    pub fn superseded(&self, listing: &Listing) -> BTreeSet<SnapshotName> {
        let mut names = BTreeSet::new();
        for (instance, all) in listing {
            if let Some(merged) = self.merged.get(instance).filter(|merged| all.contains(*merged)) {
                names.extend(all.range(..merged).cloned());
            }
        }
        names
    }

    /// True once everything that `instances` have in the listing is merged. An instance whose snapshots are gone, or
    /// all corrupt, has nothing more to give.
    pub fn has_all_of(&self, instances: &BTreeSet<String>, listing: &Listing) -> bool {
        // A newer one may have come since the first listing; that one was merged at all is enough.
        let done = |instance: &String| {
            self.merged.contains_key(instance) || self.newest(listing, instance).is_none()
        };
        instances.iter().all(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(instance: &str, second: u64) -> SnapshotName {
        SnapshotName::new("main", instance, second * 1_000_000_000).unwrap()
    }

    fn listed(name: &str) -> Listed {
        Listed {
            name: name.to_owned(),
            size: 1,
        }
    }

    fn listing(names: &[&SnapshotName]) -> Listing {
        let objects: Vec<_> = names.iter().map(|name| listed(name.as_str())).collect();
        sort_listing("main", &objects)
    }

    #[test]
    fn the_newest_of_each_instance_is_loaded_and_the_own_one_first() {
        let (a1, a2, z1, z2) = (name("a", 1), name("a", 2), name("z", 1), name("z", 2));
        let mut known = Knowledge::default();
        let listing = listing(&[&a1, &a2, &z1, &z2]);
        assert_eq!(known.to_load(&listing, "z"), [z2.clone(), a2.clone()]);
        known.merged.insert("z".into(), z2);
        assert_eq!(known.to_load(&listing, "z"), [a2]);
    }

    #[test]
    fn of_a_corrupt_snapshot_the_one_before_counts_again_unless_it_is_merged() {
        let (a1, a2) = (name("a", 1), name("a", 2));
        let mut known = Knowledge {
            corrupt: [a2.clone()].into(),
            ..Knowledge::default()
        };
        let listing = listing(&[&a1, &a2]);
        assert_eq!(known.to_load(&listing, "b"), std::slice::from_ref(&a1));
        known.merged.insert("a".into(), a1);
        assert!(known.to_load(&listing, "b").is_empty());
    }

    #[test]
    fn ready_means_that_all_first_seen_instances_gave_what_they_have() {
        let (a, b) = (name("a", 1), name("b", 1));
        let seen: BTreeSet<String> = ["a".to_owned(), "b".to_owned()].into();
        let mut known = Knowledge::default();
        assert!(!known.has_all_of(&seen, &listing(&[&a, &b])));
        known.merged.insert("a".into(), a.clone());
        assert!(!known.has_all_of(&seen, &listing(&[&a, &b])));
        // The other one's snapshots vanished.
        assert!(known.has_all_of(&seen, &listing(&[&a])));
        // Or they are all torn.
        known.corrupt.insert(b.clone());
        assert!(known.has_all_of(&seen, &listing(&[&a, &b])));
    }

    #[test]
    fn only_what_a_newer_snapshot_replaces_that_was_found_readable_is_superseded() {
        let (a1, a2, a3, b1, b2) = (
            name("a", 1),
            name("a", 2),
            name("a", 3),
            name("b", 1),
            name("b", 2),
        );
        let mut known = Knowledge::default();
        let all = listing(&[&a1, &a2, &a3, &b1, &b2]);
        assert!(known.superseded(&all).is_empty());
        known.merged.insert("a".into(), a2.clone());
        assert_eq!(known.superseded(&all), [a1.clone()].into());
        // Somebody removed the one that we merged: whether the newer one is readable is not known.
        assert!(known.superseded(&listing(&[&a1, &a3])).is_empty());
    }

    #[test]
    fn names_of_other_databases_and_other_things_are_left_alone() {
        let objects = [
            listed("shard__a__20261124-090050-137194777__GX.pb.gz"),
            listed("main__x.pb.gz"),
        ];
        assert!(sort_listing("main", &objects).is_empty());
    }
}
