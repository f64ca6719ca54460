//! What a server has, in a form that another one can compare with what it has itself: pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// States beyond a gap that are told of each instance; older ones matter to nobody who lacks these.
const MOST_BEYOND: usize = 64;
/// How far ahead of the own clock a state may be that is believed, ns: with a clock so far off nobody can store anything. One that
/// is farther ahead would hide all that is written until then.
pub(in crate::sync) const FARTHEST: u64 = 900_000_000_000;

/// Whether a state may have this time by a clock that says `now`, both in ns since the epoch.
pub(in crate::sync) fn is_believable(time: u64, now: u64) -> bool {
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
    pub(in crate::sync) doubtful: bool,
}

impl Word {
    /// What of it can be believed by a clock that says `now`, ns since the epoch.
    pub(in crate::sync) fn believed(mut self, now: u64) -> Self {
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
    pub(in crate::sync) fn said(mut self) -> Self {
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
pub(in crate::sync) mod samples {
    use super::*;

    pub(in crate::sync) fn word(own: u64, have: &[(&str, u64)], beyond: &[(&str, u64)]) -> Word {
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
}

#[cfg(test)]
mod tests {
    use super::samples::word;

    #[test]
    fn who_has_less_of_anybody_lacks_something() {
        let mine = word(10, &[("b", 20), ("c", 30)], &[]);
        let lacks = |theirs: &super::Word| mine.lacks("a", theirs, "b");
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
        let lacks = |theirs: &super::Word| mine.lacks("a", theirs, "b");
        assert!(!lacks(&word(20, &[("c", 30)], &[("c", 35)])));
        assert!(!lacks(&word(20, &[("c", 25)], &[("c", 30)])));
        assert!(lacks(&word(20, &[("c", 30)], &[("c", 36)])));
        assert!(lacks(&word(20, &[("c", 35)], &[])), "the gap is filled there");
        assert!(lacks(&word(20, &[], &[("a", 12)])), "of the own writes, too");
    }
}
