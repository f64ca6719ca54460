//! Version vectors: what the snapshots in the store have of other instances than their writer.
//!
//! Whoever has merged a snapshot has all of that, and needs no object of those instances up to there: a newcomer reads one
//! snapshot.

use std::collections::BTreeMap;

use super::plan::Listing;
use crate::snapshot::{SnapshotName, Vector};

/// What is known of the snapshots' vectors, the newest snapshot of each writer.
#[derive(Debug, Default)]
pub(in crate::sync) struct Vectors(BTreeMap<String, (SnapshotName, Vector)>);

impl Vectors {
    /// A snapshot has this of others.
    pub(in crate::sync) fn learn(&mut self, name: &SnapshotName, vector: Vector) {
        match self.0.get(name.instance()) {
            Some((known, _)) if known > name => {}
            _ => drop(self.0.insert(name.instance().to_owned(), (name.clone(), vector))),
        }
    }

    /// The snapshot of another instance in the store that has most of an instance whose objects go, and the state of that up to which
    /// it has everything, ns since the epoch. Whoever follows its writer's deltas knows of it.
    pub(in crate::sync) fn cover(&self, instance: &str, listing: &Listing) -> Option<(&SnapshotName, u64)> {
        let others = self.0.iter().filter(|(writer, _)| *writer != instance);
        let there = others
            .filter(|(writer, (name, _))| listing.get(*writer).is_some_and(|names| names.contains(name)));
        let covers = there.filter_map(|(_, (name, vector))| {
            let had = vector.get(instance).filter(|had| had.goes)?;
            Some((name, had.time))
        });
        covers.max_by_key(|(_, time)| *time)
    }

    /// That state; 0: there is no such snapshot.
    pub(in crate::sync) fn of(&self, instance: &str, listing: &Listing) -> u64 {
        self.cover(instance, listing).map_or(0, |(_, time)| time)
    }

    /// Those of snapshots that are not there, or cannot be read, say nothing.
    pub(in crate::sync) fn retain(&mut self, is_there: impl Fn(&SnapshotName) -> bool) {
        self.0.retain(|_, (name, _)| is_there(name));
    }

    pub(in crate::sync) fn is_known(&self, name: &SnapshotName) -> bool {
        self.0
            .get(name.instance())
            .is_some_and(|(known, _)| known == name)
    }
}

#[cfg(test)]
pub(in crate::sync) mod samples {
    use super::*;
    use crate::snapshot::Had;

    pub(in crate::sync) fn name(writer: &str, time: u64) -> SnapshotName {
        SnapshotName::new("main", writer, time).unwrap()
    }

    pub(in crate::sync) fn vector(of: &[(&str, u64)]) -> Vector {
        let had = |(instance, time): &(&str, u64)| {
            (
                (*instance).to_owned(),
                Had {
                    time: *time,
                    schema: 5,
                    goes: true,
                    version: 2,
                },
            )
        };
        of.iter().map(had).collect()
    }

    pub(in crate::sync) fn listing(of: &[SnapshotName]) -> Listing {
        let mut listing = Listing::new();
        for name in of {
            listing
                .entry(name.instance().to_owned())
                .or_default()
                .insert(name.clone());
        }
        listing
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{listing, name, vector};
    use super::*;

    #[test]
    fn what_a_snapshot_has_counts_as_long_as_it_is_in_the_store() {
        let mut vectors = Vectors::default();
        vectors.learn(&name("a", 10), vector(&[("c", 7), ("a", 99)]));
        vectors.learn(&name("b", 20), vector(&[("c", 5)]));
        let both = listing(&[name("a", 10), name("b", 20)]);
        assert_eq!(vectors.of("c", &both), 7);
        assert_eq!(vectors.of("c", &listing(&[name("b", 20)])), 5);
        assert_eq!(vectors.of("c", &listing(&[name("a", 11)])), 0);
        assert_eq!(vectors.of("a", &both), 0, "nobody vouches for itself");
        // One that was read later and is older says nothing new.
        vectors.learn(&name("b", 15), vector(&[("c", 50)]));
        assert_eq!(vectors.of("c", &listing(&[name("b", 15), name("b", 20)])), 5);
    }
}
