//! The own clocks, to compare the clocks of peers with.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::skew::Sample;

/// A moment by the wall clock (ns since the epoch) and by the steady one (ns since the start).
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub wall: i64,
    pub steady: i64,
}

pub(super) struct Clocks(Instant);

impl Clocks {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn read(&self) -> Moment {
        let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            wall: nanos(wall),
            steady: nanos(self.0.elapsed()),
        }
    }
}

/// What an answer says that has a peer's time in it, ns since the epoch; `None` for a time that no clock has.
pub(super) fn sample(time: u64, asked: Moment, answered: Moment) -> Option<Sample> {
    Some(Sample {
        time: i64::try_from(time).ok()?,
        grain: 0,
        sent: asked.wall,
        received: answered.wall,
        steady_sent: asked.steady,
        steady_received: answered.steady,
    })
}
