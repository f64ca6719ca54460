//! Spans of an instance's states, as they stand in the names of deltas and segments: pure.

/// What was written after the state of time `since` up to that of `time`, ns since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub since: u64,
    pub time: u64,
}

impl Span {
    /// From the beginning of the earlier to the end of the later one.
    pub fn with(self, other: Self) -> Self {
        Self {
            since: self.since.min(other.since),
            time: self.time.max(other.time),
        }
    }
}

/// Spans without those between, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Adds a span; what touches becomes one.
    pub fn add(&mut self, span: Span) {
        if span.since >= span.time {
            return;
        }
        let first = self.0.partition_point(|other| other.time < span.since);
        let touching = self.0[first..].partition_point(|other| other.since <= span.time);
        let mut whole = span;
        for other in self.0.drain(first..first + touching) {
            whole = whole.with(other);
        }
        self.0.insert(first, whole);
    }

    /// All of the span is in here.
    pub fn have(&self, span: Span) -> bool {
        let at = self.0.partition_point(|other| other.time < span.time);
        span.since >= span.time || self.0.get(at).is_some_and(|other| other.since <= span.since)
    }

    /// The state up to which everything after `from` is in here, and `from` where nothing is.
    pub fn reach(&self, from: u64) -> u64 {
        let on = self.0.iter().find(|span| span.since <= from && from < span.time);
        on.map_or(from, |span| span.time)
    }

    /// The end of the last one that ends at `time` or before.
    pub fn before(&self, time: u64) -> Option<u64> {
        let ended = self.0.iter().take_while(|span| span.time <= time);
        ended.last().map(|span| span.time)
    }

    /// What is missing after `from`, between one span and the next.
    pub fn gaps(&self, from: u64) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut at = from;
        for span in self.0.iter().filter(|span| span.time > from) {
            if span.since > at {
                let (since, time) = (at, span.since);
                gaps.push(Span { since, time });
            }
            at = span.time;
        }
        gaps
    }
}

/// Of spans those that have something which neither `known` nor the shorter ones before them have, in the order of their times.
pub(super) fn needed<T>(spans: Vec<(Span, T)>, mut known: Spans) -> Vec<(Span, T)> {
    let mut spans = spans;
    // Of two that end alike the shorter one first: it keeps more of the versions between.
    spans.sort_by_key(|(span, _)| (span.time, u64::MAX - span.since));
    spans.retain(|(span, _)| {
        let is_needed = !known.have(*span);
        known.add(*span);
        is_needed
    });
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(since: u64, time: u64) -> Span {
        Span { since, time }
    }

    fn spans(of: &[(u64, u64)]) -> Spans {
        let mut spans = Spans::default();
        for (since, time) in of {
            spans.add(span(*since, *time));
        }
        spans
    }

    #[test]
    fn spans_that_touch_become_one_and_gaps_stay() {
        let all = spans(&[(10, 12), (12, 15), (20, 21), (5, 5)]);
        assert!(all.have(span(11, 15)));
        assert!(!all.have(span(9, 12)));
        assert!(!all.have(span(14, 16)));
        assert_eq!(all.reach(10), 15);
        assert_eq!(all.reach(15), 15);
        assert_eq!(
            (all.before(14), all.before(15), all.before(99)),
            (None, Some(15), Some(21))
        );
        assert_eq!(all.gaps(10), [span(15, 20)]);
        assert_eq!(all.gaps(8), [span(8, 10), span(15, 20)]);
        assert_eq!(all.gaps(21), []);
    }

    #[test]
    fn a_long_span_is_needed_for_what_no_shorter_one_has() {
        let of = |of: &[(u64, u64)]| of.iter().map(|(since, time)| (span(*since, *time), ())).collect();
        let times = |needed: Vec<(Span, ())>| -> Vec<(u64, u64)> {
            needed.iter().map(|(span, ())| (span.since, span.time)).collect()
        };
        let all = of(&[(10, 14), (10, 11), (11, 12), (12, 13)]);
        assert_eq!(
            times(needed(all, Spans::default())),
            [(10, 11), (11, 12), (12, 13), (10, 14)]
        );
        let all = of(&[(10, 14), (10, 11), (11, 12), (12, 13), (13, 14)]);
        assert_eq!(times(needed(all, Spans::default())).len(), 4);
        let all = of(&[(10, 14), (14, 15)]);
        assert_eq!(times(needed(all, spans(&[(9, 14)]))), [(14, 15)]);
    }

    proptest! {
        #[test]
        fn a_point_is_in_the_spans_if_it_was_in_one_that_was_added(
            added in proptest::collection::vec((0..40_u64, 0..12_u64), 0..12)
        ) {
            let mut all = Spans::default();
            for (since, len) in &added {
                all.add(span(*since, since + len));
            }
            for point in 0..60_u64 {
                let is_in = added.iter().any(|(since, len)| *since <= point && point < since + len);
                prop_assert_eq!(all.have(span(point, point + 1)), is_in, "{}", point);
            }
            for (before, after) in all.0.iter().zip(&all.0[1.min(all.0.len())..]) {
                prop_assert!(before.time < after.since);
            }
        }
    }
}
