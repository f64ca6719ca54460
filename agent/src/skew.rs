//! How far the own clock is from another one, by the time that its answers have: the `Date` of a store's, or what a peer says.
//! Pure: all times are passed in.
//!
//! A `Date` has whole seconds, so one answer tells the difference to a second and the time that the answer took. What
//! several answers say is true at a time: each narrows the interval further.

use std::fmt;

/// NTP slews a clock by at most this many parts in a million, and clocks without it are better than that.
const DRIFT_PPM: i64 = 500;
/// A step of the own clock from which on what was known before does not count any more, ns.
const STEP: i64 = 10_000_000;

/// An answer, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The other clock's time in it, ns since the epoch, and how much of it is cut off at most.
    pub time: i64,
    pub grain: i64,
    /// When it was asked for and when it came, by the wall clock, ns since the epoch.
    pub sent: i64,
    pub received: i64,
    /// The same by the steady clock, ns since any moment.
    pub steady_sent: i64,
    pub steady_received: i64,
}

/// How far the own clock is ahead of the other, as an interval in ns; negative when it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    low: i64,
    high: i64,
    /// When it was measured last, by the own clock, ns since the epoch.
    pub measured: u64,
}

impl Skew {
    /// Two numbers that the difference is between.
    pub fn between(low: i64, high: i64) -> Self {
        Self {
            low,
            high,
            measured: 0,
        }
    }

    pub fn low(&self) -> i64 {
        self.low
    }

    pub fn high(&self) -> i64 {
        self.high
    }

    /// The middle of the interval.
    pub fn ahead(&self) -> i64 {
        self.low + (self.high - self.low) / 2
    }

    /// How far the truth may be from the middle.
    pub fn uncertainty(&self) -> i64 {
        (self.high - self.low + 1) / 2
    }

    /// The smallest difference, in whichever direction, that the interval allows.
    pub fn at_least(&self) -> i64 {
        self.low.max(-self.high).max(0)
    }

    /// Both can be true.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = |nanos: i64| {
            let tenths = (nanos.unsigned_abs() + 50_000_000) / 100_000_000;
            format!("{}.{} s", tenths / 10, tenths % 10)
        };
        if self.at_least() == 0 {
            let most = self.high.max(-self.low);
            return write!(f, "this clock agrees with the store's (to {})", tenths(most));
        }
        let ahead = self.ahead();
        let direction = if ahead < 0 { "behind" } else { "ahead of" };
        write!(
            f,
            "this clock is {} {direction} the store's (give or take {})",
            tenths(ahead),
            tenths(self.uncertainty())
        )
    }
}

/// What the answers so far say.
#[derive(Debug, Default)]
pub(crate) struct Estimator(Option<Estimate>);

#[derive(Debug, Clone, Copy)]
struct Estimate {
    low: i64,
    high: i64,
    received: i64,
    steady_received: i64,
}

impl Estimator {
    pub(crate) fn observe(&mut self, sample: &Sample) {
        let took = sample.steady_received.saturating_sub(sample.steady_sent);
        // When it was asked for, by the clock as it is now: it may have been set in between, or the machine slept.
        let sent = sample.sent.min(sample.received.saturating_sub(took));
        let low = sent.saturating_sub(sample.time).saturating_sub(sample.grain);
        let high = sample.received.saturating_sub(sample.time);
        let kept = self
            .0
            .and_then(|last| last.until(sample.received, sample.steady_received));
        let (low, high) = match kept {
            Some((old_low, old_high)) if old_low.max(low) <= old_high.min(high) => {
                (old_low.max(low), old_high.min(high))
            }
            // One of the clocks was set, or another server answered: the newest answer is all there is.
            _ => (low, high),
        };
        self.0 = Some(Estimate {
            low,
            high,
            received: sample.received,
            steady_received: sample.steady_received,
        });
    }

    #[cfg(test)]
    pub(crate) fn skew(&self) -> Option<Skew> {
        self.0.map(|estimate| Skew {
            low: estimate.low,
            high: estimate.high,
            measured: u64::try_from(estimate.received).unwrap_or(0),
        })
    }

    /// The same as it is at a time by the wall clock and the steady one, ns; `None` when the own clock was set since the last
    /// answer.
    pub(crate) fn skew_at(&self, wall: i64, steady: i64) -> Option<Skew> {
        let estimate = self.0?;
        let (low, high) = estimate.until(wall, steady)?;
        Some(Skew {
            low,
            high,
            measured: u64::try_from(estimate.received).unwrap_or(0),
        })
    }
}

impl Estimate {
    /// What is left of it at a later time by the own clocks: they drift apart from the other. `None` when the own one was set.
    fn until(&self, wall: i64, steady: i64) -> Option<(i64, i64)> {
        let elapsed = steady.saturating_sub(self.steady_received).max(0);
        let shown = wall.saturating_sub(self.received);
        let step = shown.saturating_sub(elapsed).saturating_abs();
        let drift = step.saturating_add(elapsed / 1_000_000 * DRIFT_PPM);
        (step <= STEP).then(|| (self.low.saturating_sub(drift), self.high.saturating_add(drift)))
    }
}

#[cfg(test)]
mod tests;
