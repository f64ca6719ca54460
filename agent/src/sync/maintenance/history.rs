//! Keeping the history: what a cleaner is about to remove goes there first, and what is there is put together and thinned.

use std::collections::BTreeMap;
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
        }
    }

    /// There is no base snapshot, and nobody comes before this instance.
    pub(super) fn is_to_begin(&self) -> bool {
        self.is_to_begin
    }

    /// Puts into history what the deltas say of these objects, which may go then, and the snapshots with which own deltas begin. `deltas`: all
    /// that there are.
    pub(super) async fn archive(
        &mut self,
        replica: &Replica,
        deltas: &Deltas,
        doomed: &[String],
    ) -> Result<(), SyncError> {
        let (database, own) = (replica.database(), &replica.own);
        let starts = deltas
            .of(own)
            .map(|(name, _)| name)
            .filter(|name| name.since() == name.time());
        for time in starts.map(DeltaName::time) {
            let catalog = self.catalog(replica, Instant::now()).await?;
            // What is older is in there.
            let base = catalog
                .bases()
                .map(BaseName::time)
                .take_while(|base| *base < time)
                .last();
            let from = base.unwrap_or(0).saturating_sub(HOUR);
            let (store, folder) = (&*replica.store, replica.env.folder());
            archive_start(store, folder, database, (own, time), from, catalog).await?;
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
        for (instance, deltas) in deltas {
            let (store, folder) = (&*replica.store, replica.env.folder());
            archive(store, folder, database, &instance, deltas, catalog).await?;
        }
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
        let catalog = self.catalog(replica, now).await?;
        for names in catalog.to_compact(&replica.own, now_ns) {
            match compact(store, folder, database, &names, catalog).await {
                // Whoever reads them says which is damaged; they stay apart.
                Err(HistoryError::Decode(error)) => {
                    tracing::warn!(%database, %error, "cannot put segments of history together");
                }
                done => done?,
            }
        }
        let is_due = |catalog: &Catalog| {
            catalog.base_is_due(every.max(HOUR), now_ns)
                || catalog.base_is_due(HOUR, now_ns) && catalog.has_gap_since_base(&replica.own)
        };
        let (due, expired) = (is_due(catalog), catalog.expired(keep, now_ns));
        let place_of_base = if catalog.has_gap_since_base(&replica.own) {
            0
        } else {
            place
        };
        if self.base.is_ours(due, place_of_base, now) {
            let catalog = self.look(replica, now).await?;
            if is_due(catalog)
                && let Some((dump, time)) = replica.base().await?
            {
                let name = BaseName::new(database, &replica.own, time)?;
                store.put(name.as_str(), dump.object).await?;
                tracing::info!(%database, %name, dump.size, dump.entries, "stored a base snapshot for the history");
                catalog.add_base(name);
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
        let segments = replica.store.list(&SegmentName::folder(database)).await?;
        let bases = replica.store.list(&BaseName::folder(database)).await?;
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
