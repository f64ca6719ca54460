//! Which snapshots of a listing to load, to keep and to remove: pure decisions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::deltas::Deltas;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::store::Listed;

/// Snapshots of an instance are read again after this time, ns, though deltas have told all that is in them: somewhere a clock may have
/// been wrong and an older version written over a newer one, which no delta tells. All store a snapshot every four hours.
const AUDIT: u64 = 3 * 3_600_000_000_000;

/// What an agent knows of the objects of one database.
#[derive(Debug, Default, Clone)]
pub struct Knowledge {
    /// The newest snapshot of each instance that is merged into the database (or was written from it).
    pub merged: BTreeMap<String, SnapshotName>,
    /// The state of each instance, ns since the epoch, up to which the database has all that the instance wrote: by snapshots, by
    /// deltas from the store, or by word of a peer.
    pub have: BTreeMap<String, u64>,
    /// The time of the newest snapshot of each instance that was read or written here, ns since the epoch.
    pub read: BTreeMap<String, u64>,
    /// By instance, the state from which on a snapshot is to be read though deltas lead there: it has more than they tell.
    pub wanted: BTreeMap<String, u64>,
    /// Objects that do not decode: they count as if they were not there.
    pub corrupt: BTreeSet<SnapshotName>,
    /// With the size that the listing showed: who told a peer of a state stores it under the same name at the next attempt.
    pub corrupt_deltas: BTreeMap<DeltaName, u64>,
    /// Deltas of a newer schema.
    pub refused_deltas: BTreeSet<DeltaName>,
    /// Snapshots of a newer schema, with it: not merged as long as the database has an older one.
    pub refused: BTreeMap<SnapshotName, u32>,
}

/// What is to be loaded next of an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    Snapshot(SnapshotName),
    Delta(DeltaName),
}

impl Next {
    pub fn instance(&self) -> &str {
        match self {
            Self::Snapshot(name) => name.instance(),
            Self::Delta(name) => name.instance(),
        }
    }
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
    pub fn merged(&mut self, name: &SnapshotName) {
        let newest = self
            .merged
            .entry(name.instance().to_owned())
            .or_insert_with(|| name.clone());
        if *newest < *name {
            *newest = name.clone();
        }
        self.reached(name.instance(), name.timestamp());
        let read = self.read.entry(name.instance().to_owned()).or_default();
        *read = name.timestamp().max(*read);
        if self.is_wanted(name) {
            self.wanted.remove(name.instance());
        }
    }

    /// Everything of an instance up to this state of it is merged.
    pub fn reached(&mut self, instance: &str, time: u64) {
        let have = self.have.entry(instance.to_owned()).or_default();
        *have = time.max(*have);
    }

    /// The state of an instance up to which everything is merged, ns since the epoch; 0: nothing.
    pub fn have(&self, instance: &str) -> u64 {
        self.have.get(instance).copied().unwrap_or(0)
    }

    /// What an instance stores after this state of it is read again, ns since the epoch.
    pub fn lower(&mut self, instance: &str, time: u64) {
        match self.have.get_mut(instance) {
            Some(have) if time > 0 => *have = time.min(*have),
            Some(_) => drop(self.have.remove(instance)),
            None => {}
        }
    }

    /// A delta was merged. Returns whether all that came before it is merged, too.
    pub fn merged_delta(&mut self, name: &DeltaName) -> bool {
        let have = self.have(name.instance());
        let joins = have > 0 && name.since() <= have;
        if joins {
            self.reached(name.instance(), name.time());
        }
        joins
    }

    /// All that is known of an instance's objects is void: they are gone from the store.
    pub fn forget(&mut self, instance: &str) -> Option<SnapshotName> {
        self.have.remove(instance);
        self.read.remove(instance);
        self.merged.remove(instance)
    }

    /// All objects of the other instances are to be looked at anew.
    pub fn forget_all_but(&mut self, own: &str) {
        self.have.retain(|instance, _| instance == own);
        self.read.retain(|instance, _| instance == own);
    }

    /// A listing: what was stored anew under a name is to be looked at anew.
    pub fn listed(&mut self, deltas: &Deltas) {
        self.corrupt_deltas
            .retain(|name, size| deltas.size(name).is_none_or(|listed| listed == *size));
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
        self.have(name.instance()) >= name.timestamp()
    }

    /// It is time to read a snapshot, whatever deltas told.
    fn is_due(&self, name: &SnapshotName) -> bool {
        let read = self.read.get(name.instance()).copied().unwrap_or(0);
        name.timestamp().saturating_sub(read) >= AUDIT
    }

    fn is_wanted(&self, name: &SnapshotName) -> bool {
        let wanted = self.wanted.get(name.instance());
        wanted.is_some_and(|wanted| name.timestamp() >= *wanted)
    }

    /// What is to be loaded next, one object of each instance that has news: the own instance's first, then deltas, then snapshots
    /// from the newest on. Objects for which `skip` says so cannot be had now.
    pub fn to_load(
        &self,
        listing: &Listing,
        deltas: &Deltas,
        own: &str,
        skip: impl Fn(&Next) -> bool,
    ) -> Vec<Next> {
        let instances: BTreeSet<_> = listing.keys().chain(deltas.instances()).collect();
        let mut next: Vec<_> = instances
            .into_iter()
            .filter_map(|instance| self.next_of(listing, deltas, instance, &skip))
            .collect();
        // The newest snapshot has most of what the others have, too.
        next.sort_by_key(|next| {
            let snapshot = match next {
                Next::Snapshot(name) => Some(Reverse(name.timestamp())),
                Next::Delta(_) => None,
            };
            (next.instance() != own, snapshot)
        });
        next
    }

    /// Nothing of an instance that could be merged is left.
    pub fn has_all_readable_of(&self, instance: &str, listing: &Listing, deltas: &Deltas) -> bool {
        self.next_of(listing, deltas, instance, &|_| false).is_none()
    }

    fn next_of(
        &self,
        listing: &Listing,
        deltas: &Deltas,
        instance: &str,
        skip: &impl Fn(&Next) -> bool,
    ) -> Option<Next> {
        let have = self.have(instance);
        let usable = |name: &DeltaName| {
            !self.corrupt_deltas.contains_key(name)
                && !self.refused_deltas.contains(name)
                && !skip(&Next::Delta(name.clone()))
        };
        let snapshot = self
            .newest(listing, instance)
            .filter(|name| name.timestamp() > have || self.is_due(name) || self.is_wanted(name))
            .map(|name| Next::Snapshot(name.clone()));
        // A way that ends before the newest snapshot is no way: what it leads to is in the snapshot, too.
        let worthwhile = |reach| match &snapshot {
            Some(Next::Snapshot(name)) => reach >= name.timestamp(),
            _ => true,
        };
        deltas
            .step(instance, have, usable)
            .filter(|_| {
                worthwhile(deltas.reach(instance, have, usable)) || snapshot.as_ref().is_some_and(skip)
            })
            .map(|name| Next::Delta(name.clone()))
            .or_else(|| snapshot.filter(|next| !skip(next)))
    }

    /// Instances whose merged snapshot is gone from the store, with no newer one in its place.
    pub fn vanished(&self, listing: &Listing) -> Vec<String> {
        let newest = |instance: &String| listing.get(instance).and_then(BTreeSet::last);
        let gone = |instance: &&String| match self.merged.get(*instance) {
            Some(merged) => newest(instance) < Some(merged),
            None => newest(instance).is_none(),
        };
        self.have.keys().filter(gone).cloned().collect()
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

    /// True once the states that instances had at the first listing are merged. One whose objects are gone, or all corrupt,
    /// has nothing more to give.
    pub fn has_all_of(&self, awaited: &BTreeMap<String, u64>, listing: &Listing, deltas: &Deltas) -> bool {
        awaited.iter().all(|(instance, state)| {
            self.have(instance) >= *state || self.has_all_readable_of(instance, listing, deltas)
        })
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
            modified: None,
        }
    }

    fn to_load(known: &Knowledge, listing: &Listing, own: &str) -> Vec<Next> {
        known.to_load(listing, &Deltas::default(), own, |_| false)
    }

    fn delta(since: u64, time: u64) -> DeltaName {
        let ns = 1_000_000_000;
        DeltaName::new("main", "a", since * ns, time * ns).unwrap()
    }

    fn deltas(of: &[(u64, u64)]) -> Deltas {
        let mut deltas = Deltas::default();
        for (since, time) in of {
            deltas.insert(delta(*since, *time), 100);
        }
        deltas
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
        assert_eq!(
            to_load(&known, &listing, "z"),
            [Next::Snapshot(z2.clone()), Next::Snapshot(a2.clone())]
        );
        known.merged(&z2);
        assert_eq!(to_load(&known, &listing, "z"), [Next::Snapshot(a2)]);
    }

    #[test]
    fn of_a_corrupt_snapshot_the_one_before_counts_again_unless_it_is_merged() {
        let (a1, a2) = (name("a", 1), name("a", 2));
        let mut known = Knowledge {
            corrupt: [a2.clone()].into(),
            ..Knowledge::default()
        };
        let listing = listing(&[&a1, &a2]);
        assert_eq!(to_load(&known, &listing, "b"), [Next::Snapshot(a1.clone())]);
        known.merged(&a1);
        assert!(to_load(&known, &listing, "b").is_empty());
    }

    #[test]
    fn ready_means_that_all_first_seen_instances_gave_what_they_have() {
        let (a, b) = (name("a", 1), name("b", 1));
        let seen: BTreeMap<_, _> = [("a".to_owned(), a.timestamp()), ("b".to_owned(), b.timestamp())].into();
        let none = Deltas::default();
        let mut known = Knowledge::default();
        assert!(!known.has_all_of(&seen, &listing(&[&a, &b]), &none));
        known.merged(&a);
        assert!(!known.has_all_of(&seen, &listing(&[&a, &b]), &none));
        // The other one's snapshots vanished.
        assert!(known.has_all_of(&seen, &listing(&[&a]), &none));
        // Or they are all torn.
        known.corrupt.insert(b.clone());
        assert!(known.has_all_of(&seen, &listing(&[&a, &b]), &none));
    }

    #[test]
    fn who_can_go_on_by_deltas_needs_no_newer_snapshot() {
        let (a10, a13) = (name("a", 10), name("a", 13));
        let all = listing(&[&a10, &a13]);
        let mut known = Knowledge::default();
        let next = |known: &Knowledge, deltas: &Deltas| known.to_load(&all, deltas, "b", |_| false);
        let way = deltas(&[(10, 12), (12, 13), (13, 14)]);
        // The first step is the newest snapshot.
        assert_eq!(next(&known, &way), [Next::Snapshot(a13.clone())]);
        known.merged(&a10);
        assert_eq!(next(&known, &way), [Next::Delta(delta(10, 12))]);
        // With a gap before the snapshot there is only the snapshot.
        assert_eq!(
            next(&known, &deltas(&[(10, 11), (12, 13), (13, 14)])),
            [Next::Snapshot(a13.clone())]
        );
        assert!(known.merged_delta(&delta(10, 12)));
        assert!(known.merged_delta(&delta(12, 13)));
        assert_eq!(next(&known, &way), [Next::Delta(delta(13, 14))]);
        // One that does not join on says nothing about what came before it.
        assert!(!known.merged_delta(&delta(15, 16)));
        assert_eq!(known.have("a"), a13.timestamp());
    }

    #[test]
    fn after_hours_a_snapshot_is_read_though_deltas_have_told_what_is_in_it() {
        let hour = 3600;
        let (a1, a2, a3) = (name("a", 1), name("a", 2 * hour), name("a", 3 * hour + 1));
        let mut known = Knowledge::default();
        known.merged(&a1);
        let way = deltas(&[(1, 2 * hour), (2 * hour, 3 * hour + 1)]);
        known.reached("a", a3.timestamp());
        let next = |known: &Knowledge, listing: &Listing| known.to_load(listing, &way, "b", |_| false);
        assert!(next(&known, &listing(&[&a1, &a2])).is_empty());
        let all = listing(&[&a1, &a2, &a3]);
        assert_eq!(next(&known, &all), [Next::Snapshot(a3.clone())]);
        known.merged(&a3);
        assert!(next(&known, &all).is_empty());
    }

    #[test]
    fn a_delta_that_cannot_be_had_or_does_not_decode_is_a_gap() {
        let (a10, a13) = (name("a", 10), name("a", 13));
        let way = deltas(&[(10, 12), (12, 13)]);
        let mut known = Knowledge::default();
        known.merged(&a10);
        known.corrupt_deltas.insert(delta(10, 12), 100);
        let all = listing(&[&a10, &a13]);
        assert_eq!(
            known.to_load(&all, &way, "b", |_| false),
            [Next::Snapshot(a13.clone())]
        );
        assert!(known.to_load(&listing(&[&a10]), &way, "b", |_| false).is_empty());
        let mut known = Knowledge::default();
        known.merged(&a10);
        let lost = Next::Snapshot(a13);
        assert_eq!(
            known.to_load(&all, &deltas(&[(10, 12)]), "b", |next| *next == lost),
            [Next::Delta(delta(10, 12))]
        );
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
        known.merged(&a2);
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
