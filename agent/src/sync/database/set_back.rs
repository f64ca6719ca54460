//! A clock that was set back leaves entries ahead of it that no merge had to note ([`super::ahead`]): what it showed before, and noting
//! them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::settle::PAUSE;
use crate::clocks::Moment;
use crate::lmdb::{Environment, LmdbError};
use crate::snapshot::is_private_dbi;
use crate::sync::known::fleet_time::Clock;

/// Most entries that are noted in one transaction, for PowerDNS waits for it.
const BATCH: usize = 5_000;

/// Time before it is tried again what could not be noted, as in a map that is full: all entries are looked at for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a clock showed.
pub(in crate::sync) struct Shown {
    /// The latest time since the database was looked at. Locked while the clock is read, so that it is known which time is the later.
    latest: Mutex<Latest>,
    /// The clock may show an earlier time than the database has.
    behind: AtomicBool,
    /// Until when that is not looked at.
    rests_until: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Latest {
    /// ns since the epoch.
    time: u64,
    /// When that was, by the steady clock, ns.
    steady: i64,
    /// By how much the clock was set back since, ns.
    set_back: u64,
}

impl Latest {
    fn see(&mut self, time: u64, steady: i64) {
        if self.time > time {
            let passed = steady.saturating_sub(self.steady).max(0).unsigned_abs();
            self.set_back = self.time.saturating_add(passed).saturating_sub(time);
        } else {
            // Nothing that was written by it is ahead any more.
            *self = Self {
                time,
                steady,
                set_back: 0,
            };
        }
    }
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            latest: Mutex::default(),
            behind: AtomicBool::new(true),
            rests_until: Mutex::new(None),
        }
    }
}

impl Shown {
    /// The same clock, of which it is known what it showed.
    pub(in crate::sync) fn watch(shown: &Arc<Self>, clock: Clock) -> Clock {
        let shown = shown.clone();
        Arc::new(move || {
            let mut latest = shown.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock();
            if latest.time > now {
                shown.is_behind();
            }
            latest.see(now, Moment::now().steady);
            now
        })
    }

    /// The clock shows an earlier time than something that was written by it.
    pub(in crate::sync) fn is_behind(&self) {
        self.behind.store(true, Ordering::Relaxed);
    }

    /// It may, and is to be looked at now.
    pub(in crate::sync) fn takes_a_look(&self) -> bool {
        let mut rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        *rests_until = None;
        self.behind.swap(false, Ordering::Relaxed)
    }

    /// It may still, and what that means could not be noted.
    pub(in crate::sync) fn looks_again_later(&self) {
        self.is_behind();
        let until = Instant::now() + PATIENCE;
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// What it showed does not count any more. Returns up to which time it was ahead, as far as that is known, and by how much, ns.
    pub(in crate::sync) fn forget(&self) -> WasAhead {
        let latest = std::mem::take(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        WasAhead {
            until: latest.time,
            by: latest.set_back,
        }
    }
}

/// By how much a clock that was set back was ahead before, ns, of what it shows now, and the latest time that it showed then.
#[derive(Clone, Copy)]
pub(in crate::sync) struct WasAhead {
    until: u64,
    by: u64,
}

impl WasAhead {
    fn at(self, time: u64) -> u64 {
        if time <= self.until { self.by } else { 0 }
    }
}

/// Notes all entries with this time or a later one. `txn_ids`: the transactions of that, also if it fails later on.
pub(in crate::sync) fn note_all(
    env: &Environment,
    ahead: &Ahead,
    (earliest, was_ahead): (u64, WasAhead),
    txn_ids: &mut Vec<u64>,
) -> Result<(), LmdbError> {
    let reader = env.begin_read()?;
    let dbis = reader.dbis()?;
    reader.finish()?;
    for dbi in dbis.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
        let mut from = Vec::new();
        loop {
            let found = env
                .read(|reader| reader.find_after(dbi, &from, BATCH, |header| header.timestamp >= earliest))?;
            if found.is_empty() {
                break;
            }
            let mut writer = env.begin_write()?;
            let mut notes = ahead.notes(&writer)?;
            for (key, header) in &found {
                // PowerDNS may have put something over it since: that is later.
                let was_ahead = was_ahead.at(header.timestamp);
                notes.note_found(&mut writer, &dbi.name, key, (*header, was_ahead))?;
            }
            txn_ids.extend(writer.commit()?);
            if found.len() == BATCH {
                std::thread::sleep(PAUSE);
            }
            match found.into_iter().next_back() {
                Some((last, _)) => from = last,
                None => break,
            }
        }
    }
    Ok(())
}
