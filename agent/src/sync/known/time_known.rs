//! What was known of the time at a moment, by which it is seen later whether a clock was set since; and how long somebody is waited
//! for who tells it.

use std::time::{Duration, Instant};

use super::fleet_time::{FAR, FleetTime};

/// Time that what peers tell, and what they are told, waits for somebody who tells the time.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the time.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) struct TimeKnown {
    own_clock: u64,
    when: Instant,
    /// How far the own clock is ahead of the fleet's time, ns.
    ahead: i64,
    /// How far the latest time that is believed is ahead of the own clock, ns.
    believes: i64,
}

impl TimeKnown {
    pub(in crate::sync) fn now(own_clock: u64, fleet: &FleetTime) -> Self {
        let latest = fleet.believable(own_clock).unwrap_or(own_clock);
        Self {
            own_clock,
            when: Instant::now(),
            ahead: fleet.ahead(),
            believes: latest.cast_signed().saturating_sub(own_clock.cast_signed()),
        }
    }

    /// Neither the own clock was set since nor one that it is compared with, and no less is believed.
    pub(in crate::sync) fn is_like(&self, later: &Self) -> bool {
        let passed = later.when.saturating_duration_since(self.when);
        let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        let shown = later.own_clock.abs_diff(self.own_clock.saturating_add(passed));
        shown <= FAR.unsigned_abs()
            && later.ahead.abs_diff(self.ahead) <= FAR.unsigned_abs()
            && later.believes >= self.believes.saturating_sub(FAR)
    }
}

/// Since when somebody is to tell the time.
#[derive(Default)]
pub(in crate::sync) struct Waits {
    since: Option<Instant>,
    /// Somebody has, in this run.
    was_told: bool,
}

impl Waits {
    /// Whether to wait on. `is_told`: somebody tells the time; `was_set`: the own clock was set since then.
    pub(in crate::sync) fn go_on(&mut self, is_told: bool, was_set: impl FnOnce() -> bool) -> bool {
        self.was_told |= is_told;
        if self.was_told && !was_set() {
            self.since = None;
            return false;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_are_looked_at_again_when_a_clock_was_set_or_less_is_believed_and_not_when_more_is() {
        let second = FAR;
        let known = |own_clock: u64, ahead: i64, believes: i64| TimeKnown {
            own_clock,
            when: Instant::now(),
            ahead,
            believes,
        };
        let start = 1_790_000_000_000_000_000;
        let before = known(start, 0, 0);
        assert!(before.is_like(&known(start + 1_000_000, second / 2, -second / 2)));
        assert!(
            before.is_like(&known(start, 0, 3_600 * second)),
            "as while nobody answers"
        );
        for later in [
            known(start + 3_600_000_000_000, 0, 0),
            known(start, 2 * second, 0),
            known(start, 0, -2 * second),
        ] {
            assert!(!before.is_like(&later), "{later:?}");
        }
    }
}
