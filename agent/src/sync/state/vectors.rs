//! What own snapshots have of other instances, and what is taken from theirs ([`crate::sync::known::vectors`]).

use std::collections::BTreeSet;

use super::State;
use super::replica::Replica;
use crate::snapshot::{DeltaName, Had, SnapshotName, Vector, WITH_VECTORS};
use crate::sync::known::schema::Verdict;
use crate::sync::known::word::is_believable;

impl State {
    /// The store has something of an instance.
    pub(in crate::sync) fn is_listed(&self, instance: &str) -> bool {
        self.listing.contains_key(instance) || self.deltas.of(instance).next().is_some()
    }

    /// An agent lives that knows nothing of vectors, as far as is known.
    fn has_older(&self, own: &str, now: u64) -> bool {
        let mut living = self.living(own, now).into_iter();
        living.any(|instance| {
            let version = self.versions.get(instance).copied().unwrap_or(0);
            version < WITH_VECTORS && !self.lightning_stream.contains(instance)
        })
    }

    /// A delta says what the snapshot of its state has of instances whose own objects go. Where some of it is missing here, that
    /// snapshot is to be read.
    pub(in crate::sync) fn want_what_goes(&mut self, name: &DeltaName, vector: &Vector) {
        let lacks = |(instance, had): (&String, &Had)| {
            self.known.have(instance).max(self.departed.gone_at(instance)) < had.time
        };
        if vector.iter().any(lacks) {
            let wanted = self.known.wanted.entry(name.instance().to_owned()).or_default();
            *wanted = name.time().max(*wanted);
        }
    }

    /// What was merged is in the zones: nothing is kept out until its time comes, whoever has sent it, nor is to be seen again.
    pub(in crate::sync) fn is_whole(&self) -> bool {
        self.refill.is_none() && self.kept_out.is_nothing()
    }
}

impl Replica {
    /// What a snapshot of the present state has of others. The caller has the turn.
    pub(in crate::sync) fn vector(&self) -> Vector {
        let judged = self.schemas.guard.judged();
        let state = self.state();
        let others = state.known.have.iter();
        // What a snapshot has that is still to be read is not here.
        let others = others.filter(|(instance, _)| {
            !state.known.wanted.contains_key(*instance) && self.can_vouch_for(&state, instance)
        });
        let had = |(instance, time): (&String, &u64)| {
            let had = Had {
                time: *time,
                schema: judged.get(instance).copied().flatten().unwrap_or(0),
                goes: false,
                version: state.versions.get(instance).copied().unwrap_or(0),
            };
            (instance.clone(), had)
        };
        others.map(had).collect()
    }

    /// What it has of instances whose objects go, as a delta beside it tells.
    pub(in crate::sync) fn vector_of(&self, go: &BTreeSet<String>) -> Vector {
        if go.is_empty() {
            return Vector::new();
        }
        let mut vector = self.vector();
        vector.retain(|instance, _| go.contains(instance));
        for had in vector.values_mut() {
            had.goes = true;
        }
        vector
    }

    /// What a snapshot of the present state says that it has. `told`: what the delta beside it tells of instances whose objects go, which
    /// is no more than that.
    pub(in crate::sync) fn vector_with(&self, told: &Vector) -> Vector {
        let mut vector = self.vector();
        let known = told.iter().filter(|(instance, _)| vector.contains_key(*instance));
        let known: Vec<_> = known.map(|(instance, had)| (instance.clone(), *had)).collect();
        let now = self.now_ns();
        let mut state = self.state();
        // A later snapshot has all that an earlier one had.
        vector.extend(state.departed.vouched(now));
        vector.extend(known);
        // Those that are long gone are in no later vector.
        vector.retain(|instance, had| had.goes || state.is_listed(instance));
        vector
    }

    /// A snapshot of the present state has all of the instance that is known.
    fn can_vouch_for(&self, state: &State, instance: &str) -> bool {
        instance != self.own
            && state.known.have(instance) != 0
            && state.is_whole()
            // Its snapshots show that it is no Zonetide.
            && !state.lightning_stream.contains(instance)
            && self.schemas.guard.verdict(instance) == Verdict::Merge
    }

    /// The next own snapshot can tell all who follow what it has of an instance whose objects go: agents that know nothing of vectors
    /// would not read it.
    pub(in crate::sync) fn can_tell_of(&self, state: &State, instance: &str) -> bool {
        self.can_vouch_for(state, instance)
            && !state.known.wanted.contains_key(instance)
            && !state.has_older(&self.own, self.now_ns())
    }

    /// Has the next own snapshot vouch for what an instance had, whose objects go or are gone. Where it cannot do so all have to read
    /// it.
    pub(in crate::sync) fn take_in(&self, state: &mut State, instance: &str) {
        if self.can_tell_of(state, instance) {
            state.departed.take_in(instance.to_owned());
        } else {
            state.log.want_snapshot();
        }
    }

    /// A snapshot is merged: all that its writer had is here.
    pub(in crate::sync) fn take_vector(&self, name: &SnapshotName, vector: Vector) {
        let now = self.now_ns();
        let mut state = self.state();
        let state = &mut *state;
        for (instance, had) in vector.iter().filter(|(_, had)| had.version != 0) {
            state.versions.entry(instance.clone()).or_insert(had.version);
        }
        if state.is_whole() {
            let believed = vector.iter().filter(|(_, had)| is_believable(had.time, now));
            for (instance, had) in believed {
                if *instance == self.own {
                    state.log.own_is_known(had.time);
                } else if had.time > state.known.have(instance)
                    && state.is_listed(instance)
                    && self.may_take(instance, *had)
                {
                    state.known.reached(instance, had.time);
                    state.known.read.entry(instance.clone()).or_insert(had.time);
                }
            }
        }
        state.vectors.learn(name, vector);
        self.has_merged.notify_waiters();
    }

    /// The schema of an instance allows to merge it, as far as it is known.
    fn may_take(&self, instance: &str, had: Had) -> bool {
        let guard = &self.schemas.guard;
        if self.schemas.main && guard.verdict(instance) == Verdict::Unknown {
            guard.judge(instance, Some(had.schema).filter(|schema| *schema != 0), false);
        }
        !matches!(guard.verdict(instance), Verdict::Refuse(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::known::vectors::samples::{listing, name};

    #[test]
    fn an_agent_of_the_last_release_counts_as_long_as_it_lives() {
        let mut state = State {
            listing: listing(&[name("a", 10), name("b", 20)]),
            ..State::default()
        };
        assert!(state.has_older("a", 30), "it may be one");
        state.is_of_version("b", 2);
        assert!(!state.has_older("a", 30));
        state.is_of_version("b", 1);
        assert!(state.has_older("a", 30));
        assert!(!state.has_older("a", u64::MAX));
        // Lightning Stream follows no deltas.
        state.is_of_version("b", 0);
        state.lightning_stream.insert("b".to_owned());
        assert!(!state.has_older("a", 30));
    }
}
