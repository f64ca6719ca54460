//! What peers told of and nobody stored: the peer is lost, or its store. Those who have it store it: pure decisions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::snapshot::{DeltaName, SnapshotName};

/// Time that the store may lack what a peer told of before somebody else stores it, ns: the peer may be storing it now.
pub(super) const PATIENCE: u64 = 60_000_000_000;
/// Time that each instance gives the one before it, by name, to store something that only one needs to store, ns.
pub(super) const TURN: u64 = 20_000_000_000;
/// Turns that are waited for at most.
const MOST_TURNS: u64 = 15;
/// States of an instance that are kept in mind until they are seen in the store.
const MOST_HEARD: usize = 10_000;
/// States that one delta says it adopts, of all instances: its Meta is limited.
const MOST_ADOPTED: usize = 20_000;

/// What is known of a state that a peer told of.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The state before it, ns since the epoch; 0: not known.
    pub(super) since: u64,
    /// The transactions here that wrote its changes; `None`: not known.
    pub(super) writes: Option<BTreeSet<u64>>,
}

/// By instance and state, in ns since the epoch.
pub(super) type States = BTreeMap<String, BTreeMap<u64, Told>>;

/// What was heard and may not be in the store.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    states: States,
    /// By instance: the first of them that the store lacks, and since when that is known, ns since the epoch.
    unstored: BTreeMap<String, (u64, u64)>,
    /// Those that this instance stores.
    adopted: BTreeMap<String, BTreeSet<u64>>,
}

/// Changes that this instance stores though another one made them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Adopted {
    pub(super) states: BTreeMap<String, BTreeSet<u64>>,
    /// The transactions here that wrote them.
    pub(super) writes: BTreeSet<u64>,
}

/// What a look for orphans found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orphans {
    /// Instances whose changes this one stores from now on with a delta.
    pub(super) adopted: Vec<String>,
    /// The same of those whose changes are not known one by one: a snapshot has them.
    pub(super) by_snapshot: Vec<String>,
}

impl Heard {
    pub(super) fn new(states: States) -> Self {
        Self {
            states,
            ..Self::default()
        }
    }

    /// A peer told of a state of an instance.
    fn hear(&mut self, instance: &str, time: u64, told: Told) {
        let all = self.states.entry(instance.to_owned()).or_default();
        match all.get_mut(&time) {
            None => drop(all.insert(time, told)),
            Some(known) => {
                known.since = known.since.min(told.since);
                // Where it is not known what wrote it, what it brings now may have been here by then.
                known.writes = known.writes.take().zip(told.writes).map(|(mut known, writes)| {
                    known.extend(writes);
                    known
                });
            }
        }
        while all.len() > MOST_HEARD
            && let Some((_, oldest)) = all.pop_first()
            && let Some(mut next) = all.first_entry()
        {
            next.get_mut().since = next.get().since.min(oldest.since);
        }
    }

    /// By instance and state.
    pub(super) fn states(&self) -> &States {
        &self.states
    }

    pub(super) fn forget(&mut self, instance: &str) {
        self.states.remove(instance);
    }

    pub(super) fn clear(&mut self) {
        self.states.clear();
    }

    /// Somebody has stored these states.
    pub(super) fn are_stored(&mut self, states: &BTreeMap<String, BTreeSet<u64>>) {
        for (instance, states) in states {
            for all in [self.states.get_mut(instance)].into_iter().flatten() {
                all.retain(|time, _| !states.contains(time));
            }
            for adopted in [self.adopted.get_mut(instance)].into_iter().flatten() {
                adopted.retain(|time| !states.contains(time));
            }
        }
        self.states.retain(|_, states| !states.is_empty());
        self.adopted.retain(|_, states| !states.is_empty());
    }

    /// What this instance is to store for others.
    pub(super) fn adopted(&self) -> Adopted {
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

    pub(super) fn has_adopted(&self) -> bool {
        !self.adopted.is_empty()
    }
}

impl State {
    /// A peer told of a state.
    pub(super) fn hear(&mut self, instance: &str, time: u64, told: Told) {
        self.heard.hear(instance, time, told);
    }

    /// Looks for states that a peer told of and that nobody stored. `place`: how many instances have their turn to store them before
    /// this one; `None`: this one stores nothing.
    ///
    /// What a lost instance stores from now on is read from the state on that was known before: without its database, or with a clock
    /// set back, it may give times that were told to other states. One that is `in_contact` goes on as it is.
    pub(super) fn adopt(
        &mut self,
        now: u64,
        place: impl Fn(&str) -> Option<u64>,
        in_contact: impl Fn(&str) -> bool,
    ) -> Orphans {
        let (mut orphans, mut unstored) = (Orphans::default(), BTreeMap::new());
        for (instance, mut told) in std::mem::take(&mut self.heard.states) {
            let stored = self.stored_of(&instance);
            told.retain(|time, _| !stored.has(*time));
            let Some((first, since_first)) = told.first_key_value().map(|(first, told)| (*first, told.since))
            else {
                self.heard.adopted.remove(&instance);
                continue;
            };
            let (state, since) = match self.heard.unstored.get(&instance) {
                Some((state, since)) if told.contains_key(state) => (*state, *since),
                _ => (first, now),
            };
            let turn = place(&instance).map(|place| TURN * place.min(MOST_TURNS));
            if turn.is_none_or(|turn| now.saturating_sub(since) <= PATIENCE + turn) {
                unstored.insert(instance.clone(), (state, since));
                self.heard.states.insert(instance, told);
                continue;
            }
            if !in_contact(&instance) {
                self.known.lower(&instance, since_first);
            }
            if told.values().all(|told| told.writes.is_some()) {
                let all = told.keys().copied().collect();
                let is_new = self.heard.adopted.insert(instance.clone(), all).is_none();
                self.heard.states.insert(instance.clone(), told);
                orphans.adopted.extend(is_new.then_some(instance));
            } else {
                self.heard.adopted.remove(&instance);
                orphans.by_snapshot.push(instance);
            }
        }
        self.heard.unstored = unstored;
        if !orphans.by_snapshot.is_empty() {
            self.mistrust_the_store();
        }
        orphans
    }

    /// The states of an instance that the store has. A later snapshot has them, too, unless the instance began anew before that: then
    /// it may have lost them.
    fn stored_of(&self, instance: &str) -> Stored {
        let sound = |name: &DeltaName| !self.known.corrupt_deltas.contains_key(name);
        let mut stored = Stored::default();
        let mut since = u64::MAX;
        for (name, _) in self.deltas.of(instance).rev() {
            if name.since() == name.time() {
                stored.began = stored.began.max(name.time());
            }
            if sound(name) {
                since = since.min(name.since());
                stored.since.insert(name.time(), since);
            }
        }
        let snapshots = self.listing.get(instance).into_iter().flatten();
        let mut snapshots = snapshots.filter(|name| !self.known.corrupt.contains(*name)).rev();
        stored.snapshot = snapshots.next().map_or(0, SnapshotName::timestamp);
        stored.elsewhere = self.vectors.of(instance, &self.listing);
        stored
    }
}

/// Which states of an instance are in the store.
#[derive(Default)]
struct Stored {
    /// By the time of each delta, the earliest state from which it or a later one starts.
    since: BTreeMap<u64, u64>,
    /// The newest state at which the instance began anew.
    began: u64,
    snapshot: u64,
    /// The state up to which a snapshot of another instance has all.
    elsewhere: u64,
}

impl Stored {
    fn has(&self, time: u64) -> bool {
        let next = self.since.range(time..).next();
        next.is_some_and(|(_, since)| *since < time)
            || self.began < time && time <= self.snapshot
            || time <= self.elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Had, Vector};

    const SECOND: u64 = 1_000_000_000;

    /// An instance `a` that stored a snapshot, and told of a state after it.
    fn told(time: u64) -> State {
        let mut state = State::default();
        let name = SnapshotName::new("main", "a", 10 * SECOND).unwrap();
        state.listing.entry("a".into()).or_default().insert(name.clone());
        state.known.merged(&name);
        state.known.reached("a", time * SECOND);
        hear(&mut state, (10, time), &[5]);
        state
    }

    fn hear(state: &mut State, (since, time): (u64, u64), writes: &[u64]) {
        let told = Told {
            since: since * SECOND,
            writes: Some(writes.iter().copied().collect()),
        };
        state.hear("a", time * SECOND, told);
    }

    fn delta(since: u64, time: u64) -> DeltaName {
        DeltaName::new("main", "a", since * SECOND, time * SECOND).unwrap()
    }

    /// A look by the first in turn, of whom `a` is lost.
    fn look(state: &mut State, now: u64) -> Vec<String> {
        let orphans = state.adopt(now, |_| Some(0), |_| false);
        assert_eq!(orphans.by_snapshot, [""; 0]);
        orphans.adopted
    }

    #[test]
    fn what_a_lost_peer_told_of_is_stored_once_by_those_who_know_it_with_a_delta() {
        let mut state = told(11);
        hear(&mut state, (11, 12), &[7, 8]);
        assert!(look(&mut state, 20 * SECOND).is_empty());
        assert!(look(&mut state, 20 * SECOND + PATIENCE).is_empty());
        assert_eq!(state.heard.adopted(), Adopted::default());
        assert_eq!(look(&mut state, 21 * SECOND + PATIENCE), ["a"]);
        let adopted = state.heard.adopted();
        assert_eq!(adopted.writes, [5, 7, 8].into());
        assert_eq!(
            adopted.states,
            [("a".to_owned(), [11 * SECOND, 12 * SECOND].into())].into()
        );
        assert!(!state.snapshot_is_due("b", false, 0));
        // It may begin anew after the state that the store has.
        assert_eq!(state.known.have("a"), 10 * SECOND);
        // Until it is stored it stays so, and is told once.
        assert!(look(&mut state, 22 * SECOND + 2 * PATIENCE).is_empty());
        assert_eq!(state.heard.adopted(), adopted);
        state.heard.are_stored(&adopted.states);
        assert_eq!(
            state.heard,
            Heard {
                unstored: state.heard.unstored.clone(),
                ..Heard::default()
            }
        );
        assert!(look(&mut state, 23 * SECOND + 4 * PATIENCE).is_empty());
    }

    #[test]
    fn one_that_lives_and_cannot_store_goes_on_as_it_is() {
        let mut state = told(11);
        for time in [20 * SECOND, 21 * SECOND + PATIENCE] {
            state.adopt(time, |_| Some(0), |_| true);
        }
        assert!(state.heard.has_adopted());
        assert_eq!(state.known.have("a"), 11 * SECOND);
    }

    #[test]
    fn each_waits_for_those_before_it_and_who_stores_nothing_adopts_nothing() {
        let mut state = told(11);
        let start = 20 * SECOND;
        let mut adopts = |place, after| {
            let adopted = state.adopt(start + after, |_| place, |_| false);
            !adopted.adopted.is_empty()
        };
        assert!(!adopts(Some(2), 0));
        assert!(!adopts(None, 100 * PATIENCE));
        assert!(!adopts(Some(2), PATIENCE + 2 * TURN));
        assert!(adopts(Some(2), PATIENCE + 2 * TURN + 1));
    }

    #[test]
    fn what_another_one_has_stored_is_left_to_it() {
        let mut state = told(11);
        assert!(look(&mut state, 20 * SECOND).is_empty());
        state
            .heard
            .are_stored(&[("a".to_owned(), [11 * SECOND].into())].into());
        assert!(look(&mut state, 21 * SECOND + PATIENCE).is_empty());
        assert!(!state.heard.has_adopted());
        // The snapshot of another has all of it.
        let mut state = told(11);
        let name = SnapshotName::new("main", "c", 30 * SECOND).unwrap();
        let vector = Vector::from([(
            "a".to_owned(),
            Had {
                time: 11 * SECOND,
                schema: 5,
            },
        )]);
        state.listing.entry("c".into()).or_default().insert(name.clone());
        state.vectors.learn(&name, vector);
        assert!(look(&mut state, 20 * SECOND).is_empty());
        assert_eq!(state.heard, Heard::default());
    }

    #[test]
    fn what_the_peer_stored_itself_is_left_to_it() {
        let mut state = told(12);
        assert!(look(&mut state, 20 * SECOND).is_empty());
        // It stores a part, tells of more, and so on: it lives.
        state.deltas.insert(delta(10, 12), 1);
        hear(&mut state, (12, 13), &[9]);
        assert!(look(&mut state, 21 * SECOND + PATIENCE).is_empty());
        state.deltas.insert(delta(12, 13), 1);
        assert!(look(&mut state, 22 * SECOND + 2 * PATIENCE).is_empty());
        assert!(!state.heard.has_adopted());
    }

    #[test]
    fn a_state_is_stored_if_a_sound_delta_leads_over_it_or_a_later_snapshot_of_the_same_past() {
        let mut state = State::default();
        for (since, time) in [(10, 11), (11, 14), (20, 20), (20, 22)] {
            state.deltas.insert(delta(since, time), 1);
        }
        let torn = delta(11, 14);
        let has = |state: &State, time: u64| state.stored_of("a").has(time * SECOND);
        let of = |state: &State| (10..24).filter(|time| has(state, *time)).collect::<Vec<_>>();
        assert_eq!(of(&state), [11, 12, 13, 14, 21, 22]);
        state.known.corrupt_deltas.insert(torn, 1);
        assert_eq!(of(&state), [11, 21, 22]);
        let name = SnapshotName::new("main", "a", 20 * SECOND).unwrap();
        state.listing.entry("a".into()).or_default().insert(name);
        // It began anew with it, and may have lost what was before.
        assert_eq!(of(&state), [11, 21, 22]);
        let name = SnapshotName::new("main", "a", 23 * SECOND).unwrap();
        state.listing.entry("a".into()).or_default().insert(name);
        assert_eq!(of(&state), [11, 21, 22, 23]);
    }

    #[test]
    fn what_is_not_known_change_by_change_is_stored_with_a_snapshot() {
        let mut state = told(11);
        state.hear("a", 12 * SECOND, Told::default());
        state.adopt(20 * SECOND, |_| Some(0), |_| false);
        let orphans = state.adopt(21 * SECOND + PATIENCE, |_| Some(0), |_| false);
        assert_eq!(
            (orphans.adopted.len(), &orphans.by_snapshot[..]),
            (0, &["a".to_owned()][..])
        );
        assert!(state.snapshot_is_due("b", false, 0));
        assert_eq!(state.heard.adopted(), Adopted::default());
    }

    #[test]
    fn of_more_states_than_are_kept_in_mind_the_oldest_go_and_it_stays_known_what_came_before() {
        let mut state = State::default();
        for time in 1..=MOST_HEARD as u64 + 5 {
            hear(&mut state, (time - 1, time), &[time]);
        }
        let told = &state.heard.states()["a"];
        assert_eq!(told.len(), MOST_HEARD);
        assert_eq!(told.first_key_value().unwrap().1.since, 0);
    }

    #[test]
    fn a_state_that_is_told_again_keeps_what_is_known_of_it() {
        let mut state = told(11);
        hear(&mut state, (10, 11), &[]);
        hear(&mut state, (9, 11), &[6]);
        let known = &state.heard.states()["a"][&(11 * SECOND)];
        assert_eq!(known.writes, Some([5, 6].into()));
        assert_eq!(known.since, 9 * SECOND);
        state.hear("a", 11 * SECOND, Told::default());
        hear(&mut state, (10, 11), &[7]);
        assert_eq!(state.heard.states()["a"][&(11 * SECOND)].writes, None);
    }
}
