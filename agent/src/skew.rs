//! How far the own clock is from another one, by the time that its answers have: the `Date` of a store's, or what a peer says.
//! Pure: all times are passed in.
//!
//! A `Date` has whole seconds, so one answer tells the difference to a second and the time that the answer took. What
//! several answers say is true at a time: each narrows the interval further.

use std::fmt;

use crate::clocks::Moment;

/// NTP slews a clock by at most this many parts in a million, and clocks without it are better than that.
const DRIFT_PPM: i64 = 500;
/// A difference between the own clocks from which on the one was set, ns; below, they drift apart.
const STEP: i64 = 10_000_000;
/// The first answer is believed alone where the own clock is off by no more than this, ns.
const NEAR: i64 = 1_000_000_000;
/// Answers that must agree with each other to be believed against what is known, and the time that they must be spread over, ns: a
/// single wrong one, as from somebody between, changes nothing.
const ANSWERS: u32 = 3;
const SPREAD: i64 = 10_000_000_000;
/// No clock that runs says an earlier time than the first day of 2020, nor a later one than that of 2200, ns since the epoch.
const TIMES: std::ops::Range<i64> = 1_577_836_800_000_000_000..7_258_118_400_000_000_000;

/// An answer, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The other clock's time in it, ns since the epoch, and how much of it is cut off at most.
    pub time: i64,
    pub grain: i64,
    pub asked: Moment,
    pub answered: Moment,
}

impl Sample {
    /// What an answer says that has a time in it, ns since the epoch; `None` for one that no clock has.
    pub(crate) fn exact(time: u64, asked: Moment, answered: Moment) -> Option<Self> {
        Some(Self {
            time: i64::try_from(time).ok()?,
            grain: 0,
            asked,
            answered,
        })
    }

    fn estimate(&self) -> Estimate {
        let took = self.answered.steady.saturating_sub(self.asked.steady);
        // When it was asked for, by the clock as it is now: it may have been set in between, or the machine slept.
        let asked = self.asked.wall.min(self.answered.wall.saturating_sub(took));
        Estimate {
            low: asked.saturating_sub(self.time).saturating_sub(self.grain),
            high: self.answered.wall.saturating_sub(self.time),
            when: self.answered,
        }
    }
}

/// How far the own clock is ahead of the other, as an interval in ns; negative when it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    low: i64,
    high: i64,
    /// When it was measured last, by the own clock, ns since the epoch.
    pub measured: u64,
    /// More than one answer says so, or there is no difference to speak of.
    pub sure: bool,
    /// The own clock was set since the last answer, by so much that it matters.
    pub was_set: bool,
    /// The least that it may be by answers that are not believed yet.
    least: i64,
}

impl Skew {
    /// Two numbers that the difference is between.
    pub fn between(low: i64, high: i64) -> Self {
        Self {
            low,
            high,
            measured: 0,
            sure: true,
            was_set: false,
            least: low,
        }
    }

    /// The least that it may be, also by answers that are not believed yet.
    pub(crate) fn least(&self) -> i64 {
        self.least
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

/// What the answers so far say. When the own clock is set, nobody knows at first whether it was right before that or is now, as where a
/// machine was frozen: by the steady clock it is known what it can be.
#[derive(Debug, Default)]
pub(crate) struct Estimator {
    known: Option<Estimate>,
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    low: i64,
    high: i64,
    when: Moment,
}

/// Answers that do not agree with what is known.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// What the last of them say, which agree with each other, and how many those are.
    says: Estimate,
    agreeing: u32,
    /// All of them, and since when, by the steady clock, ns.
    answers: u32,
    since: i64,
}

impl Estimator {
    pub(crate) fn observe(&mut self, sample: &Sample) {
        if !TIMES.contains(&sample.time) {
            return;
        }
        let new = sample.estimate();
        if let Some(known) = self.known.and_then(|known| known.narrowed(&new)) {
            (self.known, self.doubt) = (Some(known), None);
            return;
        }
        let steady = new.when.steady;
        let (before, known) = (self.doubt.take(), self.known.is_some());
        let doubt = match before.and_then(|doubt| Some((doubt, doubt.says.narrowed(&new)?))) {
            Some((doubt, says)) => Doubt {
                says,
                agreeing: doubt.agreeing.saturating_add(1),
                ..doubt
            },
            None => Doubt {
                says: new,
                agreeing: 1,
                answers: before.map_or(0, |doubt| doubt.answers),
                since: before.map_or(steady, |doubt| doubt.since),
            },
        };
        let doubt = Doubt {
            answers: doubt.answers.saturating_add(1),
            ..doubt
        };
        let has_waited = doubt.answers >= ANSWERS && steady.saturating_sub(doubt.since) >= SPREAD;
        let agree = doubt.agreeing >= if known { ANSWERS } else { 2 };
        let is_near = !known && doubt.says.low.max(doubt.says.high.saturating_neg()) <= NEAR;
        if is_near || agree && (has_waited || !known) {
            self.known = Some(doubt.says);
            return;
        }
        if has_waited {
            // What was known is certainly not so any more, and what is, they do not agree on.
            self.known = None;
        }
        self.doubt = Some(doubt);
    }

    /// How far the own clock is ahead at a moment; `None` before the first answer.
    pub(crate) fn at(&self, now: Moment) -> Option<Skew> {
        let doubt = self.doubt.map(|doubt| doubt.says);
        let estimate = self.known.or(doubt)?;
        let Estimate { low, high, .. } = estimate.at(now);
        Some(Skew {
            low,
            high,
            measured: u64::try_from(estimate.when.wall).unwrap_or(0),
            sure: self.known.is_some(),
            was_set: estimate.apart(now).saturating_abs() > NEAR,
            least: doubt.map_or(low, |doubt| doubt.at(now).low.min(low)),
        })
    }
}

impl Estimate {
    /// By how much the own clock was set until a later moment, ns; 0 where it has drifted at most.
    fn was_set(&self, now: Moment) -> i64 {
        let apart = self.apart(now);
        if apart.saturating_abs() <= STEP { 0 } else { apart }
    }

    /// How much further the one own clock has gone than the other.
    fn apart(&self, now: Moment) -> i64 {
        let shown = now.wall.saturating_sub(self.when.wall);
        shown.saturating_sub(self.elapsed(now))
    }

    fn elapsed(&self, now: Moment) -> i64 {
        now.steady.saturating_sub(self.when.steady).max(0)
    }

    /// What is left of it at a later moment: the clocks drift apart, and the own one may be set.
    fn at(&self, now: Moment) -> Self {
        let drift = self.elapsed(now) / 1_000_000 * DRIFT_PPM;
        let (set, drift) = match self.was_set(now) {
            0 => (0, drift.saturating_add(self.apart(now).saturating_abs())),
            set => (set, drift),
        };
        Self {
            low: self.low.saturating_add(set.min(0)).saturating_sub(drift),
            high: self.high.saturating_add(set.max(0)).saturating_add(drift),
            when: now,
        }
    }

    /// What is left of both; `None` where they contradict each other.
    fn narrowed(&self, new: &Self) -> Option<Self> {
        let old = self.at(new.when);
        let (low, high) = (old.low.max(new.low), old.high.min(new.high));
        (low <= high).then_some(Self { low, high, ..*new })
    }
}

#[cfg(test)]
mod tests;
