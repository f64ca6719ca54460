//! What a look at the store means for a replica.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Level;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::store::Listed;
use crate::sync::error::SyncError;
use crate::sync::known::deltas::Deltas;
use crate::sync::known::plan::{Next, sort_listing};
use crate::sync::state::State;
use crate::sync::state::replica::Replica;

/// How far before the newest delta seen the next look begins, ns: clocks differ, and uploads take time.
const OVERLAP: u64 = 15_000_000_000;
/// Time for which whole looks follow short ones because of a gap, ns.
const HOPE: u64 = 120_000_000_000;

/// By name, when objects were stored, ns since the epoch.
fn stored_at<'l>(listed: impl IntoIterator<Item = &'l Listed>) -> BTreeMap<String, u64> {
    let stored = |listed: &Listed| Some((listed.name.clone(), listed.modified?));
    listed.into_iter().filter_map(stored).collect()
}

impl Replica {
    /// Lists the whole store and takes in what that says, but merges nothing yet.
    pub(in crate::sync) async fn look_at_everything(&self) -> Result<(), SyncError> {
        // In this order, so that a delta that a snapshot made superfluous meanwhile is not missed without the snapshot.
        let deltas = self.store.list(&DeltaName::folder(self.database())).await?;
        let snapshots = self.list_snapshots().await?;
        let modified = stored_at(deltas.iter().chain(&snapshots));
        let listing = sort_listing(self.database(), &snapshots);
        let deltas = Deltas::sort(self.database(), &deltas);
        let now = self.now_ns();
        {
            let mut state = self.state();
            state.stored_at = modified;
            if state.awaited.is_none() {
                // However long the merge takes, the store answers; whether all of it can be had shows at the end.
                state.looks.silent_since = None;
            }
            if std::mem::take(&mut state.given) {
                state.log.want_another_snapshot();
            }
            state.log.saw(deltas.times(), now);
            state.listing = listing;
            state.known.listed(&deltas);
            state.deltas = deltas;
        }
        self.compare_with_memory(&snapshots);
        self.report_listing();
        self.make_good().await;
        self.await_the_first();
        self.look_for_orphans();
        Ok(())
    }

    /// Lists the newest deltas, and all `snapshots` if that is wanted.
    pub(in crate::sync) async fn look_at_news(&self, snapshots: bool) -> Result<(), SyncError> {
        let now = self.now_ns();
        let newest = self.state().log.newest_seen().min(now);
        let after = DeltaName::before(self.database(), newest.saturating_sub(OVERLAP))?;
        let folder = DeltaName::folder(self.database());
        let listed = self.store.list_after(&folder, &after).await?;
        let snapshots = if snapshots {
            Some(self.list_snapshots().await?)
        } else {
            None
        };
        let deltas = Deltas::sort(self.database(), &listed);
        {
            let mut state = self.state();
            if let Some(listed) = &snapshots {
                state.stored_at.extend(stored_at(listed));
                state.listing = sort_listing(self.database(), listed);
            }
            state.stored_at.extend(stored_at(&listed));
            state.log.saw(deltas.times(), now);
            state.known.listed(&deltas);
            state.deltas.extend(deltas);
        }
        self.report_listing();
        if snapshots.is_some() {
            self.make_good().await;
        }
        self.look_for_orphans();
        Ok(())
    }

    async fn list_snapshots(&self) -> Result<Vec<Listed>, SyncError> {
        Ok(self.store.list(&format!("{}__", self.database())).await?)
    }

    fn report_listing(&self) {
        let mut state = self.state();
        let instances: BTreeSet<_> = state.listing.keys().chain(state.deltas.instances()).collect();
        let newest = instances
            .into_iter()
            .map(|instance| (instance.clone(), state.last_sign(instance)));
        let newest: BTreeMap<_, _> = newest.collect();
        // Of those that are gone the last sign is still of use.
        for (instance, newest) in &newest {
            state.departed.saw(instance, *newest);
        }
        self.status.listed(newest);
    }

    /// What was known before the start is void if the store has not the state that was stored last: it is another store, or
    /// another past of it.
    fn compare_with_memory(&self, snapshots: &[Listed]) {
        let mut state = self.state();
        if !std::mem::take(&mut state.resumed) {
            return;
        }
        let time = state.log.stored().time;
        let newest = state.listing.get(&self.own).and_then(BTreeSet::last).cloned();
        let by_snapshot = newest.as_ref().is_some_and(|name| name.timestamp() == time);
        let by_delta = state.deltas.of(&self.own).any(|(name, _)| name.time() == time);
        let Some(newest) = newest.filter(|_| by_snapshot || by_delta) else {
            tracing::info!(database = %self.database(), "the store is not as it was left: everything is compared");
            state.log.forget_own();
            state.known.forget_all();
            // Of a snapshot that may not be there any more: all that is there is read.
            state.known.wanted.clear();
            state.heard.clear();
            return;
        };
        let size = |listed: &&Listed| listed.name == newest.as_str();
        let size = snapshots.iter().find(size).map_or(0, |listed| listed.size);
        let since: Vec<_> = state
            .deltas
            .of(&self.own)
            .filter(|(name, _)| name.time() > newest.timestamp())
            .map(|(_, size)| size)
            .collect();
        state.log.found_since_snapshot(size, &since);
        tracing::info!(
            database = %self.database(), instances = state.known.have.len(), "going on from where the last run ended"
        );
    }

    fn await_the_first(&self) {
        let mut state = self.state();
        if state.awaited.is_none() {
            let states = state.listing.keys().map(|instance| {
                let snapshot = state.listing[instance].last().map_or(0, SnapshotName::timestamp);
                let reach = state.deltas.reach(instance, snapshot, |_| true);
                (instance.clone(), reach)
            });
            let states: BTreeMap<_, _> = states.collect();
            state.awaited = Some(states);
        }
    }

    /// What the listing says of own objects and of the first ones seen, once what could be merged of it is merged.
    pub(in crate::sync) fn conclude(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let own_left = !state
            .known
            .has_all_readable_of(&self.own, &state.listing, &state.deltas);
        let newest = state.last_sign(&self.own);
        state.log.own_is_known(newest);
        let is_news = !std::mem::replace(&mut state.own_merged, !own_left) && !own_left;
        if is_news && !state.log.has_stored() && state.log.is_telling() {
            // What peers were told of until now began with no state that the store has: the first snapshot has it all.
            state.log.want_another_snapshot();
        }
        if state.ready {
            return;
        }
        let Some(awaited) = &state.awaited else { return };
        if state.refill.is_none() && state.known.has_all_of(awaited, &state.listing, &state.deltas) {
            state.ready = true;
            self.status.set_ready();
            tracing::info!(database = %self.database(), instances = awaited.len(), "all instances are merged");
        }
    }

    /// Merges what another agent stored under this instance's name, old or new: readers may not see it any more.
    pub(in crate::sync) async fn merge_a_namesake(&self) -> Result<(), SyncError> {
        let now = self.now_ns();
        let foreign: Vec<String> = {
            let mut state = self.state();
            let state = &mut *state;
            let none = BTreeSet::new();
            let snapshots = state.listing.get(&self.own).unwrap_or(&none);
            let deltas: BTreeSet<_> = state.deltas.of(&self.own).map(|(name, _)| name.clone()).collect();
            let snapshots = state.namesake.look(snapshots, now);
            let deltas = state.delta_namesake.look(&deltas, now);
            let snapshots = snapshots.iter().map(ToString::to_string);
            snapshots.chain(deltas.iter().map(ToString::to_string)).collect()
        };
        for name in foreign {
            tracing::error!(
                database = %self.database(), %name,
                "another agent writes under this instance's name: give each its own `instance`"
            );
            self.status
                .raise("namesake", Level::Error, &format!("another agent stored {name}"));
            // Readers take one of the two for the newest and miss what only the other one has: this database has both.
            self.state().log.mistrust_the_store();
        }
        let (snapshots, deltas) = {
            let state = self.state();
            (state.namesake.pending(), state.delta_namesake.pending())
        };
        for name in snapshots {
            self.fetch(&Next::Snapshot(name.clone())).await?;
            self.state().namesake.has_merged(&name);
        }
        for name in deltas {
            self.fetch(&Next::Delta(name.clone())).await?;
            self.state().delta_namesake.has_merged(&name);
        }
        Ok(())
    }
}

/// Instances that have news after a short look, with the states up to which all is merged: those need a whole look.
fn gaps<'d>(state: &'d State, own: &str) -> impl Iterator<Item = (&'d String, u64)> {
    state.deltas.instances().filter_map(move |instance| {
        let have = state.known.have(instance);
        let newest = state.deltas.of(instance).next_back();
        let has_news = instance != own && newest.is_some_and(|(name, _)| name.time() > have);
        (has_news || !state.listing.contains_key(instance)).then_some((instance, have))
    })
}

impl State {
    /// True if a whole look may bring what a short one did not. Where it did not for so long there is nothing but to wait, as for
    /// the next snapshot after a torn delta: the whole looks that come anyway find it.
    pub(in crate::sync) fn has_gap(&mut self, own: &str, now: u64) -> bool {
        let since = |(instance, have): (&String, u64)| {
            let known = self
                .looks
                .gaps
                .get(instance)
                .filter(|(before, _)| *before == have);
            (instance.clone(), *known.unwrap_or(&(have, now)))
        };
        let gaps: BTreeMap<_, _> = gaps(self, own).map(since).collect();
        self.looks.gaps = gaps;
        self.looks
            .gaps
            .values()
            .any(|(_, since)| now.abs_diff(*since) < HOPE)
    }
}
