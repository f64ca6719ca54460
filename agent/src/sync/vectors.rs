//! Version vectors: what the snapshots in the store have of other instances than their writer.
//!
//! Whoever has merged a snapshot has all of that, and needs no object of those instances up to there: a newcomer reads one
//! snapshot. When an instance's objects are gone from the store, its changes are stored anew unless a snapshot that is there has them.

use std::collections::{BTreeMap, BTreeSet};

use super::SyncError;
use super::plan::Listing;
use super::replica::Replica;
use super::schema::Verdict;
use super::state::State;
use super::unstored::TURN;
use super::word::is_believable;
use crate::snapshot::{DeltaName, Had, SnapshotName, Vector, meta_of_start};

/// Bytes of a snapshot that are read for its vector at first.
const START: u64 = 16 << 10;
/// Most of them, where a vector is longer.
const MOST: u64 = 1 << 20;

/// What is known of the snapshots' vectors, the newest snapshot of each writer.
#[derive(Debug, Default)]
pub(super) struct Vectors(BTreeMap<String, (SnapshotName, Vector)>);

impl Vectors {
    /// A snapshot has this of others.
    pub(super) fn learn(&mut self, name: &SnapshotName, vector: Vector) {
        match self.0.get(name.instance()) {
            Some((known, _)) if known > name => {}
            _ => drop(self.0.insert(name.instance().to_owned(), (name.clone(), vector))),
        }
    }

    /// The snapshot of another instance in the store that has most of an instance whose objects go, and the state of that up to which
    /// it has everything, ns since the epoch. Whoever follows its writer's deltas knows of it.
    fn cover(&self, instance: &str, listing: &Listing) -> Option<(&SnapshotName, u64)> {
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
    pub(super) fn of(&self, instance: &str, listing: &Listing) -> u64 {
        self.cover(instance, listing).map_or(0, |(_, time)| time)
    }

    fn is_known(&self, name: &SnapshotName) -> bool {
        self.0
            .get(name.instance())
            .is_some_and(|(known, _)| known == name)
    }
}

impl State {
    /// A delta says what the snapshot of its state has of instances whose own objects go. Where some of it is missing here, that
    /// snapshot is to be read.
    pub(super) fn want_what_goes(&mut self, name: &DeltaName, vector: &Vector) {
        let gone = |instance: &String| self.gone.get(instance).copied().unwrap_or(0);
        let lacks =
            |(instance, had): (&String, &Had)| self.known.have(instance).max(gone(instance)) < had.time;
        if vector.iter().any(lacks) {
            let wanted = self.known.wanted.entry(name.instance().to_owned()).or_default();
            *wanted = name.time().max(*wanted);
        }
    }

    /// The newest snapshots of all instances whose vectors are not known, the newest first.
    fn without_vector(&self) -> Vec<SnapshotName> {
        let newest = self
            .listing
            .keys()
            .filter_map(|instance| self.known.newest(&self.listing, instance));
        let mut unknown: Vec<_> = newest
            .filter(|name| !self.vectors.is_known(name))
            .cloned()
            .collect();
        unknown.sort_by_key(|name| std::cmp::Reverse(name.timestamp()));
        unknown
    }

    /// Up to which state the objects of an instance that are gone were known, ns since the epoch.
    fn had_of(&self, instance: &str) -> u64 {
        let have = self.known.have(instance);
        self.signs.get(instance).map_or(have, |sign| have.min(*sign))
    }

    /// What was merged is in the zones: nothing is kept out until its time comes, whoever has sent it, nor is to be seen again.
    pub(super) fn is_whole(&self) -> bool {
        self.refill.is_none()
            && self.no_room.is_empty()
            && self
                .quarantine
                .as_ref()
                .is_some_and(|kept| kept.senders.is_empty())
    }

    fn forget_vanished(&mut self, instance: &str) -> Option<SnapshotName> {
        self.vanished.remove(instance);
        self.signs.remove(instance);
        self.known.forget(instance)
    }

    /// The objects of an instance are gone, and a snapshot of another one has what was in them. It is read where some of that is missing
    /// here.
    fn leave_to_its_cover(&mut self, instance: &str) {
        let have = self.known.have(instance);
        let cover = self.vectors.cover(instance, &self.listing);
        if let Some((name, _)) = cover.filter(|(_, time)| *time > have) {
            let wanted = self.known.wanted.entry(name.instance().to_owned()).or_default();
            *wanted = name.timestamp().max(*wanted);
        }
        self.gone.insert(instance.to_owned(), have);
        self.forget_vanished(instance);
    }

    /// A snapshot in the store has all that the objects of an instance had.
    fn is_covered(&self, instance: &str) -> bool {
        let of_others = self.vectors.of(instance, &self.listing);
        of_others != 0 && of_others >= self.had_of(instance)
    }
}

impl Replica {
    /// What a snapshot of the present state has of others, among them those that `go`. The caller has the turn.
    pub(super) fn vector(&self, go: &BTreeSet<String>) -> Vector {
        let judged = self.schemas.guard.judged();
        let state = self.state();
        let others = state.known.have.iter();
        let others = others.filter(|(instance, _)| self.can_vouch_for(&state, instance));
        let had = |(instance, time): (&String, &u64)| {
            let had = Had {
                time: *time,
                schema: judged.get(instance).copied().flatten().unwrap_or(0),
                goes: go.contains(instance),
            };
            (instance.clone(), had)
        };
        others.map(had).collect()
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

    /// Has the next own snapshot vouch for what an instance had, whose objects go or are gone. Where it cannot do so all have to read
    /// it.
    pub(super) fn take_in(&self, state: &mut State, instance: &str) {
        if self.can_vouch_for(state, instance) {
            state.taken_in.insert(instance.to_owned());
        } else {
            state.want_snapshot();
        }
    }

    /// A snapshot is merged: all that its writer had is here.
    pub(super) fn take_vector(&self, name: &SnapshotName, vector: Vector) {
        let now = self.now_ns();
        let mut state = self.state();
        let state = &mut *state;
        if state.is_whole() {
            let believed = vector.iter().filter(|(_, had)| is_believable(had.time, now));
            for (instance, had) in believed {
                if *instance == self.own {
                    // No later state may have the name of one that others know.
                    state.last_own_time = state.last_own_time.max(had.time);
                } else if had.time > state.known.have(instance) && self.may_take(instance, *had) {
                    state.known.reached(instance, had.time);
                    state.known.read.entry(instance.clone()).or_insert(had.time);
                }
            }
        }
        state.vectors.learn(name, vector);
    }

    /// The schema of an instance allows to merge it, as far as it is known.
    fn may_take(&self, instance: &str, had: Had) -> bool {
        let guard = &self.schemas.guard;
        if self.schemas.main && guard.verdict(instance) == Verdict::Unknown {
            guard.judge(instance, Some(had.schema).filter(|schema| *schema != 0), false);
        }
        !matches!(guard.verdict(instance), Verdict::Refuse(_))
    }

    /// Looks for instances whose snapshots are gone from the store. Their changes may be in this database alone: an emptied bucket
    /// fills again by this. Where a snapshot that is there has them nothing needs to be done, and of the others each gives those before
    /// it, by name, the time to store them.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn make_good(&self) -> Result<(), SyncError> {
        let now = self.now_ns();
        let vanished = {
            let mut state = self.state();
            let state = &mut *state;
            let vanished = state.known.vanished(&state.listing);
            state.vanished.retain(|instance, _| vanished.contains(instance));
            state
                .gone
                .retain(|instance, _| !state.listing.contains_key(instance));
            vanished
        };
        for instance in vanished {
            let since = *self.state().vanished.entry(instance.clone()).or_insert(now);
            let is_own = instance == self.own;
            if !is_own && self.look_for_cover(&instance).await? {
                tracing::info!(
                    database = %self.database(), instance, "an instance's objects are gone, and a snapshot of another one has its changes"
                );
                self.state().leave_to_its_cover(&instance);
                continue;
            }
            let place = if is_own { 0 } else { self.place_before(&instance) };
            let mut state = self.state();
            if now.saturating_sub(since) < TURN * place {
                continue;
            }
            if !state.taken_in.contains(&instance) {
                let name = state.known.merged.get(&instance);
                tracing::warn!(
                    database = %self.database(), instance, name = name.map(SnapshotName::as_str),
                    "a snapshot is gone: this database is stored again"
                );
            }
            if self.can_vouch_for(&state, &instance) {
                // Once that is done its snapshot is one that has all of it.
                state.taken_in.insert(instance);
            } else {
                state.forget_vanished(&instance);
                state.heard.forget(&instance);
                state.mistrust_the_store();
            }
        }
        Ok(())
    }

    /// Reads from the snapshots in the store what they have of others until one has all of this instance.
    async fn look_for_cover(&self, instance: &str) -> Result<bool, SyncError> {
        if self.state().is_covered(instance) {
            return Ok(true);
        }
        let unknown = self.state().without_vector();
        for name in unknown {
            let vector = self.read_vector(&name).await?;
            let mut state = self.state();
            state.vectors.learn(&name, vector);
            if state.is_covered(instance) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the vector at the start of a snapshot; empty where there is none that can be read.
    async fn read_vector(&self, name: &SnapshotName) -> Result<Vector, SyncError> {
        for most in [START, MOST] {
            let Some(start) = self.store.get_start(name.as_str(), most).await? else {
                break;
            };
            match meta_of_start(&start) {
                Ok(meta) => return Ok(meta.vector),
                Err(_) if (start.len() as u64) < most => break,
                Err(_) => {}
            }
        }
        Ok(Vector::new())
    }

    /// How many instances have their turn before this one to store what only one needs to store of an instance.
    pub(super) fn place_before(&self, instance: &str) -> u64 {
        let contacts = self.told_by_peers();
        let now = self.now_ns();
        let state = self.state();
        let living = state.living(&self.own, now).into_iter();
        let before = living.filter(|other| {
            *other != instance
                && **other < self.own
                && contacts.contains_key(*other)
                && !state.lightning_stream.contains(*other)
        });
        before.count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(writer: &str, time: u64) -> SnapshotName {
        SnapshotName::new("main", writer, time).unwrap()
    }

    fn vector(of: &[(&str, u64)]) -> Vector {
        let had = |(instance, time): &(&str, u64)| {
            (
                (*instance).to_owned(),
                Had {
                    time: *time,
                    schema: 5,
                    goes: true,
                },
            )
        };
        of.iter().map(had).collect()
    }

    fn listing(of: &[SnapshotName]) -> Listing {
        let mut listing = Listing::new();
        for name in of {
            listing
                .entry(name.instance().to_owned())
                .or_default()
                .insert(name.clone());
        }
        listing
    }

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

    #[test]
    fn an_instance_is_covered_by_a_snapshot_that_has_all_that_its_objects_had() {
        let mut state = State {
            listing: listing(&[name("a", 10)]),
            ..State::default()
        };
        state.known.reached("c", 8);
        assert!(!state.is_covered("c"));
        state.vectors.learn(&name("a", 10), vector(&[("c", 7)]));
        assert!(!state.is_covered("c"));
        // Its last state is known from a peer and was in no object.
        state.signs.insert("c".to_owned(), 7);
        assert!(state.is_covered("c"));
    }

    #[test]
    fn vectors_are_read_from_the_newest_snapshots_first() {
        let mut state = State {
            listing: listing(&[name("a", 10), name("b", 30), name("c", 20), name("c", 15)]),
            ..State::default()
        };
        assert_eq!(
            state.without_vector(),
            [name("b", 30), name("c", 20), name("a", 10)]
        );
        state.vectors.learn(&name("b", 30), Vector::new());
        assert_eq!(state.without_vector(), [name("c", 20), name("a", 10)]);
    }
}
