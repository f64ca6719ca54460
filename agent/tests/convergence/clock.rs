//! The clock of a server, which its PowerDNS and its agent share.

use std::sync::{Arc, Mutex};

use super::server::{SECOND, Time};

/// Most that a clock is set ahead or back, ns.
pub(crate) const MOST_OFF: i64 = 3600 * SECOND.cast_signed();
/// Most that a clock is ahead of the time, ns: it was set ahead, and runs too fast.
pub(crate) const MOST_SKEW: u64 = 2 * MOST_OFF.unsigned_abs();

/// What happens to a clock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn {
    /// It is set, so far off in ns.
    Set(i64),
    /// It runs so many millionths too fast.
    Drift(i64),
    Stand,
    /// It runs on from where it stood.
    Run,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    offset: i64,
    /// The time since which it is off so far.
    since: u64,
    drift: i64,
    stands_at: Option<u64>,
}

impl State {
    fn at(&self, now: u64) -> u64 {
        let passed = i64::try_from(now.saturating_sub(self.since)).unwrap_or(i64::MAX);
        let drifted = (passed / 1_000_000 * self.drift).clamp(-MOST_OFF, MOST_OFF);
        let running = now.strict_add_signed(self.offset + drifted);
        match self.stands_at {
            // It is found out and set in the end.
            Some(at) => at.max(now.strict_sub(MOST_OFF.unsigned_abs())),
            None => running,
        }
    }

    fn turn(&mut self, turn: Turn, now: u64) {
        let shown = self.at(now);
        match turn {
            Turn::Set(offset) => {
                *self = Self {
                    offset,
                    since: now,
                    drift: self.drift,
                    stands_at: None,
                }
            }
            Turn::Drift(drift) => {
                self.rebase(shown, now);
                self.drift = drift;
            }
            Turn::Stand => self.stands_at = Some(shown),
            Turn::Run => {
                if self.stands_at.take().is_some() {
                    self.rebase(shown, now);
                }
            }
        }
    }

    fn rebase(&mut self, shown: u64, now: u64) {
        let off = shown.cast_signed().strict_sub(now.cast_signed());
        self.offset = off.clamp(-MOST_OFF, MOST_OFF);
        self.since = now;
    }
}

/// A clock; clones show the same.
#[derive(Clone)]
pub(crate) struct Clock {
    time: Time,
    state: Arc<Mutex<State>>,
    /// The least that it may show, if it never goes back.
    least: Option<Arc<Mutex<u64>>>,
}

impl Clock {
    pub(crate) fn new(time: Time, goes_back: bool) -> Self {
        let least = (!goes_back).then(Arc::default);
        Self {
            time,
            state: Arc::default(),
            least,
        }
    }

    /// What it shows, ns since the epoch.
    pub(crate) fn now(&self) -> u64 {
        let now = self.state.lock().unwrap().at(self.time.now());
        match &self.least {
            Some(least) => {
                let mut least = least.lock().unwrap();
                *least = now.max(*least + 1);
                *least
            }
            None => now,
        }
    }

    /// What it should show.
    pub(crate) fn time(&self) -> u64 {
        self.time.now()
    }

    /// How far it is ahead, ns.
    pub(crate) fn ahead(&self) -> i64 {
        let time = self.time.now();
        let shown = self.state.lock().unwrap().at(time);
        let least = self.least.as_ref().map_or(0, |least| *least.lock().unwrap());
        shown.max(least).cast_signed() - time.cast_signed()
    }

    pub(crate) fn turn(&self, turn: Turn) {
        let now = self.time.now();
        let mut state = self.state.lock().unwrap();
        state.turn(turn, now);
        // It goes on from what it showed.
        if let Some(least) = &self.least {
            let least = *least.lock().unwrap();
            if state.at(now) < least {
                state.rebase(least, now);
            }
        }
    }
}

#[test]
fn a_clock_is_off_drifts_stands_and_runs_on_from_where_it_stood() {
    let time = Time::default();
    let (clock, start) = (Clock::new(time.clone(), true), time.now());
    clock.turn(Turn::Set(-5));
    assert_eq!(clock.now(), start - 5);
    clock.turn(Turn::Drift(1000));
    time.pass(SECOND);
    assert_eq!(clock.now(), start + SECOND - 5 + SECOND / 1000);
    clock.turn(Turn::Stand);
    let stood = clock.now();
    time.pass(SECOND);
    assert_eq!(clock.now(), stood);
    clock.turn(Turn::Run);
    time.pass(1);
    assert_eq!(clock.now(), stood + 1);
    // However long it stands, it is no more than an hour behind.
    clock.turn(Turn::Stand);
    time.pass(10_000 * SECOND);
    assert_eq!(clock.now(), time.now() - 3600 * SECOND);
    clock.turn(Turn::Drift(0));
    assert_eq!(clock.now(), time.now() - 3600 * SECOND);
}
