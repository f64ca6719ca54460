//! A clock that was set back leaves entries ahead of it that no merge had to note ([`super::ahead`]). They are noted as soon as that is
//! seen, and when an agent starts, for it may have happened before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::ahead::Ahead;
use super::replica::{Clock, Replica};
use super::settle::PAUSE;
use crate::lmdb::{Environment, LmdbError};
use crate::snapshot::is_private_dbi;

/// Most entries that are noted in one transaction, for PowerDNS waits for it.
const BATCH: usize = 5_000;
/// Time before it is tried again what could not be noted, as in a map that is full: all entries are looked at for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a clock showed.
pub(super) struct Shown {
    /// The latest time since the database was looked at. Locked while the clock is read, so that it is known which time is the later.
    latest: Mutex<u64>,
    /// The clock may show an earlier time than the database has.
    behind: AtomicBool,
    /// Until when that is not looked at.
    rests_until: Mutex<Option<Instant>>,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            latest: Mutex::new(0),
            behind: AtomicBool::new(true),
            rests_until: Mutex::new(None),
        }
    }
}

impl Shown {
    /// The same clock, of which it is known what it showed.
    pub(super) fn watch(shown: &Arc<Self>, clock: Clock) -> Clock {
        let shown = shown.clone();
        Arc::new(move || {
            let mut latest = shown.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock();
            if *latest > now {
                shown.is_behind();
            }
            *latest = now.max(*latest);
            now
        })
    }

    /// The clock shows an earlier time than something that was written by it.
    pub(super) fn is_behind(&self) {
        self.behind.store(true, Ordering::Relaxed);
    }

    /// It may, and is to be looked at now.
    fn takes_a_look(&self) -> bool {
        let mut rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        *rests_until = None;
        self.behind.swap(false, Ordering::Relaxed)
    }

    /// It may still, and what that means could not be noted.
    fn looks_again_later(&self) {
        self.is_behind();
        let until = Instant::now() + PATIENCE;
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn forget(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }
}

impl Replica {
    /// Notes what is ahead of the clock if that was set back, or may have been while no agent ran.
    pub async fn look_at_the_clock(&self) {
        let _turn = self.turn.lock().await;
        self.look_if_behind().await;
    }

    /// The same; the caller has the turn.
    pub(super) async fn look_if_behind(&self) {
        self.own_clock();
        if !self.shown.takes_a_look() {
            return;
        }
        self.shown.forget();
        if self.state().kept().is_none() {
            drop(self.keep_a_state().await);
        }
        let (env, ahead) = (self.env.clone(), self.ahead());
        let earliest = ahead.earliest();
        let noted = spawn_blocking(move || {
            let mut txn_ids = Vec::new();
            let noted = note_all(&env, &ahead, earliest, &mut txn_ids);
            (noted, txn_ids)
        });
        let Ok((noted, txn_ids)) = noted.await else {
            return self.shown.looks_again_later();
        };
        self.absorb(&txn_ids);
        if let Err(error) = noted {
            self.shown.looks_again_later();
            tracing::warn!(
                database = %self.database(), %error,
                "cannot note what is ahead of the clock, will try again in a minute"
            );
        }
    }
}

/// Notes all entries with this time or a later one. `txn_ids`: the transactions of that, also if it fails later on.
fn note_all(env: &Environment, ahead: &Ahead, now: u64, txn_ids: &mut Vec<u64>) -> Result<(), LmdbError> {
    let reader = env.begin_read()?;
    let dbis = reader.dbis()?;
    reader.finish()?;
    for dbi in dbis.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
        let mut from = Vec::new();
        loop {
            let found =
                env.read(|reader| reader.find_after(dbi, &from, BATCH, |header| header.timestamp >= now))?;
            if found.is_empty() {
                break;
            }
            let mut writer = env.begin_write()?;
            let mut notes = ahead.notes(&writer)?;
            for (key, header) in &found {
                // PowerDNS may have put something over it since: that is later.
                notes.note_found(&mut writer, &dbi.name, key, *header)?;
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
