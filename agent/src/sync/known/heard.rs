//! What peers told of and may not be in the store: pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Time that the store may lack what a peer told of before somebody else stores it, ns: the peer may be storing it now.
pub(in crate::sync) const PATIENCE: u64 = 60_000_000_000;
/// Time that each instance gives the one before it, by name, to store something that only one needs to store, ns: longer than between
/// two looks.
pub(in crate::sync) const TURN: u64 = 45_000_000_000;
/// Turns that are waited for at most.
pub(in crate::sync) const MOST_TURNS: u64 = 8;
/// States of an instance that are kept in mind until they are seen in the store.
pub(in crate::sync) const MOST_HEARD: usize = 10_000;
/// States that one delta says it adopts, of all instances: its Meta is limited.
const MOST_ADOPTED: usize = 20_000;

/// What is known of a state that a peer told of.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sync) struct HeardState {
    /// The state before it, ns since the epoch; 0: not known.
    pub(in crate::sync) since: u64,
    /// The transactions here that wrote its changes; `None`: not known.
    pub(in crate::sync) writes: Option<BTreeSet<u64>>,
}

/// By instance and state, in ns since the epoch.
pub(in crate::sync) type States = BTreeMap<String, BTreeMap<u64, HeardState>>;

/// What was heard and may not be in the store.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::sync) struct Heard {
    states: States,
    /// By instance: the first of them that the store lacks, and since when that is known, ns since the epoch.
    unstored: BTreeMap<String, (u64, u64)>,
    /// Those that this instance stores.
    adopted: BTreeMap<String, BTreeSet<u64>>,
}

/// Changes that this instance stores though another one made them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::sync) struct Adopted {
    pub(in crate::sync) states: BTreeMap<String, BTreeSet<u64>>,
    /// The transactions here that wrote them.
    pub(in crate::sync) writes: BTreeSet<u64>,
}

/// What a look for orphans found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::sync) struct Orphans {
    /// Instances whose changes this one stores from now on with a delta.
    pub(in crate::sync) adopted: Vec<String>,
    /// The same of those whose changes are not known one by one: a snapshot has them.
    pub(in crate::sync) by_snapshot: Vec<String>,
    /// Of instances that are lost: the state before the first that nobody stored.
    pub(in crate::sync) lost: BTreeMap<String, u64>,
}

impl Heard {
    pub(in crate::sync) fn new(states: States) -> Self {
        Self {
            states,
            ..Self::default()
        }
    }

    /// A peer told of a state of an instance.
    pub(in crate::sync) fn hear(&mut self, instance: &str, time: u64, told: HeardState) {
        let all = self.states.entry(instance.to_owned()).or_default();
        match all.get_mut(&time) {
            None => drop(all.insert(time, told)),
            Some(known) => {
                known.since = known.since.min(told.since);
                // Where it is not known what wrote it, what it brings now may have been here by then.
                if let Some(known) = &mut known.writes {
                    known.extend(told.writes.unwrap_or_default());
                }
            }
        }
        while all.len() > MOST_HEARD
            && let Some((_, oldest)) = all.pop_first()
            && let Some(mut next) = all.first_entry()
        {
            let next = next.get_mut();
            next.since = next.since.min(oldest.since);
            // What it changed is told of with the next one.
            next.writes = next.writes.take().zip(oldest.writes).map(|(mut writes, oldest)| {
                writes.extend(oldest);
                writes
            });
        }
    }

    /// These transactions wrote some entries once more, as they were.
    pub(in crate::sync) fn were_put_back(&mut self, txn_ids: &[u64]) {
        let told = self.states.values_mut().flat_map(BTreeMap::values_mut);
        for writes in told.filter_map(|told| told.writes.as_mut()) {
            writes.extend(txn_ids);
        }
    }

    /// It is not known any more what they changed.
    pub(in crate::sync) fn writes_are_unknown(&mut self) {
        for told in self.states.values_mut().flat_map(BTreeMap::values_mut) {
            told.writes = None;
        }
    }

    /// By instance and state.
    pub(in crate::sync) fn states(&self) -> &States {
        &self.states
    }

    pub(in crate::sync) fn forget(&mut self, instance: &str) {
        self.states.remove(instance);
        self.unstored.remove(instance);
        self.adopted.remove(instance);
    }

    pub(in crate::sync) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Somebody has stored these states. Returns, by instance, the state before the first of them that was known.
    pub(in crate::sync) fn are_stored(
        &mut self,
        states: &BTreeMap<String, BTreeSet<u64>>,
    ) -> BTreeMap<String, u64> {
        let mut before = BTreeMap::new();
        for (instance, states) in states {
            for all in [self.states.get_mut(instance)].into_iter().flatten() {
                let first = all.iter().find(|(time, _)| states.contains(time));
                before.extend(first.map(|(_, told)| (instance.clone(), told.since)));
                all.retain(|time, _| !states.contains(time));
            }
            for adopted in [self.adopted.get_mut(instance)].into_iter().flatten() {
                adopted.retain(|time| !states.contains(time));
            }
        }
        self.states.retain(|_, states| !states.is_empty());
        self.adopted.retain(|_, states| !states.is_empty());
        before
    }

    /// What this instance is to store for others.
    pub(in crate::sync) fn adopted(&self) -> Adopted {
        let mut all = Adopted::default();
        let mut count = 0;
        for (instance, states) in &self.adopted {
            let told = self.states.get(instance);
            for time in states.iter().take(MOST_ADOPTED.saturating_sub(count)) {
                let writes = told.and_then(|told| told.get(time)?.writes.as_ref());
                let Some(writes) = writes else { continue };
                count += 1;
                all.writes.extend(writes);
                all.states.entry(instance.clone()).or_default().insert(*time);
            }
        }
        all
    }

    pub(in crate::sync) fn has_adopted(&self) -> bool {
        !self.adopted.is_empty()
    }

    /// Looks for states that nobody stored. `stored`: what the store has of an instance; `place`: how many instances have their turn to
    /// store them before this one, `None`: this one stores nothing; `has_stored`: a delta can go on from what this one has stored.
    pub(in crate::sync) fn adopt(
        &mut self,
        now: u64,
        stored: impl Fn(&str) -> Stored,
        place: impl Fn(&str) -> Option<u64>,
        in_contact: impl Fn(&str) -> bool,
        has_stored: bool,
    ) -> Orphans {
        let (mut orphans, mut unstored) = (Orphans::default(), BTreeMap::new());
        for (instance, mut told) in std::mem::take(&mut self.states) {
            let stored = stored(&instance);
            told.retain(|time, _| !stored.has(*time));
            let Some((first, since_first)) = told.first_key_value().map(|(first, told)| (*first, told.since))
            else {
                self.adopted.remove(&instance);
                continue;
            };
            let (state, since) = match self.unstored.get(&instance) {
                Some((state, since)) if told.contains_key(state) => (*state, *since),
                _ => (first, now),
            };
            let turn = place(&instance).map(|place| TURN * place.min(MOST_TURNS));
            if turn.is_none_or(|turn| now.abs_diff(since) <= PATIENCE + turn) {
                unstored.insert(instance.clone(), (state, since));
                self.states.insert(instance, told);
                continue;
            }
            if !in_contact(&instance) {
                orphans.lost.insert(instance.clone(), since_first);
            }
            if has_stored && told.values().all(|told| told.writes.is_some()) {
                let all = told.keys().copied().collect();
                let is_new = self.adopted.insert(instance.clone(), all).is_none();
                self.states.insert(instance.clone(), told);
                orphans.adopted.extend(is_new.then_some(instance));
            } else {
                self.adopted.remove(&instance);
                orphans.by_snapshot.push(instance);
            }
        }
        self.unstored = unstored;
        orphans
    }
}

/// Which states of an instance are in the store.
#[derive(Default)]
pub(in crate::sync) struct Stored {
    /// By the time of each delta, the earliest state from which it or a later one starts.
    pub(in crate::sync) since: BTreeMap<u64, u64>,
    /// The newest state at which the instance began anew.
    pub(in crate::sync) began: u64,
    pub(in crate::sync) snapshot: u64,
    /// The state up to which a snapshot of another instance has all.
    pub(in crate::sync) elsewhere: u64,
}

impl Stored {
    pub(in crate::sync) fn has(&self, time: u64) -> bool {
        let next = self.since.range(time..).next();
        next.is_some_and(|(_, since)| *since < time)
            || self.began < time && time <= self.snapshot
            || time <= self.elsewhere
    }
}
