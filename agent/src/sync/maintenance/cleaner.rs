//! Removing objects that nobody needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::history::History;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::sync::error::SyncError;
use crate::sync::known::deltas::Deltas;
use crate::sync::known::plan::{Listing, sort_listing};
use crate::sync::pace::Retention;
use crate::sync::state::State;
use crate::sync::state::replica::Replica;

/// Time without a sign of a retired instance after which it is believed to have ended, ns: its last upload may be on its way.
const QUIET: u64 = 30_000_000_000;
/// Time that each instance gives the one before it, by name, to store the snapshot without which nothing may be removed.
const TURN: Duration = Duration::from_secs(20);
/// Time before that is asked for again, if it was stored and does not tell of the instance.
const REST: Duration = Duration::from_secs(600);

/// An instance that is gone and merged.
#[derive(Debug, Clone, Copy)]
struct Gone {
    /// The time of its last object, ns since the epoch: a later one changes everything.
    last_sign: u64,
    /// The database's transaction when that was first seen: one of then or later has all that the instance said.
    txn: u64,
    /// The own snapshot that was the newest then, by its time in ns since the epoch.
    own: u64,
    since: Instant,
    /// When a snapshot was asked for that tells of it.
    asked: Option<Instant>,
}

/// Remembers since when each superseded object is known to be one.
#[derive(Debug, Default)]
pub struct Cleaner {
    superseded_since: BTreeMap<SnapshotName, Instant>,
    covered_since: BTreeMap<DeltaName, Instant>,
    gone: BTreeMap<String, Gone>,
    /// Instances that never come back: their objects need not wait until they are old.
    retired: BTreeSet<String>,
    /// The last look at the store showed objects of one of them.
    sees_retired: bool,
    /// Where deltas go before they are removed.
    history: Option<History>,
}

impl Cleaner {
    /// One that keeps history.
    pub fn with_history(history: History) -> Self {
        Self {
            history: Some(history),
            ..Self::default()
        }
    }

    /// Has the objects of these instances removed as soon as they are merged and stored again.
    pub fn retire(&mut self, instances: BTreeSet<String>) {
        self.retired = instances;
    }

    /// There were objects of retired instances at the last look.
    pub fn sees_retired(&self) -> bool {
        self.sees_retired
    }

    /// There is no history yet, and it is this instance that begins it once it can.
    pub fn is_to_begin_history(&self) -> bool {
        self.history.as_ref().is_some_and(History::is_to_begin)
    }

    /// Lists the store and removes what may go. `now_ns` is the time in ns since the epoch.
    ///
    /// The last readable objects of an instance go only when they are merged here *and* a snapshot stored since shows the
    /// result: from then on everything they said is in the store under another name. Newer ones that we cannot read
    /// stay: somebody else may be able to.
    ///
    /// # Errors
    /// Those of the store; what was removed before stays removed.
    pub async fn clean(
        &mut self,
        replica: &Replica,
        retention: Retention,
        now: Instant,
        now_ns: u64,
    ) -> Result<usize, SyncError> {
        let (listing, deltas) = list(replica).await?;
        let superseded = replica.state().known.superseded(&listing);
        let mut doomed: Vec<String> = ripe(&mut self.superseded_since, superseded, retention.must_keep, now)
            .iter()
            .map(ToString::to_string)
            .collect();
        doomed.extend(self.covered(replica, &listing, &deltas, retention.must_keep, now));
        doomed.extend(self.leftovers(replica, &listing, &deltas, retention, (now, now_ns)));
        self.remove(replica, &deltas, doomed, (now, now_ns)).await
    }

    /// Removes own deltas that a snapshot or a longer delta replaces, and nothing else: without that the store would grow
    /// with every change.
    ///
    /// # Errors
    /// Those of the store; what was removed before stays removed.
    pub async fn clean_own_deltas(
        &mut self,
        replica: &Replica,
        must_keep: Duration,
        now: Instant,
    ) -> Result<usize, SyncError> {
        let (listing, deltas) = list(replica).await?;
        let doomed = self.covered(replica, &listing, &deltas, must_keep, now);
        self.remove(replica, &deltas, doomed, (now, replica.now_ns()))
            .await
    }

    async fn remove(
        &mut self,
        replica: &Replica,
        deltas: &Deltas,
        doomed: Vec<String>,
        now: (Instant, u64),
    ) -> Result<usize, SyncError> {
        // What need not be kept goes first: it may be what a full store lacks the room of.
        let folder = DeltaName::folder(replica.database());
        let (of_deltas, mut doomed): (Vec<_>, Vec<_>) =
            doomed.into_iter().partition(|name| name.starts_with(&folder));
        delete(replica, &doomed).await?;
        let (may_go, archived) = match &mut self.history {
            Some(history) => history.lets_go(replica, deltas, &of_deltas, now.0).await,
            None => (true, Ok(())),
        };
        if may_go {
            delete(replica, &of_deltas).await?;
            doomed.extend(of_deltas);
        }
        replica.status.cleaned(doomed.len() as u64);
        archived?;
        let place = self.place_of(replica, &replica.state(), now.1);
        if let Some(history) = &mut self.history {
            history.tidy(replica, place, now).await?;
        }
        Ok(doomed.len())
    }

    fn covered(
        &mut self,
        replica: &Replica,
        listing: &Listing,
        deltas: &Deltas,
        must_keep: Duration,
        now: Instant,
    ) -> Vec<String> {
        let covered = {
            let state = replica.state();
            let known = &state.known;
            // One that came to nothing may be torn.
            let stored = known.read.get(&replica.own).copied().unwrap_or(0);
            let snapshots = listing.get(&replica.own).into_iter().flatten().rev();
            let snapshot = snapshots
                .map(SnapshotName::timestamp)
                .find(|time| *time <= stored);
            let sound = |name: &DeltaName| !known.corrupt_deltas.contains_key(name);
            deltas.covered(&replica.own, snapshot.unwrap_or(0), sound)
        };
        let ripe = ripe(&mut self.covered_since, covered, must_keep, now);
        ripe.iter().map(ToString::to_string).collect()
    }

    fn leftovers(
        &mut self,
        replica: &Replica,
        listing: &Listing,
        deltas: &Deltas,
        retention: Retention,
        (now, now_ns): (Instant, u64),
    ) -> Vec<String> {
        let max_age = u64::try_from(retention.remove_old_instances.as_nanos()).unwrap_or(u64::MAX);
        let contacts = replica.told_by_peers();
        let mut state = replica.state();
        let (mut gone, mut doomed) = (BTreeMap::new(), Vec::new());
        // Somebody may have removed what was stored.
        let own = state.known.merged.get(&replica.own);
        let own_is_there =
            own.is_some_and(|own| listing.get(&replica.own).is_some_and(|names| names.contains(own)));
        let own_time = own.map_or(0, SnapshotName::timestamp);
        let others: BTreeSet<_> = listing.keys().chain(deltas.instances()).collect();
        self.sees_retired = others.iter().any(|instance| self.retired.contains(*instance));
        for instance in others.into_iter().filter(|instance| **instance != replica.own) {
            let readable = state.known.newest(listing, instance);
            let is_retired = self.retired.contains(instance);
            let snapshots = listing.get(instance);
            // Deltas alone are of no use, but to those who have merged what came before.
            if readable.is_none() && !(is_retired && snapshots.is_none()) {
                continue;
            }
            let newest_delta = deltas.of(instance).next_back().map_or(0, |(name, _)| name.time());
            // A torn one that is newer shows that the instance was alive then, and says nothing else.
            let newest_snapshot = snapshots.and_then(BTreeSet::last);
            let last_sign = newest_snapshot
                .map_or(0, SnapshotName::timestamp)
                .max(newest_delta);
            let has_ended =
                is_retired && !contacts.contains_key(instance) && now_ns.abs_diff(last_sign) >= QUIET;
            let is_merged = state.known.has_all_readable_of(instance, listing, deltas)
                && !state.kept_out.has_any_of(instance);
            if !is_merged || !(has_ended || now_ns.saturating_sub(last_sign) >= max_age) {
                continue;
            }
            let before = self.gone.get(instance);
            let seen = before.filter(|seen| seen.last_sign == last_sign).copied();
            let seen = seen.unwrap_or_else(|| Gone {
                last_sign,
                txn: replica.env.last_txn_id(),
                own: own_time,
                since: now,
                asked: None,
            });
            // Who follows the own deltas is told by a snapshot that vouches for it, or by one that all read.
            let is_told = !is_retired
                || state.known.have(instance) == 0
                || if replica.can_tell_of(&state, instance) {
                    state.vectors.of(instance, listing) >= state.known.have(instance)
                } else {
                    own_time > seen.own
                };
            if own_is_there && state.log.snapshot_txn() >= seen.txn && is_told {
                // The newest last: without it an older one would count again, and what was deleted since would come back.
                // Deltas that nobody can use are of no use to anybody.
                doomed.extend(deltas.of(instance).map(|(name, _)| name.to_string()));
                if let (Some(newest), Some(snapshots)) = (readable, snapshots) {
                    doomed.extend(snapshots.range(..=newest).map(ToString::to_string));
                }
            } else {
                let turn = TURN * self.place_of(replica, &state, now_ns);
                let rests = seen.asked.is_some_and(|asked| now.duration_since(asked) < REST);
                // What it told and never stored is stored first: by a later state, if it was lost and came back, nobody would look for that.
                let is_told_alone = state.heard.states().contains_key(instance);
                let asks = is_retired && !rests && !is_told_alone && now.duration_since(seen.since) >= turn;
                if asks {
                    replica.take_in(&mut state, instance);
                }
                let asked = if asks { Some(now) } else { seen.asked };
                gone.insert(instance.clone(), Gone { asked, ..seen });
            }
        }
        self.gone = gone;
        // Without any snapshot nobody can begin to use them: Lightning Stream's cleaner removes no deltas.
        let is_orphan = |instance: &&String| {
            **instance != replica.own
                && !listing.contains_key(*instance)
                && !self.retired.contains(*instance)
                && !state.kept_out.has_any_of(instance)
        };
        for instance in deltas.instances().filter(is_orphan) {
            let last = deltas.of(instance).next_back().map_or(0, |(name, _)| name.time());
            if now_ns.saturating_sub(last) >= max_age {
                doomed.extend(deltas.of(instance).map(|(name, _)| name.to_string()));
            }
        }
        doomed
    }

    /// How many instances have their turn before this one.
    fn place_of(&self, replica: &Replica, state: &State, now_ns: u64) -> u32 {
        let living = state.living(&replica.own, now_ns).into_iter();
        // Lightning Stream knows nothing of this.
        let before = living.filter(|instance| {
            **instance < replica.own
                && !self.retired.contains(*instance)
                && !state.lightning_stream.contains(*instance)
        });
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }
}

async fn list(replica: &Replica) -> Result<(Listing, Deltas), SyncError> {
    let database = replica.database();
    let deltas = replica.store.list(&DeltaName::folder(database)).await?;
    let snapshots = replica.store.list(&format!("{database}__")).await?;
    Ok((
        sort_listing(database, &snapshots),
        Deltas::sort(database, &deltas),
    ))
}

async fn delete(replica: &Replica, names: &[String]) -> Result<(), SyncError> {
    for name in names {
        replica.store.delete(name).await?;
        tracing::info!(database = %replica.database(), %name, "removed a superseded object");
    }
    Ok(())
}

/// Those of `names` that have been given for long enough.
fn ripe<N: Ord + Clone>(
    since: &mut BTreeMap<N, Instant>,
    names: impl IntoIterator<Item = N>,
    must_keep: Duration,
    now: Instant,
) -> Vec<N> {
    let old = std::mem::take(since);
    since.extend(names.into_iter().map(|name| {
        let first = old.get(&name).copied().unwrap_or(now);
        (name, first)
    }));
    let ripe = since
        .iter()
        .filter(|(_, first)| now.duration_since(**first) >= must_keep);
    ripe.map(|(name, _)| name.clone()).collect()
}
