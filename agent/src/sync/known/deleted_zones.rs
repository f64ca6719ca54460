//! How many zones were deleted here within a minute: an avalanche of deletions is held back before others are told. Pure.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

const MINUTE: u64 = 60_000_000_000;
/// In the place of a database.
const LAST_RUN: &str = "";

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
    /// The deletions that were let go by then.
    pub(in crate::sync) let_go: Deleted,
}

#[derive(Debug, Default)]
pub(in crate::sync) struct DeletedZones {
    /// Most that others are told of within a minute; `None`: all.
    most: Option<u32>,
    /// What others were told of, as long as it counts.
    told: Deleted,
    /// By database, what is held back in it.
    held: BTreeMap<String, Deleted>,
    /// Deletions that may be told, however many they are.
    let_go: Deleted,
    /// People are shown that something is held back.
    is_shown: bool,
    /// It was seen that nothing is, so what an earlier run showed is gone.
    has_looked: bool,
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
    /// this is asked again. `now`: ns since the epoch.
    pub(in crate::sync) fn may_tell(&mut self, database: &str, deleted: &Deleted, now: u64) -> bool {
        let Some(most) = self.most else { return true };
        // A clock may have been ahead.
        let mut deleted: Deleted = deleted
            .iter()
            .map(|(zone, time)| (*zone, now.min(*time)))
            .collect();
        deleted.retain(|zone, time| !self.has_let_go(*zone, *time));
        // As long as something is held back it counts: time alone changes nothing.
        if self.held.is_empty() {
            self.told.retain(|_, time| now.saturating_sub(*time) <= MINUTE);
        }
        let mut all = self.told.clone();
        all.extend(&deleted);
        if !deleted.is_empty() && most_within_a_minute(&all) > most as usize {
            self.held.insert(database.to_owned(), deleted);
            return false;
        }
        self.held.remove(database);
        self.told = all;
        true
    }

    /// A zone is deleted in two databases, one a moment after the other.
    fn has_let_go(&self, zone: u32, time: u64) -> bool {
        self.let_go
            .get(&zone)
            .is_some_and(|let_go| time <= let_go.saturating_add(MINUTE))
    }

    /// An earlier run held these back after it had told of others: they are held back until `still_held` says otherwise.
    pub(in crate::sync) fn hold_of_the_last_run(&mut self, deleted: Deleted, told: Deleted) {
        if self.most.is_some() && !deleted.is_empty() {
            self.held.insert(LAST_RUN.to_owned(), deleted);
            self.told.extend(told);
        }
    }

    pub(in crate::sync) fn of_the_last_run(&self) -> Option<&Deleted> {
        self.held.get(LAST_RUN)
    }

    /// Of those that an earlier run held back these are still gone.
    pub(in crate::sync) fn still_held(&mut self, deleted: &Deleted) {
        let left = deleted
            .iter()
            .filter(|(zone, time)| !self.has_let_go(**zone, **time));
        let left: Deleted = left.map(|(zone, time)| (*zone, *time)).collect();
        let mut all = self.told.clone();
        all.extend(&left);
        if !left.is_empty() && most_within_a_minute(&all) > self.most.map_or(usize::MAX, |most| most as usize)
        {
            self.held.insert(LAST_RUN.to_owned(), left);
        } else {
            self.held.remove(LAST_RUN);
        }
    }

    /// Whether what people were shown is to be taken away, once nothing is held back.
    pub(in crate::sync) fn is_to_be_hidden(&mut self) -> bool {
        let is_held = !self.held.is_empty();
        let was_held = std::mem::replace(&mut self.is_shown, is_held);
        !is_held && (was_held || !std::mem::replace(&mut self.has_looked, true))
    }

    /// These deletions may be told, and count no more.
    pub(in crate::sync) fn let_go(&mut self, deleted: Deleted) {
        self.let_go = deleted;
        let told = std::mem::take(&mut self.told).into_iter();
        self.told = told
            .filter(|(zone, time)| !self.has_let_go(*zone, *time))
            .collect();
    }

    /// What is held back in a database.
    pub(in crate::sync) fn is_held_in(&self, database: &str) -> bool {
        self.held.contains_key(database)
    }

    /// What others were told of, as long as it counts.
    pub(in crate::sync) fn told(&self) -> &Deleted {
        &self.told
    }

    pub(in crate::sync) fn holds_anything(&self) -> bool {
        !self.held.is_empty()
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

    fn zones(ids: impl IntoIterator<Item = u32>, second: u64) -> Deleted {
        ids.into_iter().map(|id| (id, second * SECOND)).collect()
    }

    impl DeletedZones {
        /// As soon as they are deleted.
        fn tells(&mut self, database: &str, ids: std::ops::Range<u32>, second: u64) -> bool {
            self.may_tell(database, &zones(ids, second), second * SECOND)
        }
    }

    #[test]
    fn without_a_limit_everything_is_told() {
        let mut deletions = DeletedZones::default();
        assert!(deletions.tells("main", 0..10_000, 1));
        assert!(deletions.held().is_empty());
    }

    #[test]
    fn as_many_as_are_allowed_are_told_within_a_minute_and_again_in_the_next() {
        let mut deletions = DeletedZones::at_most(Some(3));
        assert!(deletions.tells("main", 0..2, 10));
        assert!(deletions.tells("shard", 2..3, 20));
        // Its records, in a shard, and itself, in the main database, are one zone.
        assert!(deletions.tells("main", 2..3, 21));
        assert!(deletions.tells("shard", 3..5, 71));
        assert!(!deletions.tells("other", 5..7, 80));
    }

    #[test]
    fn what_was_written_over_hours_and_could_not_be_told_is_no_avalanche() {
        let by =
            |pause: u64| -> Deleted { (0..100).map(|id| (id, u64::from(id) * pause * SECOND)).collect() };
        assert!(DeletedZones::at_most(Some(3)).may_tell("main", &by(21), 3_000 * SECOND));
        assert!(!DeletedZones::at_most(Some(3)).may_tell("main", &by(19), 3_000 * SECOND));
    }

    #[test]
    fn a_deletion_by_a_clock_that_was_ahead_counts_like_one_of_now() {
        let mut deletions = DeletedZones::at_most(Some(2));
        assert!(deletions.may_tell("main", &zones(0..1, 300), 10 * SECOND));
        for zone in 1..3 {
            assert_eq!(deletions.tells("main", zone..zone + 1, 11), zone == 1);
        }
    }

    #[test]
    fn it_is_held_back_until_so_many_are_back_or_it_is_let_go() {
        let mut deletions = DeletedZones::at_most(Some(3));
        assert!(deletions.tells("main", 20..22, 9));
        assert!(!deletions.tells("shard", 0..9, 10));
        assert!(deletions.is_held_in("shard") && !deletions.is_held_in("main"));
        assert_eq!(deletions.held().len(), 9);
        // Time alone changes nothing.
        assert!(!deletions.may_tell("shard", &zones(0..2, 10), 10_000 * SECOND));
        assert!(deletions.may_tell("shard", &zones(0..1, 10), 10_000 * SECOND));
        assert!(!deletions.holds_anything());
        assert!(!deletions.tells("shard", 0..9, 20_000));
        deletions.let_go(zones(0..9, 20_000));
        assert!(deletions.tells("shard", 0..9, 20_000));
        // What is deleted later counts anew, and so does what came back and is deleted again.
        assert!(deletions.tells("shard", 9..12, 20_001));
        assert!(!deletions.tells("shard", 12..13, 20_002));
        assert!(!deletions.tells("shard", 0..9, 30_000));
    }

    #[test]
    fn what_tells_of_no_zone_is_told_while_another_database_is_held_back() {
        let mut deletions = DeletedZones::at_most(Some(0));
        assert!(!deletions.tells("shard", 0..1, 1));
        assert!(deletions.tells("main", 0..0, 1));
        assert!(deletions.is_held_in("shard"));
    }

    #[test]
    fn what_the_last_run_held_back_is_held_until_so_many_are_back_or_let_go() {
        let mut deletions = DeletedZones::at_most(Some(3));
        deletions.hold_of_the_last_run(zones(0..9, 10), Deleted::new());
        assert!(deletions.holds_anything() && deletions.tells("main", 0..0, 11));
        deletions.still_held(&zones(0..5, 10));
        assert_eq!(deletions.held().len(), 5);
        deletions.let_go(zones(0..2, 10));
        deletions.still_held(&zones(0..5, 10));
        assert!(!deletions.holds_anything());
    }

    #[test]
    fn what_the_last_run_told_before_it_held_back_counts() {
        let mut deletions = DeletedZones::at_most(Some(3));
        deletions.hold_of_the_last_run(zones(3..5, 10), zones(0..3, 10));
        deletions.still_held(&zones(3..5, 10));
        assert!(deletions.holds_anything());
        assert!(!deletions.may_tell("shard", &zones(3..5, 10), 10_000 * SECOND));
        deletions.still_held(&Deleted::new());
        assert!(deletions.of_the_last_run().is_none());
    }

    #[test]
    fn what_an_earlier_run_showed_is_hidden_once_and_again_after_each_hold() {
        let mut deletions = DeletedZones::at_most(Some(3));
        assert!(deletions.is_to_be_hidden() && !deletions.is_to_be_hidden());
        assert!(!deletions.tells("main", 0..9, 1) && !deletions.is_to_be_hidden());
        assert!(deletions.tells("main", 0..1, 1));
        assert!(deletions.is_to_be_hidden() && !deletions.is_to_be_hidden());
    }
}
