//! What there is of a database's history in the store, and what becomes of it: pure decisions.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::{Span, Spans};
use crate::snapshot::{BaseName, SegmentName};
use crate::store::Listed;

const SECOND: u64 = 1_000_000_000;
pub const HOUR: u64 = 3600 * SECOND;
pub const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// How long what ended is still added to.
const SETTLED: u64 = 10 * 60 * SECOND;
/// A state by a base snapshot needs segments from before it, of instances of which it does not say what it has: by so much.
pub(super) const SLACK: u64 = DAY;

/// Most bytes of segments that become one: whoever puts them together needs room for them.
const LARGEST: u64 = 256 << 20;
/// Times in names that are later than this, ns, are of a clock that is ahead.
const SOON: u64 = 60 * SECOND;

/// The segments and base snapshots of a database.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By instance, with their sizes in bytes.
    segments: BTreeMap<String, BTreeMap<SegmentName, u64>>,
    bases: BTreeSet<BaseName>,
}

/// What goes, because it is too old to be asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub segments: Vec<SegmentName>,
    pub bases: Vec<BaseName>,
}

impl Catalog {
    /// Sorts the names of two listings; what is neither is left out.
    pub fn sort(database: &str, segments: &[Listed], bases: &[Listed]) -> Self {
        let mut catalog = Self::default();
        for Listed { name, size, .. } in segments {
            match SegmentName::parse(database, name) {
                Ok(name) => catalog.add_segment(name, *size),
                Err(error) => tracing::debug!(%name, %error, "not a segment of history"),
            }
        }
        for Listed { name, .. } in bases {
            match BaseName::parse(database, name) {
                Ok(name) => catalog.add_base(name),
                Err(error) => tracing::debug!(%name, %error, "not a base snapshot"),
            }
        }
        catalog
    }

    /// Adds a segment of `size` bytes.
    pub fn add_segment(&mut self, name: SegmentName, size: u64) {
        let of = self.segments.entry(name.instance().to_owned()).or_default();
        of.insert(name, size);
    }

    pub fn add_base(&mut self, name: BaseName) {
        self.bases.insert(name);
    }

    pub fn remove_segment(&mut self, name: &SegmentName) {
        if let Some(of) = self.segments.get_mut(name.instance()) {
            of.remove(name);
        }
    }

    pub fn remove_base(&mut self, name: &BaseName) {
        self.bases.remove(name);
    }

    /// The base snapshots, the oldest first.
    pub fn bases(&self) -> impl DoubleEndedIterator<Item = &BaseName> {
        self.bases.iter()
    }

    /// The segments of an instance, by time.
    pub fn of(&self, instance: &str) -> impl Iterator<Item = &SegmentName> {
        self.segments.get(instance).into_iter().flat_map(BTreeMap::keys)
    }

    /// The instances that have segments.
    pub fn instances(&self) -> impl Iterator<Item = &String> {
        self.segments.keys()
    }

    /// What the segments of an instance have.
    pub fn spans(&self, instance: &str) -> Spans {
        let mut spans = Spans::default();
        for name in self.of(instance) {
            let (since, time) = (name.since(), name.time());
            spans.add(Span { since, time });
        }
        spans
    }

    /// Segments of an instance that become one each: those of an hour that is over, and later those of a day. Those of `apart` do not, and
    /// none becomes larger than [`LARGEST`]. `now`: ns since the epoch.
    pub fn to_compact(
        &self,
        instance: &str,
        apart: &BTreeSet<SegmentName>,
        now: u64,
    ) -> Vec<Vec<SegmentName>> {
        let mut all = Vec::new();
        for slot in [DAY, HOUR] {
            let mut slots = BTreeMap::<u64, Vec<(&SegmentName, u64)>>::new();
            let of = self.segments.get(instance).into_iter().flatten();
            for (name, size) in of.filter(|(name, _)| !apart.contains(*name)) {
                slots.entry(name.time() / slot).or_default().push((name, *size));
            }
            slots.retain(|slot_number, _| (slot_number + 1) * slot + SETTLED <= now);
            for names in slots.into_values() {
                all.extend(chains(&names).into_iter().filter(|chain| chain.len() > 1));
            }
            if !all.is_empty() {
                break;
            }
        }
        all
    }

    /// It is time for another base snapshot: `every` says how far they are apart. All in ns, `now` since the epoch.
    pub fn base_is_due(&self, every: u64, now: u64) -> bool {
        let known = self.bases.iter().map(BaseName::time).rev();
        let newest = known.filter(|time| *time <= now + SOON).max().unwrap_or(0);
        newest.saturating_add(every) <= now
    }

    /// Of what the instance wrote since the newest base snapshot something is in no segment, and was in no delta: it began anew.
    pub fn has_gap_since_base(&self, instance: &str) -> bool {
        let newest = self.bases.last().map_or(0, BaseName::time);
        let spans = self.spans(instance);
        let first = self
            .of(instance)
            .map(SegmentName::time)
            .find(|time| *time > newest);
        // What a segment from before it reaches over is no gap.
        first.is_some() && spans.gaps(newest).iter().any(|gap| gap.since > newest)
    }

    /// Of what was written between two base snapshots something is in no segment, so only the later one has it.
    fn closes_a_gap(&self, before: u64, base: u64) -> bool {
        self.segments.keys().any(|instance| {
            let gaps = self.spans(instance).gaps(before);
            gaps.iter().any(|gap| gap.since > before && gap.time <= base)
        })
    }

    /// What is not needed for any state of the last `keep`: base snapshots before the last one that is as old, and segments before it.
    /// Of the base snapshots since then one an hour stays, of those that are older than a day one a day, and then one a week.
    pub fn expired(&self, keep: u64, now: u64) -> Expired {
        let from = now.saturating_sub(keep);
        let mut expired = Expired::default();
        let oldest = self.bases.iter().rev().find(|base| base.time() <= from);
        let Some(oldest) = oldest.or(self.bases.first()) else {
            return expired;
        };
        let (mut last, mut before) = (None, oldest.time());
        for base in &self.bases {
            let age = now.saturating_sub(base.time());
            let slot = match age {
                ..DAY => HOUR,
                DAY..WEEK => DAY,
                _ => WEEK,
            };
            let of = (slot, base.time() / slot);
            // The first of a slot stays: the last one could be followed by another.
            let is_kept = base == oldest
                || base.time() > oldest.time()
                    && (last != Some(of) || self.closes_a_gap(before, base.time()));
            if is_kept {
                (last, before) = (Some(of), base.time());
            } else {
                expired.bases.push(base.clone());
            }
        }
        let before = oldest.time().saturating_sub(SLACK);
        let segments = self.segments.values().flat_map(BTreeMap::keys);
        expired.segments = segments.filter(|name| name.time() < before).cloned().collect();
        expired
    }
}

/// Names in order, split where something is missing between two, and where they would become too large.
fn chains(names: &[(&SegmentName, u64)]) -> Vec<Vec<SegmentName>> {
    let mut chains: Vec<Vec<SegmentName>> = Vec::new();
    let mut names = names.to_vec();
    names.sort_by_key(|(name, _)| (name.since(), name.time()));
    let (mut reached, mut total) = (0, 0);
    for (name, size) in names {
        match chains.last_mut() {
            Some(chain) if name.since() <= reached && total + size <= LARGEST => chain.push(name.clone()),
            _ => {
                chains.push(vec![name.clone()]);
                (reached, total) = (0, 0);
            }
        }
        reached = reached.max(name.time());
        total += size;
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_510_800 * SECOND / DAY * DAY;
    const MINUTE: u64 = 60 * SECOND;

    fn segment(since: u64, time: u64) -> SegmentName {
        SegmentName::new("main", "a", START + since, START + time).unwrap()
    }

    fn catalog(segments: &[(u64, u64)], bases: &[u64]) -> Catalog {
        let mut catalog = Catalog::default();
        for (since, time) in segments {
            catalog.add_segment(segment(*since, *time), 100);
        }
        for time in bases {
            catalog.add_base(BaseName::new("main", "a", START + time).unwrap());
        }
        catalog
    }

    fn none() -> BTreeSet<SegmentName> {
        BTreeSet::new()
    }

    fn spans(names: &[SegmentName]) -> Vec<(u64, u64)> {
        names
            .iter()
            .map(|name| ((name.since() - START) / MINUTE, (name.time() - START) / MINUTE))
            .collect()
    }

    #[test]
    fn segments_of_an_hour_that_is_over_become_one_unless_something_is_missing_between() {
        let five = |number: u64| (number * 5 * MINUTE, (number + 1) * 5 * MINUTE - 1);
        let touching: Vec<_> = (0..11).map(|n| (n * 5 * MINUTE, (n + 1) * 5 * MINUTE)).collect();
        let all = catalog(&touching, &[]);
        assert_eq!(all.to_compact("a", &none(), START + HOUR), Vec::<Vec<_>>::new());
        let groups = all.to_compact("a", &none(), START + HOUR + SETTLED);
        assert_eq!(groups.len(), 1);
        assert_eq!(spans(&groups[0]).len(), 11);
        // A chain that began anew.
        let apart = catalog(&[five(0), five(1)], &[]);
        assert_eq!(
            apart.to_compact("a", &none(), START + 2 * HOUR),
            Vec::<Vec<_>>::new()
        );
        assert_eq!(
            all.to_compact("b", &none(), START + 2 * HOUR),
            Vec::<Vec<_>>::new()
        );
    }

    #[test]
    fn hours_of_a_day_that_is_over_become_one() {
        let hours: Vec<_> = (0..23).map(|n| (n * HOUR, (n + 1) * HOUR)).collect();
        let all = catalog(&hours, &[]);
        assert_eq!(all.to_compact("a", &none(), START + DAY), Vec::<Vec<_>>::new());
        assert_eq!(all.to_compact("a", &none(), START + DAY + SETTLED)[0].len(), 23);
    }

    #[test]
    fn a_segment_that_is_in_a_longer_one_already_goes_with_it() {
        // The process ended before it removed what it had put together.
        let all = catalog(
            &[(0, 5 * MINUTE), (5 * MINUTE, 10 * MINUTE), (0, 10 * MINUTE)],
            &[],
        );
        let groups = all.to_compact("a", &none(), START + 2 * HOUR);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].len(), 3);
    }

    #[test]
    fn a_damaged_segment_keeps_no_others_apart_and_none_becomes_too_large() {
        let fives: Vec<_> = (0..6).map(|n| (n * 5 * MINUTE, (n + 1) * 5 * MINUTE)).collect();
        let mut all = catalog(&fives, &[]);
        let damaged = BTreeSet::from([segment(10 * MINUTE, 15 * MINUTE)]);
        let groups = all.to_compact("a", &damaged, START + 2 * HOUR);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
        all.add_segment(segment(15 * MINUTE, 20 * MINUTE), LARGEST);
        let groups = all.to_compact("a", &none(), START + 2 * HOUR);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn a_base_snapshot_that_closes_a_gap_is_not_thinned() {
        let hour = |n: u64| (n * HOUR, (n + 1) * HOUR);
        // Nothing tells what was written in the third hour.
        let all = catalog(
            &[hour(0), hour(1), hour(3), hour(4)],
            &[0, HOUR, 3 * HOUR, 4 * HOUR],
        );
        let expired = all.expired(30 * DAY, START + 20 * DAY);
        let gone: Vec<_> = expired
            .bases
            .iter()
            .map(|base| (base.time() - START) / HOUR)
            .collect();
        assert_eq!(gone, [1, 4]);
    }

    #[test]
    fn a_base_snapshot_of_a_clock_that_was_ahead_keeps_no_other_away() {
        assert!(catalog(&[], &[3 * DAY]).base_is_due(15 * DAY, START + DAY));
    }

    #[test]
    fn a_base_snapshot_is_due_when_the_last_one_is_old() {
        assert!(catalog(&[], &[]).base_is_due(15 * DAY, START));
        let one = catalog(&[], &[0]);
        assert!(!one.base_is_due(15 * DAY, START + 15 * DAY - 1));
        assert!(one.base_is_due(15 * DAY, START + 15 * DAY));
    }

    #[test]
    fn every_state_of_the_time_that_is_kept_can_still_be_made() {
        let keep = 30 * DAY;
        let mut bases = Vec::new();
        let mut all = Catalog::default();
        let mut most = 0;
        for day in 0..200 {
            let now = START + day * DAY;
            if all.base_is_due(keep / 2, now) {
                bases.push(now);
                all.add_base(BaseName::new("main", "a", now).unwrap());
            }
            all.add_segment(SegmentName::new("main", "a", now, now + DAY).unwrap(), 100);
            let expired = all.expired(keep, now);
            for base in &expired.bases {
                all.remove_base(base);
            }
            for segment in &expired.segments {
                all.remove_segment(segment);
            }
            let from = now.saturating_sub(keep).max(START);
            let base = all
                .bases()
                .rev()
                .find(|base| base.time() <= from)
                .expect("a base snapshot");
            assert!(
                all.spans("a").have(Span {
                    since: base.time(),
                    time: now + DAY
                }),
                "day {day}"
            );
            most = most.max(all.bases().count());
            assert!(all.of("a").count() <= 48, "day {day}: {}", all.of("a").count());
        }
        assert_eq!(most, 3);
    }

    #[test]
    fn frequent_base_snapshots_are_thinned_to_one_an_hour_a_day_and_a_week() {
        let bases: Vec<_> = (0..60 * 24 * 2).map(|half| half * HOUR / 2).collect();
        let all = catalog(&[], &bases);
        let now = START + 60 * DAY;
        let expired = all.expired(30 * DAY, now);
        let left: Vec<_> = bases
            .iter()
            .filter(|time| !expired.bases.iter().any(|base| base.time() == START + **time))
            .collect();
        let ages = |from: u64, to: u64| {
            left.iter()
                .filter(|time| (from..to).contains(&(60 * DAY - **time)))
                .count()
        };
        assert_eq!(ages(0, DAY), 24);
        assert!((6..=8).contains(&ages(DAY, WEEK)), "{}", ages(DAY, WEEK));
        assert!(
            (4..=6).contains(&ages(WEEK, 31 * DAY)),
            "{}",
            ages(WEEK, 31 * DAY)
        );
        assert_eq!(ages(31 * DAY, 61 * DAY), 0);
    }
}
