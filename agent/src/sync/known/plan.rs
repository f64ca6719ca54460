//! Which snapshots of a listing to load, to keep and to remove: pure decisions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::deltas::Deltas;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::store::Listed;

/// Snapshots of an instance are read again after this time, ns, though deltas have told all that is in them: somewhere a clock may have
/// been wrong and an older version written over a newer one, which no delta tells. All store a snapshot every four hours. Where databases are
/// compared one instance reads it, for a snapshot that nobody has read supersedes none.
const AUDIT: u64 = 3 * 3_600_000_000_000;

/// The one of the instances that reads the snapshots of one of them from time to time: the next by name.
pub fn auditor<'n>(instances: &BTreeSet<&'n str>, of: &str) -> Option<&'n str> {
    let mut others = instances.iter().copied().filter(|other| *other != of);
    let first = others.clone().next();
    others.find(|other| *other > of).or(first)
}

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
    /// Instances whose snapshots somebody else reads from time to time: their databases were found equal to this one.
    pub spared: BTreeSet<String>,
    /// Objects that do not decode: they count as if they were not there.
    pub corrupt: BTreeSet<SnapshotName>,
    /// With the size that the listing showed: who told a peer of a state stores it under the same name at the next attempt.
    pub corrupt_deltas: BTreeMap<DeltaName, u64>,
    /// Deltas of a newer schema.
    pub refused_deltas: BTreeSet<DeltaName>,
    /// Snapshots of a newer schema, with it: not merged as long as the database has an older one.
    pub refused: BTreeMap<SnapshotName, u32>,
    /// How often something was forgotten of what is merged.
    forgotten: u64,
}

/// A delta leads on from the state of its instance up to which everything is merged, ns since the epoch; 0: nothing.
pub fn joins(name: &DeltaName, have: u64) -> bool {
    have > 0 && name.since() <= have
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
        self.forgotten += 1;
        match self.have.get_mut(instance) {
            Some(have) if time > 0 => *have = time.min(*have),
            Some(_) => drop(self.have.remove(instance)),
            None => {}
        }
    }

    /// A delta was merged. Returns whether all that came before it is merged, too.
    pub fn merged_delta(&mut self, name: &DeltaName) -> bool {
        let joins = joins(name, self.have(name.instance()));
        if joins {
            self.reached(name.instance(), name.time());
        }
        joins
    }

    /// All that is known of an instance's objects is void: they are gone from the store.
    pub fn forget(&mut self, instance: &str) -> Option<SnapshotName> {
        self.forgotten += 1;
        self.have.remove(instance);
        self.read.remove(instance);
        self.merged.remove(instance)
    }

    /// All objects of the other instances are to be looked at anew.
    pub fn forget_all_but(&mut self, own: &str) {
        self.forgotten += 1;
        self.have.retain(|instance, _| instance == own);
        self.read.retain(|instance, _| instance == own);
    }

    /// All objects are to be looked at anew.
    pub fn forget_all(&mut self) {
        self.forgotten += 1;
        self.have.clear();
        self.read.clear();
    }

    /// How often something was forgotten. What was being merged at the time is to be merged anew, too.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
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
        !self.spared.contains(name.instance()) && name.timestamp().saturating_sub(read) >= AUDIT
    }

    fn is_wanted(&self, name: &SnapshotName) -> bool {
        let wanted = self.wanted.get(name.instance());
        wanted.is_some_and(|wanted| name.timestamp() >= *wanted)
    }

    /// What is to be loaded, by instance, each with its objects in their order: the own instance first, then those that go on by
    /// deltas, then those with a snapshot, the newest of these first. Objects for which `skip` says so cannot be had now.
    pub fn to_load(
        &self,
        listing: &Listing,
        deltas: &Deltas,
        own: &str,
        skip: impl Fn(&Next) -> bool,
    ) -> Vec<Vec<Next>> {
        let instances: BTreeSet<_> = listing.keys().chain(deltas.instances()).collect();
        let ways = instances
            .into_iter()
            .map(|instance| self.way_of(listing, deltas, instance, &skip));
        let mut ways: Vec<_> = ways.filter(|way| !way.is_empty()).collect();
        // The newest snapshot has most of what the others have, too.
        let snapshot = |way: &[Next]| match way.first() {
            Some(Next::Snapshot(name)) => Some(Reverse(name.timestamp())),
            _ => None,
        };
        ways.sort_by_key(|way| (way.first().map(Next::instance) != Some(own), snapshot(way)));
        ways
    }

    /// Nothing of an instance that could be merged is left.
    pub fn has_all_readable_of(&self, instance: &str, listing: &Listing, deltas: &Deltas) -> bool {
        self.way_of(listing, deltas, instance, &|_| false).is_empty()
    }

    fn way_of(
        &self,
        listing: &Listing,
        deltas: &Deltas,
        instance: &str,
        skip: &impl Fn(&Next) -> bool,
    ) -> Vec<Next> {
        let have = self.have(instance);
        let usable = |name: &DeltaName| {
            !self.corrupt_deltas.contains_key(name)
                && !self.refused_deltas.contains(name)
                && !skip(&Next::Delta(name.clone()))
        };
        let steps = deltas.way(instance, have, usable);
        let reach = steps.last().map_or(have, |name| name.time());
        let mut way: Vec<_> = steps.into_iter().map(|name| Next::Delta(name.clone())).collect();
        let snapshot = self.newest(listing, instance);
        let snapshot = snapshot.filter(|name| !skip(&Next::Snapshot((*name).clone())));
        if let Some(name) = snapshot {
            let is_newer = reach < name.timestamp();
            if is_newer {
                // A way that ends before the newest snapshot is no way: what it leads to is in the snapshot, too.
                way.clear();
            }
            if is_newer || self.is_due(name) || self.is_wanted(name) {
                way.push(Next::Snapshot(name.clone()));
            }
        }
        way
    }

    /// An object is not needed any more, by what was merged since it was planned.
    pub fn is_passed(&self, next: &Next) -> bool {
        match next {
            Next::Snapshot(name) => self.is_merged(name) && !self.is_due(name) && !self.is_wanted(name),
            Next::Delta(name) => self.have(name.instance()) >= name.time(),
        }
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
mod tests;
