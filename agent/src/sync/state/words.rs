//! What a server says of a database, and what it knows by what another one says.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::State;
use crate::sync::known::heard::HeardState;
use crate::sync::known::word::Word;

impl State {
    /// What the replica of `own` says; whether it is empty only the database knows.
    pub(in crate::sync) fn says(&self, own: &str) -> Word {
        let mut have = self.known.have.clone();
        let stored = have.remove(own).unwrap_or(0);
        let told = self.log.stored().time.max(self.log.told().time);
        let beyond = self.heard.states().iter().filter_map(|(instance, told)| {
            let known = have.get(instance).copied().unwrap_or(0);
            let beyond: BTreeSet<_> = told
                .range((Bound::Excluded(known), Bound::Unbounded))
                .map(|(time, _)| *time)
                .collect();
            (instance != own && !beyond.is_empty()).then(|| (instance.clone(), beyond))
        });
        Word {
            beyond: beyond.collect(),
            have,
            own: told.max(stored).max(self.given_back),
            ..Word::default()
        }
    }

    /// All that a peer has is here, at least what it says.
    pub(in crate::sync) fn took_over(&mut self, own: &str, peer: &str, word: &Word) {
        let have = word
            .have
            .iter()
            .map(|(instance, time)| (instance.as_str(), *time));
        for (instance, time) in have.chain([(peer, word.own)]) {
            if instance == own {
                // No later state may have the name of one that others know. The own objects in the store are looked at all the same.
                self.given_back = self.given_back.max(time);
                self.log.own_is_known(time);
            } else if time > self.known.have(instance) {
                self.known.reached(instance, time);
                // Perhaps only peers know of it.
                self.heard.hear(instance, time, HeardState::default());
            }
        }
        for (instance, times) in &word.beyond {
            for time in times {
                if instance == own {
                    self.given_back = self.given_back.max(*time);
                    self.log.own_is_known(*time);
                } else {
                    self.heard.hear(instance, *time, HeardState::default());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::DeltaName;
    use crate::sync::known::heard::HeardState;
    use crate::sync::known::word::FARTHEST;
    use crate::sync::known::word::samples::word;

    #[test]
    fn a_replica_tells_of_all_that_is_merged_and_of_what_it_told() {
        let mut state = State::default();
        state.known.reached("a", 5);
        state.known.reached("b", 10);
        state.heard.hear("b", 10, HeardState::default());
        state.heard.hear("b", 12, HeardState::default());
        state
            .known
            .merged_delta(&DeltaName::new("main", "b", 11, 12).unwrap());
        assert_eq!(state.says("a"), word(5, &[("b", 10)], &[("b", 12)]));
        state.log.go_on_from((1, 9), true);
        assert_eq!(state.says("a").own, 9);
        state.given_back = 11;
        assert_eq!(state.says("a").own, 11);
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
            state.took_over("a", "b", &believed);
            assert!(!state.says("a").lacks("a", &believed, "b"));
            assert_eq!(state.known.have("c"), now);
            assert_eq!(state.known.have("d"), 0);
            assert!(state.known.have("b") <= now);
        }
        let of_ours = word(now, &[("a", u64::MAX)], &[("a", u64::MAX)]).believed(now);
        let mut state = State::default();
        state.took_over("a", "b", &of_ours);
        assert_eq!(state.log.next_time(now), now);
    }

    #[test]
    fn only_what_is_said_is_cut() {
        let mut mine = State::default();
        for time in 1000..1100 {
            mine.heard.hear("c", time, HeardState::default());
        }
        let mut theirs = State::default();
        for time in 100..200 {
            theirs.heard.hear("c", time, HeardState::default());
        }
        let said = theirs.says("b").said();
        assert!(mine.says("a").lacks("a", &said, "b"));
        mine.took_over("a", "b", &said);
        assert!(!mine.says("a").lacks("a", &said, "b"));
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
            state.took_over("a", "b", &theirs);
            prop_assert!(!state.says("a").lacks("a", &theirs, "b"));
            // Nothing that was known is forgotten.
            for (instance, time) in mine {
                prop_assert!(state.known.have(&instance) >= time);
            }
        }
    }
}
