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

/// The segments and base snapshots of a database.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    segments: BTreeMap<String, BTreeSet<SegmentName>>,
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
        for Listed { name, .. } in segments {
            match SegmentName::parse(database, name) {
                Ok(name) => catalog.add_segment(name),
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

    pub fn add_segment(&mut self, name: SegmentName) {
        let of = self.segments.entry(name.instance().to_owned()).or_default();
        of.insert(name);
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
        self.segments.get(instance).into_iter().flatten()
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

    /// Segments of an instance that become one each: those of an hour that is over, and later those of a day. `now`: ns since the epoch.
    pub fn to_compact(&self, instance: &str, now: u64) -> Vec<Vec<SegmentName>> {
        let mut all = Vec::new();
        for slot in [DAY, HOUR] {
            let mut slots = BTreeMap::<u64, Vec<&SegmentName>>::new();
            for name in self.of(instance) {
                slots.entry(name.time() / slot).or_default().push(name);
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
        let newest = self.bases.last().map_or(0, BaseName::time);
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

    /// What is not needed for any state of the last `keep`: base snapshots before the last one that is as old, and segments before it.
    /// Of the base snapshots since then one an hour stays, of those that are older than a day one a day, and then one a week.
    pub fn expired(&self, keep: u64, now: u64) -> Expired {
        let from = now.saturating_sub(keep);
        let mut expired = Expired::default();
        let oldest = self.bases.iter().rev().find(|base| base.time() <= from);
        let Some(oldest) = oldest.or(self.bases.first()) else {
            return expired;
        };
        let mut last = None;
        for base in &self.bases {
            let age = now.saturating_sub(base.time());
            let slot = match age {
                ..DAY => HOUR,
                DAY..WEEK => DAY,
                _ => WEEK,
            };
            let of = (slot, base.time() / slot);
            // The first of a slot stays: the last one could be followed by another.
            let is_kept = base == oldest || (base.time() > oldest.time() && last != Some(of));
            if is_kept {
                last = Some(of);
            } else {
                expired.bases.push(base.clone());
            }
        }
        let before = oldest.time().saturating_sub(SLACK);
        let segments = self.segments.values().flatten();
        expired.segments = segments.filter(|name| name.time() < before).cloned().collect();
        expired
    }
}

/// Names in order, without those that another has in it, split where something is missing between two.
fn chains(names: &[&SegmentName]) -> Vec<Vec<SegmentName>> {
    let mut chains: Vec<Vec<SegmentName>> = Vec::new();
    let mut names = names.to_vec();
    names.sort_by_key(|name| (name.since(), name.time()));
    for name in names {
        let reached = chains
            .last()
            .and_then(|chain| chain.iter().map(SegmentName::time).max());
        match chains.last_mut() {
            Some(chain) if reached.is_some_and(|reached| name.since() <= reached) => chain.push(name.clone()),
            _ => chains.push(vec![name.clone()]),
        }
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
            catalog.add_segment(segment(*since, *time));
        }
        for time in bases {
            catalog.add_base(BaseName::new("main", "a", START + time).unwrap());
        }
        catalog
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
        assert_eq!(all.to_compact("a", START + HOUR), Vec::<Vec<_>>::new());
        let groups = all.to_compact("a", START + HOUR + SETTLED);
        assert_eq!(groups.len(), 1);
        assert_eq!(spans(&groups[0]).len(), 11);
        // A chain that began anew.
        let apart = catalog(&[five(0), five(1)], &[]);
        assert_eq!(apart.to_compact("a", START + 2 * HOUR), Vec::<Vec<_>>::new());
        assert_eq!(all.to_compact("b", START + 2 * HOUR), Vec::<Vec<_>>::new());
    }

    #[test]
    fn hours_of_a_day_that_is_over_become_one() {
        let hours: Vec<_> = (0..23).map(|n| (n * HOUR, (n + 1) * HOUR)).collect();
        let all = catalog(&hours, &[]);
        assert_eq!(all.to_compact("a", START + DAY), Vec::<Vec<_>>::new());
        assert_eq!(all.to_compact("a", START + DAY + SETTLED)[0].len(), 23);
    }

    #[test]
    fn a_segment_that_is_in_a_longer_one_already_goes_with_it() {
        // The process ended before it removed what it had put together.
        let all = catalog(
            &[(0, 5 * MINUTE), (5 * MINUTE, 10 * MINUTE), (0, 10 * MINUTE)],
            &[],
        );
        let groups = all.to_compact("a", START + 2 * HOUR);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].len(), 3);
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
            all.add_segment(SegmentName::new("main", "a", now, now + DAY).unwrap());
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
