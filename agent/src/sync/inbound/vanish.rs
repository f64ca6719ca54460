//! Instances whose objects are gone from the store: their changes are stored anew unless a snapshot that is there has them.

use crate::snapshot::{SnapshotName, Vector, meta_of_start};
use crate::store::StoreError;
use crate::sync::known::heard::{MOST_TURNS, TURN};
use crate::sync::state::State;
use crate::sync::state::replica::Replica;

/// Bytes of a snapshot that are read for its vector at first.
const START: u64 = 16 << 10;
/// Most of them, where a vector is longer.
const MOST: u64 = 1 << 20;

impl State {
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

    fn forget_vanished(&mut self, instance: &str) -> Option<SnapshotName> {
        self.departed.forget(instance);
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
        self.departed.leave_to_another(instance, have);
        self.known.forget(instance);
    }

    /// A snapshot in the store has all that the objects of an instance had.
    fn is_covered(&self, instance: &str) -> bool {
        let of_others = self.vectors.of(instance, &self.listing);
        let had = self.departed.had_of(instance, self.known.have(instance));
        of_others != 0 && of_others >= had
    }
}

impl Replica {
    /// Looks for instances whose snapshots are gone from the store. Their changes may be in this database alone: an emptied bucket
    /// fills again by this. Where a snapshot that is there has them nothing needs to be done, and of the others each gives those before
    /// it, by name, the time to store them.
    pub(in crate::sync) async fn make_good(&self) {
        let now = self.now_ns();
        let vanished = {
            let mut state = self.state();
            let state = &mut *state;
            let (listing, known) = (&state.listing, &state.known);
            state.vectors.retain(|name| {
                let there = listing.get(name.instance());
                let is_there = name.instance() == self.own || there.is_some_and(|names| names.contains(name));
                is_there && !known.corrupt.contains(name)
            });
            let mut vanished = state.known.vanished(&state.listing);
            // The own ones need nothing of others.
            vanished.sort_by_key(|instance| *instance != self.own);
            state.departed.look(&vanished, &state.listing);
            vanished
        };
        for instance in vanished {
            let since = self.state().departed.vanished_since(&instance, now);
            let is_own = instance == self.own;
            if !is_own && self.look_for_cover(&instance).await {
                tracing::info!(
                    database = %self.database(), instance, "an instance's objects are gone, and a snapshot of another one has its changes"
                );
                self.state().leave_to_its_cover(&instance);
                continue;
            }
            let place = if is_own { 0 } else { self.place_before(&instance) };
            let mut state = self.state();
            if now.abs_diff(since) < TURN * place.min(MOST_TURNS) {
                continue;
            }
            if !state.departed.taken_in().contains(&instance) {
                let name = state.known.merged.get(&instance);
                tracing::warn!(
                    database = %self.database(), instance, name = name.map(SnapshotName::as_str),
                    "a snapshot is gone: this database is stored again"
                );
            }
            if self.can_tell_of(&state, &instance) {
                // Once that is done its snapshot is one that has all of it.
                state.departed.take_in(instance);
            } else {
                state.forget_vanished(&instance);
                state.heard.forget(&instance);
                state.log.mistrust_the_store();
            }
        }
    }

    /// Reads from the snapshots in the store what they have of others until one has all of this instance.
    async fn look_for_cover(&self, instance: &str) -> bool {
        if self.state().is_covered(instance) {
            return true;
        }
        let unknown = self.state().without_vector();
        for name in unknown {
            let vector = match self.read_vector(&name).await {
                Ok(vector) => vector,
                Err(error) => {
                    // The next look tries again. One snapshot must not keep away what the others have.
                    tracing::warn!(database = %self.database(), %name, %error, "cannot read what a snapshot has of other instances");
                    continue;
                }
            };
            let mut state = self.state();
            state.vectors.learn(&name, vector);
            if state.is_covered(instance) {
                return true;
            }
        }
        false
    }

    /// Reads the vector at the start of a snapshot; empty where there is none that can be read.
    async fn read_vector(&self, name: &SnapshotName) -> Result<Vector, StoreError> {
        for most in [START, MOST] {
            let start = self.store.get_start(name.as_str(), most).await?;
            let Some(start) = start else { break };
            match meta_of_start(&start) {
                Ok(meta) => return Ok(meta.vector),
                Err(_) if (start.len() as u64) < most => break,
                Err(_) => {}
            }
        }
        Ok(Vector::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::known::vectors::samples::{listing, name, vector};

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
        state.departed.saw("c", 7);
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
