//! What must be in one database once all is calm, by a model that knows nothing of snapshots: the newest wins.
//!
//! Promised, for each key:
//! - A write is *accepted* once its agent reported it stored, and for as long as it is in a database that survives.
//!   What holds is the newest of all accepted writes: a later time, then a deletion, then the lower value.
//! - A write of which an agent was never told that it is stored may come through or not when its database is lost. It does if a
//!   server that stores was told of it and lives. What it replaced there before both are lost is lost with it. One that only receives keeps it and cannot pass it on.
//! - PowerDNS writes with its own clock and does not look at what it replaces. Where that was *newer*, the versions
//!   between are gone from this database without a trace: they hold only if some other database or object still has
//!   them. All servers that store agree on the outcome all the same. A receive-only server that has seen such a newer
//!   version keeps it, since it cannot tell the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::support::Version;

/// DBI and key.
pub(crate) type Key = (String, Vec<u8>);
pub(crate) type Entries = BTreeMap<Key, Version>;

/// A version in the order of who wins.
type Rank = (u64, bool, Reverse<Vec<u8>>);

fn rank((time, deleted, value): &Version) -> Rank {
    (*time, *deleted, Reverse(value.clone()))
}

fn version((time, deleted, Reverse(value)): &Rank) -> Version {
    (*time, *deleted, value.clone())
}

/// What happened to a key since all databases were last seen equal.
#[derive(Default, Clone)]
struct History {
    written: BTreeSet<Rank>,
    stored: BTreeSet<Rank>,
    /// By server, what its PowerDNS wrote last.
    last: BTreeMap<usize, Rank>,
    /// PowerDNS replaced the second of these by the first, which is older.
    set_back: Vec<(Rank, Rank)>,
}

impl History {
    /// What has to be there, or something newer.
    fn accepted(&self) -> Option<&Rank> {
        let kept = |rank: &&Rank| {
            !self
                .set_back
                .iter()
                .any(|(low, high)| low < *rank && *rank <= high)
        };
        self.stored.iter().filter(kept).chain(self.last.values()).max()
    }

    /// True if only one outcome is allowed.
    fn is_certain(&self) -> bool {
        self.set_back.is_empty() && self.written.last() <= self.accepted()
    }
}

/// One database, whatever the number of servers that have it.
#[derive(Default)]
pub(crate) struct Model(BTreeMap<Key, History>);

impl Model {
    /// PowerDNS of a server writes a version in the place of another one.
    pub(crate) fn write(&mut self, server: usize, key: Key, new: &Version, replaced: Option<&Version>) {
        let history = self.0.entry(key).or_default();
        let new = rank(new);
        if let Some(old) = replaced.map(rank).filter(|old| *old > new) {
            history.set_back.push((new.clone(), old));
        }
        history.written.insert(new.clone());
        history.last.insert(server, new);
    }

    /// What PowerDNS of a server wrote last to each key.
    pub(crate) fn written_by(&self, server: usize) -> Entries {
        let last = |history: &History| history.last.get(&server).map(version);
        self.0
            .iter()
            .filter_map(|(key, history)| Some((key.clone(), last(history)?)))
            .collect()
    }

    /// An agent reported that these are stored.
    pub(crate) fn stored(&mut self, entries: &Entries) {
        for (key, version) in entries {
            let history = self.0.entry(key.clone()).or_default();
            history.stored.insert(rank(version));
        }
    }

    /// The database of a server is lost.
    pub(crate) fn lose(&mut self, server: usize) {
        for history in self.0.values_mut() {
            history.last.remove(&server);
        }
    }

    /// A database is lost in which a change that was heard of, and that nobody stored, may have replaced accepted ones: these
    /// did not need to be stored any more.
    pub(crate) fn lose_heard(&mut self, entries: &Entries) {
        for (key, version) in entries {
            let history = self.0.entry(key.clone()).or_default();
            let rank = rank(version);
            if !history.stored.contains(&rank) {
                history.set_back.push(((0, false, Reverse(Vec::new())), rank));
            }
        }
    }

    /// Without the keys of which more than one outcome is allowed.
    pub(crate) fn certain(&self, mut entries: Entries) -> Entries {
        entries.retain(|key, _| self.0.get(key).is_none_or(History::is_certain));
        entries
    }

    /// Without the keys of which a newer version was replaced by an older one.
    pub(crate) fn never_set_back(&self, mut entries: Entries) -> Entries {
        entries.retain(|key, _| self.0.get(key).is_none_or(|history| history.set_back.is_empty()));
        entries
    }

    /// Compares the common content of all databases with what must be in them. Marks older than `forgotten` may be
    /// missing.
    pub(crate) fn check(&self, entries: &Entries, forgotten: u64) -> Result<(), TestCaseError> {
        for key in entries.keys() {
            prop_assert!(self.0.contains_key(key), "nobody wrote {key:?}");
        }
        for (key, history) in &self.0 {
            let found = entries.get(key).map(rank);
            let accepted = history.accepted().cloned();
            let is_allowed = found == accepted
                || found > accepted
                    && found
                        .as_ref()
                        .is_some_and(|found| history.written.contains(found))
                || found.is_none()
                    && accepted
                        .as_ref()
                        .is_some_and(|(time, deleted, _)| *deleted && *time < forgotten);
            prop_assert!(
                is_allowed,
                "{key:?} is {found:?} and must be {accepted:?} or newer; written: {:?}, set back: {:?}",
                history.written,
                history.set_back
            );
        }
        Ok(())
    }

    /// All servers that store have `entries`, and so has the bucket: a new beginning. Those that only receive have `read`. Newer versions that were not certain to be
    /// kept may still be somewhere.
    pub(crate) fn agree(&mut self, entries: &Entries, read: &Entries) {
        self.0.retain(|key, history| {
            let found = entries.get(key).map(rank);
            history.written.retain(|rank| found.as_ref() <= Some(rank));
            let is_known = found.is_some() || read.contains_key(key) || !history.is_certain();
            history.stored = found.into_iter().collect();
            history.last.clear();
            history.set_back.clear();
            is_known
        });
    }
}
