//! What a server has, in a form that another one can compare with what it has itself: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::state::State;

/// States beyond a gap that are told of each instance; older ones matter to nobody who lacks these.
const MOST_BEYOND: usize = 64;
/// How far ahead of the own clock a state may be that is believed, ns: with a clock so far off nobody can store anything. One that
/// is farther ahead would hide all that is written until then.
const FARTHEST: u64 = 900_000_000_000;

/// Whether a state may have this time by a clock that says `now`, both in ns since the epoch.
pub(super) fn is_believable(time: u64, now: u64) -> bool {
    time <= now.saturating_add(FARTHEST)
}

/// What a server says of one of its databases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// By other instances, the state up to which all that it wrote is here, ns since the epoch.
    pub have: BTreeMap<String, u64>,
    /// By other instances, states that are here without all that came before them.
    #[serde(default)]
    pub beyond: BTreeMap<String, BTreeSet<u64>>,
    /// The newest own state that has a time, ns since the epoch; 0: none has.
    pub own: u64,
    /// There is nothing in the database.
    pub empty: bool,
    /// It said more than can be believed.
    #[serde(skip)]
    pub(super) doubtful: bool,
}

impl Word {
    /// What the replica of `own` says; whether it is empty only the database knows.
    pub(super) fn of(state: &State, own: &str) -> Self {
        let mut have = state.known.have.clone();
        let stored = have.remove(own).unwrap_or(0);
        let told = state.stored.time.max(state.told.time);
        let beyond = state.heard.states().iter().filter_map(|(instance, told)| {
            let known = have.get(instance).copied().unwrap_or(0);
            let beyond: BTreeSet<_> = told
                .range((Bound::Excluded(known), Bound::Unbounded))
                .map(|(time, _)| *time)
                .collect();
            (instance != own && !beyond.is_empty()).then(|| (instance.clone(), beyond))
        });
        Self {
            beyond: beyond.collect(),
            have,
            own: told.max(stored).max(state.given_back),
            ..Self::default()
        }
    }

    /// What of it can be believed by a clock that says `now`, ns since the epoch.
    pub(super) fn believed(mut self, now: u64) -> Self {
        let sound = |time: &u64| is_believable(*time, now);
        let mut doubtful = !sound(&self.own);
        self.own = Some(self.own).filter(sound).unwrap_or(0);
        self.have.retain(|_, time| {
            doubtful |= !sound(time);
            sound(time)
        });
        for times in self.beyond.values_mut() {
            doubtful |= times.last().is_some_and(|last| !sound(last));
            times.retain(sound);
        }
        Self { doubtful, ..self }
    }

    /// What another server is told of it.
    pub(super) fn said(mut self) -> Self {
        for times in self.beyond.values_mut() {
            while times.len() > MOST_BEYOND {
                times.pop_first();
            }
        }
        self
    }

    fn up_to(&self, own: &str, instance: &str) -> u64 {
        if instance == own {
            self.own
        } else {
            self.have.get(instance).copied().unwrap_or(0)
        }
    }

    /// Whether the server `other` has a state, by what it says, that the server `own` with this word has not.
    pub fn lacks(&self, own: &str, theirs: &Self, other: &str) -> bool {
        let states = theirs
            .have
            .iter()
            .map(|(instance, time)| (instance.as_str(), *time));
        let mut states = states.chain([(other, theirs.own)]);
        let mut beyond = theirs.beyond.iter().flat_map(|(instance, times)| {
            let times = times.iter();
            times.map(move |time| (instance.as_str(), *time))
        });
        let is_here = |instance: &str, time: u64| {
            let told = self.beyond.get(instance);
            time <= self.up_to(own, instance) || told.is_some_and(|told| told.contains(&time))
        };
        states.any(|(instance, time)| time > self.up_to(own, instance))
            || beyond.any(|(instance, time)| !is_here(instance, time))
    }

    /// It has something that no state tells of: only a look at all of it shows what.
    pub fn is_untold(&self) -> bool {
        !self.empty && (self.own == 0 || self.doubtful)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::DeltaName;
    use crate::sync::unstored::HeardState;

    fn word(own: u64, have: &[(&str, u64)], beyond: &[(&str, u64)]) -> Word {
        let mut told: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for (instance, time) in beyond {
            told.entry((*instance).to_owned()).or_default().insert(*time);
        }
        Word {
            have: have
                .iter()
                .map(|(name, time)| ((*name).to_owned(), *time))
                .collect(),
            beyond: told,
            own,
            ..Word::default()
        }
    }

    #[test]
    fn who_has_less_of_anybody_lacks_something() {
        let mine = word(10, &[("b", 20), ("c", 30)], &[]);
        let lacks = |theirs: &Word| mine.lacks("a", theirs, "b");
        assert!(!lacks(&word(20, &[("a", 10), ("c", 30)], &[])));
        assert!(!lacks(&word(15, &[], &[])), "who has more lacks nothing");
        assert!(lacks(&word(21, &[], &[])), "the other one has written since");
        assert!(lacks(&word(20, &[("c", 31)], &[])));
        assert!(
            lacks(&word(20, &[("d", 1)], &[])),
            "an instance that is not known here"
        );
        assert!(
            lacks(&word(20, &[("a", 11)], &[])),
            "the own database is older than it was"
        );
    }

    #[test]
    fn what_was_told_beyond_a_gap_counts_on_its_own() {
        let mine = word(10, &[("b", 20), ("c", 30)], &[("c", 35)]);
        let lacks = |theirs: &Word| mine.lacks("a", theirs, "b");
        assert!(!lacks(&word(20, &[("c", 30)], &[("c", 35)])));
        assert!(!lacks(&word(20, &[("c", 25)], &[("c", 30)])));
        assert!(lacks(&word(20, &[("c", 30)], &[("c", 36)])));
        assert!(lacks(&word(20, &[("c", 35)], &[])), "the gap is filled there");
        assert!(lacks(&word(20, &[], &[("a", 12)])), "of the own writes, too");
    }

    #[test]
    fn a_replica_tells_of_all_that_is_merged_and_of_what_it_told() {
        let mut state = State::default();
        state.known.reached("a", 5);
        state.known.reached("b", 10);
        state.hear("b", 10, HeardState::default());
        state.hear("b", 12, HeardState::default());
        state
            .known
            .merged_delta(&DeltaName::new("main", "b", 11, 12).unwrap());
        assert_eq!(Word::of(&state, "a"), word(5, &[("b", 10)], &[("b", 12)]));
        state.told.time = 9;
        assert_eq!(Word::of(&state, "a").own, 9);
        state.given_back = 11;
        assert_eq!(Word::of(&state, "a").own, 11);
    }

    #[test]
    fn times_that_no_clock_can_have_are_not_believed_and_only_a_look_at_all_shows_what_is_there() {
        let now = 1_795_510_850_000_000_000;
        let ahead = now + FARTHEST;
        let theirs = word(ahead, &[("c", now), ("d", ahead)], &[("e", ahead)]);
        assert_eq!(theirs.clone().believed(now), theirs);
        let own = word(u64::MAX, &[("c", now)], &[]);
        let of_others = word(now, &[("c", now), ("d", u64::MAX)], &[]);
        let beyond = word(now, &[("c", now)], &[("e", now), ("e", ahead + 1)]);
        for theirs in [own, of_others, beyond] {
            let believed = theirs.believed(now);
            assert!(believed.is_untold());
            let mut state = State::default();
            state.take_over("a", "b", &believed);
            assert!(!Word::of(&state, "a").lacks("a", &believed, "b"));
            assert_eq!(state.known.have("c"), now);
            assert_eq!(state.known.have("d"), 0);
            assert!(state.known.have("b") <= now);
        }
        let of_ours = word(now, &[("a", u64::MAX)], &[("a", u64::MAX)]).believed(now);
        let mut state = State::default();
        state.take_over("a", "b", &of_ours);
        assert_eq!(state.next_time(now), now);
        // Nor can one that is there already do harm.
        state.last_own_time = u64::MAX;
        state.newest_seen = u64::MAX;
        assert_eq!(state.next_time(now), u64::MAX);
    }

    #[test]
    fn only_what_is_said_is_cut() {
        let mut mine = State::default();
        for time in 1000..1100 {
            mine.hear("c", time, HeardState::default());
        }
        let mut theirs = State::default();
        for time in 100..200 {
            theirs.hear("c", time, HeardState::default());
        }
        let said = Word::of(&theirs, "b").said();
        assert!(Word::of(&mine, "a").lacks("a", &said, "b"));
        mine.take_over("a", "b", &said);
        assert!(!Word::of(&mine, "a").lacks("a", &said, "b"));
    }

    proptest! {
        #[test]
        fn who_takes_over_what_another_has_lacks_nothing_of_it(
            mine in proptest::collection::btree_map("[a-d]", 0..5_u64, 0..4),
            theirs in proptest::collection::btree_map("[a-d]", 0..5_u64, 0..4),
            beyond in proptest::collection::btree_map("[a-d]", proptest::collection::btree_set(1..9_u64, 0..4), 0..4),
        ) {
            let mut state = State::default();
            for (instance, time) in &mine {
                state.known.reached(instance, *time);
            }
            let mut theirs = Word { own: theirs.get("b").copied().unwrap_or(0), have: theirs, beyond, ..Word::default() };
            theirs.have.remove("b");
            theirs.beyond.remove("b");
            state.take_over("a", "b", &theirs);
            prop_assert!(!Word::of(&state, "a").lacks("a", &theirs, "b"));
            // Nothing that was known is forgotten.
            for (instance, time) in mine {
                prop_assert!(state.known.have(&instance) >= time);
            }
        }
    }
}
