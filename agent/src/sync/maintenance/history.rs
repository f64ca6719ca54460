//! Keeping the history: what a cleaner is about to remove goes there first, and what is there is put together and thinned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::history::{Catalog, DAY, HOUR, HistoryError, archive, archive_start, compact};
use crate::snapshot::{BaseName, DeltaName, SegmentName};
use crate::sync::error::SyncError;
use crate::sync::known::deltas::Deltas;
use crate::sync::state::replica::Replica;

/// How often is looked at what others have put there.
const LOOK: Duration = Duration::from_secs(3600);
/// Time that each instance gives the one before it, by name, for what one does for all.
const TURN: Duration = Duration::from_secs(600);
/// Time for which objects stay because what they say cannot be put into the history.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What one instance does for all, and since when it is to be done.
#[derive(Debug, Default)]
struct Duty(Option<Instant>);

impl Duty {
    /// It is to be done, and by the instance that has so many before it.
    fn is_ours(&mut self, is_due: bool, place: u32, now: Instant) -> bool {
        self.0 = is_due.then(|| self.0.unwrap_or(now));
        self.0
            .is_some_and(|since| now.duration_since(since) >= TURN * place)
    }
}

/// Keeps the history of one database.
#[derive(Debug)]
pub struct History {
    /// How far back it reaches, ns.
    keep: u64,
    /// What there is, and when that was looked at.
    known: Option<(Catalog, Instant)>,
    base: Duty,
    thinning: Duty,
    is_to_begin: bool,
    /// What this instance wrote before is in no segment.
    joins: bool,
    /// Segments that do not decode.
    apart: BTreeSet<SegmentName>,
    /// Since when nothing can be put there.
    failing: Option<Instant>,
}

impl History {
    /// History that reaches back as far as `keep`.
    pub fn new(keep: Duration) -> Self {
        Self {
            keep: u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX),
            known: None,
            base: Duty::default(),
            thinning: Duty::default(),
            is_to_begin: true,
            joins: false,
            apart: BTreeSet::new(),
            failing: None,
        }
    }

    /// There is no base snapshot, and nobody comes before this instance.
    pub(super) fn is_to_begin(&self) -> bool {
        self.is_to_begin
    }

    /// Puts there what must be before these objects go; false while they must not. When that has failed for long they go all the same: a
    /// store that is full has no room for anything else.
    pub(super) async fn lets_go(
        &mut self,
        replica: &Replica,
        deltas: &Deltas,
        doomed: &[String],
        now: Instant,
    ) -> (bool, Result<(), SyncError>) {
        let archived = self.archive(replica, deltas, doomed).await;
        let failing = archived.is_err().then(|| self.failing.unwrap_or(now));
        self.failing = failing;
        let is_over = failing.is_none_or(|since| now.duration_since(since) >= PATIENCE);
        (is_over, archived)
    }

    /// Puts into history what the deltas say of these objects, which may go then, and the snapshots with which own deltas begin. `deltas`: all
    /// that there are.
    async fn archive(
        &mut self,
        replica: &Replica,
        deltas: &Deltas,
        doomed: &[String],
    ) -> Result<(), SyncError> {
        let (database, own) = (replica.database(), &replica.own);
        let (store, folder) = (&*replica.store, replica.env.folder());
        let of_own: Vec<_> = deltas.of(own).map(|(name, _)| name.clone()).collect();
        for start in of_own.iter().filter(|name| name.since() == name.time()) {
            let catalog = self.catalog(replica, Instant::now()).await?;
            // What was written before it began anew comes first, else it would count as told by the snapshot.
            let before = of_own.iter().filter(|name| name.time() <= start.time());
            archive(store, folder, database, own, before.cloned(), catalog).await?;
            archive_start(store, folder, database, (own, start.time()), catalog).await?;
        }
        let mut deltas = BTreeMap::<String, Vec<DeltaName>>::new();
        for name in doomed
            .iter()
            .filter_map(|name| DeltaName::parse(database, name).ok())
        {
            deltas.entry(name.instance().to_owned()).or_default().push(name);
        }
        if deltas.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog(replica, Instant::now()).await?;
        // An agent of an earlier release has removed what it wrote before.
        let is_first = deltas.contains_key(own) && catalog.of(own).next().is_none();
        for (instance, deltas) in deltas {
            archive(store, folder, database, &instance, deltas, catalog).await?;
        }
        self.joins |= is_first;
        Ok(())
    }

    /// Puts own segments together, takes a base snapshot when it is time for one, and removes what is too old. `place`: how many
    /// instances do before this one what one does for all; `now_ns`: ns since the epoch.
    pub(super) async fn tidy(
        &mut self,
        replica: &Replica,
        place: u32,
        (now, now_ns): (Instant, u64),
    ) -> Result<(), SyncError> {
        let (database, folder) = (replica.database(), replica.env.folder());
        let (store, keep) = (&*replica.store, self.keep);
        let every = if replica.state().lightning_stream.is_empty() {
            keep / 2
        } else {
            // What it writes is in no delta: only base snapshots tell of it.
            HOUR
        };
        let (joins, mut damaged) = (self.joins, Vec::new());
        let apart = self.apart.clone();
        let catalog = self.catalog(replica, now).await?;
        for names in catalog.to_compact(&replica.own, &apart, now_ns) {
            match compact(store, folder, database, &names, catalog).await {
                // Whoever reads the history is told.
                Err(HistoryError::Damaged(name, error)) => {
                    tracing::warn!(%name, %error, "cannot put this with other segments of history");
                    damaged.push(name);
                }
                done => done?,
            }
        }
        let lacks_some = |catalog: &Catalog| joins || catalog.has_gap_since_base(&replica.own);
        let is_due = |catalog: &Catalog| {
            catalog.base_is_due(every.max(HOUR), now_ns)
                || catalog.base_is_due(HOUR, now_ns) && lacks_some(catalog)
        };
        let (due, expired) = (is_due(catalog), catalog.expired(keep, now_ns));
        let place_of_base = if lacks_some(catalog) { 0 } else { place };
        self.apart.extend(damaged);
        if self.base.is_ours(due, place_of_base, now) {
            let catalog = self.look(replica, now).await?;
            if is_due(catalog)
                && let Some((dump, time)) = replica.base().await?
            {
                let name = BaseName::new(database, &replica.own, time)?;
                let stored = store.put(name.as_str(), dump.object).await;
                stored.map_err(HistoryError::from)?;
                tracing::info!(%database, %name, dump.size, dump.entries, "stored a base snapshot for the history");
                catalog.add_base(name);
                self.joins = false;
            }
        }
        let none = self.catalog(replica, now).await?.bases().next().is_none();
        self.is_to_begin = none && place == 0;
        let is_any = !expired.bases.is_empty() || !expired.segments.is_empty();
        if self.thinning.is_ours(is_any, place, now) {
            let catalog = self.catalog(replica, now).await?;
            for name in expired.bases {
                store.delete(name.as_str()).await?;
                catalog.remove_base(&name);
            }
            for name in expired.segments {
                store.delete(name.as_str()).await?;
                catalog.remove_segment(&name);
            }
        }
        Ok(())
    }

    /// What there is, as of the last look.
    async fn catalog(&mut self, replica: &Replica, now: Instant) -> Result<&mut Catalog, SyncError> {
        let known = self
            .known
            .take_if(|(_, at)| now.saturating_duration_since(*at) < LOOK);
        match known {
            Some(known) => Ok(&mut self.known.insert(known).0),
            None => self.look(replica, now).await,
        }
    }

    async fn look(&mut self, replica: &Replica, now: Instant) -> Result<&mut Catalog, SyncError> {
        let database = replica.database();
        let list = async |folder: String| replica.store.list(&folder).await.map_err(HistoryError::from);
        let segments = list(SegmentName::folder(database)).await?;
        let bases = list(BaseName::folder(database)).await?;
        let catalog = Catalog::sort(database, &segments, &bases);
        Ok(&mut self.known.insert((catalog, now)).0)
    }
}

/// The shortest history that is kept: what is asked for is seldom younger than a day.
pub const LEAST: Duration = Duration::from_nanos(DAY);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_does_for_all_the_next_does_when_it_stays_undone() {
        let (mut duty, start) = (Duty::default(), Instant::now());
        assert!(duty.is_ours(true, 0, start));
        assert!(!duty.is_ours(true, 1, start));
        assert!(!duty.is_ours(true, 1, start + TURN / 2));
        assert!(duty.is_ours(true, 1, start + TURN));
        assert!(!duty.is_ours(false, 1, start + TURN));
        assert!(!duty.is_ours(true, 1, start + 2 * TURN));
    }
}
