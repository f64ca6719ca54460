//! How many zones were deleted here within a minute: an avalanche of deletions is held back before others are told. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

const MINUTE: u64 = 60_000_000_000;

/// By the zone's ID, when it was deleted, ns since the epoch, as PowerDNS has it.
pub(in crate::sync) type Deleted = BTreeMap<u32, u64>;

/// What the databases of one PowerDNS share.
#[derive(Debug, Default)]
pub struct Deletions(Mutex<DeletedZones>);

impl Deletions {
    /// Others are told of so many deleted zones within a minute; `None`: of all.
    pub fn at_most(most: Option<u32>) -> Self {
        Self(Mutex::new(DeletedZones::at_most(most)))
    }

    pub(in crate::sync) fn zones(&self) -> MutexGuard<'_, DeletedZones> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at whether what is held back in a database still has to be.
pub(in crate::sync) struct Look {
    /// When the next one is due.
    pub(in crate::sync) due: Instant,
    /// The zones whose deletion was let go by then.
    pub(in crate::sync) let_go: BTreeSet<u32>,
}

#[derive(Debug, Default)]
pub(in crate::sync) struct DeletedZones {
    /// Most that others are told of within a minute; `None`: all.
    most: Option<u32>,
    /// What others were told of, as long as it counts.
    told: Deleted,
    /// By database, what is held back in it.
    held: BTreeMap<String, Deleted>,
    /// Zones whose deletion may be told, however many they are.
    let_go: BTreeSet<u32>,
}

impl DeletedZones {
    fn at_most(most: Option<u32>) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    pub(in crate::sync) fn most(&self) -> Option<u32> {
        self.most
    }

    /// Whether others may be told of what was written to a database, in which these zones were deleted. If not it is held back until
    /// this is asked again.
    pub(in crate::sync) fn may_tell(&mut self, database: &str, deleted: &Deleted) -> bool {
        let Some(most) = self.most else { return true };
        let mut deleted = deleted.clone();
        deleted.retain(|zone, _| !self.let_go.contains(zone));
        let mut all = self.told.clone();
        all.extend(&deleted);
        if !deleted.is_empty() && most_within_a_minute(&all) > most as usize {
            self.held.insert(database.to_owned(), deleted);
            return false;
        }
        self.held.remove(database);
        let newest = all.values().copied().max().unwrap_or(0);
        self.told = all;
        self.told.retain(|_, time| newest - *time <= MINUTE);
        true
    }

    /// The deletion of these zones may be told, and counts no more.
    pub(in crate::sync) fn let_go(&mut self, zones: BTreeSet<u32>) {
        self.told.retain(|zone, _| !zones.contains(zone));
        self.let_go = zones;
    }

    /// What is held back in a database.
    pub(in crate::sync) fn is_held_in(&self, database: &str) -> bool {
        self.held.contains_key(database)
    }

    /// What is held back, of all databases; nothing: they may be told.
    pub(in crate::sync) fn held(&self) -> Deleted {
        let mut all = Deleted::new();
        for (zone, time) in self.held.values().flatten() {
            let first = all.entry(*zone).or_insert(*time);
            *first = (*first).min(*time);
        }
        all
    }
}

fn most_within_a_minute(deleted: &Deleted) -> usize {
    let mut times: Vec<u64> = deleted.values().copied().collect();
    times.sort_unstable();
    let within = times.iter().enumerate().map(|(first, start)| {
        let end = times.partition_point(|time| time - start.min(time) <= MINUTE);
        end - first
    });
    within.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = MINUTE / 60;

    fn zones(ids: impl IntoIterator<Item = u32>, time: u64) -> Deleted {
        ids.into_iter().map(|id| (id, time)).collect()
    }

    #[test]
    fn without_a_limit_everything_is_told() {
        let mut zones_of = DeletedZones::default();
        assert!(zones_of.may_tell("main", &zones(0..10_000, SECOND)));
        assert!(zones_of.held().is_empty());
    }

    #[test]
    fn as_many_as_are_allowed_are_told_within_a_minute_and_again_in_the_next() {
        let mut deletions = DeletedZones::at_most(Some(3));
        assert!(deletions.may_tell("main", &zones(0..2, 10 * SECOND)));
        assert!(deletions.may_tell("shard", &zones(2..3, 20 * SECOND)));
        // Its records, in a shard, and itself, in the main database, are one zone.
        assert!(deletions.may_tell("main", &zones(2..3, 21 * SECOND)));
        assert!(!deletions.may_tell("shard", &zones(3..4, 60 * SECOND)));
        assert!(deletions.may_tell("other", &zones(4..5, 82 * SECOND)));
    }

    #[test]
    fn what_was_written_over_hours_and_could_not_be_told_is_no_avalanche() {
        let mut deletions = DeletedZones::at_most(Some(3));
        let slow: Deleted = (0..100).map(|id| (id, u64::from(id) * 21 * SECOND)).collect();
        assert!(deletions.may_tell("main", &slow));
        let quick: Deleted = (0..100).map(|id| (id, u64::from(id) * 19 * SECOND)).collect();
        assert!(!DeletedZones::at_most(Some(3)).may_tell("main", &quick));
    }

    #[test]
    fn it_is_held_back_until_so_many_are_back_or_it_is_let_go() {
        let mut deletions = DeletedZones::at_most(Some(3));
        assert!(!deletions.may_tell("shard", &zones(0..9, 10 * SECOND)));
        assert!(deletions.is_held_in("shard") && !deletions.is_held_in("main"));
        assert_eq!(deletions.held().len(), 9);
        // Time alone changes nothing.
        assert!(!deletions.may_tell("shard", &zones(0..4, 10 * SECOND)));
        assert!(deletions.may_tell("shard", &zones(0..3, 10 * SECOND)));
        assert!(deletions.held().is_empty());
        assert!(!deletions.may_tell("shard", &zones(3..9, 11 * SECOND)));
        deletions.let_go((0..9).collect());
        assert!(deletions.may_tell("shard", &zones(0..9, 11 * SECOND)));
        // What is deleted later counts anew.
        assert!(deletions.may_tell("shard", &zones(9..12, 12 * SECOND)));
        assert!(!deletions.may_tell("shard", &zones(12..13, 12 * SECOND)));
    }

    #[test]
    fn what_tells_of_no_zone_is_told_while_another_database_is_held_back() {
        let mut deletions = DeletedZones::at_most(Some(0));
        assert!(!deletions.may_tell("shard", &zones(0..1, SECOND)));
        assert!(deletions.may_tell("main", &Deleted::new()));
        assert!(deletions.is_held_in("shard"));
    }
}
