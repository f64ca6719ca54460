//! The times of the own states.

/// How far ahead of the own clock a name's time may be for the sake of order, ns. Clocks that differ by more are seen later, not
/// never: whole listings show everything.
const MOST_LIFTED: u64 = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Times {
    /// The time of the newest own name, so that a clock set back cannot make a newer state look older.
    last_own: u64,
    /// The newest time of any instance's delta, but for those of clocks that are far off.
    newest_seen: u64,
}

impl Times {
    /// A time for the next own object: later than every own one, and than those of others as far as it can be.
    pub(super) fn next(&mut self, now: u64) -> u64 {
        let lifted = self.newest_seen.saturating_add(1);
        let lifted = lifted.min(now.saturating_add(MOST_LIFTED));
        self.last_own = now.max(self.last_own.saturating_add(1)).max(lifted);
        self.last_own
    }

    /// Deltas of these times are there, at `now`. One that is far ahead of it must not hide what all the others store.
    pub(super) fn saw(&mut self, times: impl IntoIterator<Item = u64>, now: u64) {
        let most = now.saturating_add(MOST_LIFTED);
        let newest = times.into_iter().filter(|time| *time <= most).max();
        self.newest_seen = self.newest_seen.max(newest.unwrap_or(0));
    }

    /// Others know an own state of this time.
    pub(super) fn own_is_known(&mut self, time: u64) {
        self.last_own = self.last_own.max(time);
    }

    pub(super) fn newest_seen(&self) -> u64 {
        self.newest_seen
    }
}

impl super::Log {
    /// Deltas of these times are there, at `now`.
    pub(in crate::sync) fn saw(&mut self, times: impl IntoIterator<Item = u64>, now: u64) {
        self.times.saw(times, now);
    }

    /// Others know an own state of this time: no later state may have its name.
    pub(in crate::sync) fn own_is_known(&mut self, time: u64) {
        self.times.own_is_known(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn names_are_later_than_all_own_ones_and_than_those_seen_unless_a_clock_is_far_off() {
        let mut times = Times::default();
        assert_eq!(times.next(100 * SECOND), 100 * SECOND);
        // The clock was set back.
        assert_eq!(times.next(50 * SECOND), 100 * SECOND + 1);
        times.newest_seen = 130 * SECOND;
        assert_eq!(times.next(100 * SECOND), 130 * SECOND + 1);
        times.saw([155 * SECOND, 1_000_000 * SECOND], 100 * SECOND);
        assert_eq!(times.next(100 * SECOND), 155 * SECOND + 1);
        times.newest_seen = 1_000_000 * SECOND;
        assert_eq!(times.next(100 * SECOND), 160 * SECOND);
    }

    #[test]
    fn times_at_the_end_of_all_times_do_no_harm() {
        let mut times = Times::default();
        times.own_is_known(u64::MAX);
        times.saw([u64::MAX], u64::MAX);
        assert_eq!(times.next(SECOND), u64::MAX);
    }
}
