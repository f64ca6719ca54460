//! The own clocks: the one that tells the time and may be set, and the steady one, which nobody sets or slews.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// A moment by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// ns since the epoch.
    pub wall: i64,
    /// ns since any moment, without the time that the machine slept.
    pub steady: i64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let steady = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).map_or(Duration::ZERO, Duration::from);
        Self {
            wall: nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            steady: nanos(steady),
        }
    }
}
