//! Removing deletion marks that are so old that every instance must have seen them.

use std::time::{Duration, Instant};

use super::quarantine::{QUARANTINE_DBI, is_kept};
use crate::lmdb::header::Header;
use crate::lmdb::{Dbi, Environment, LmdbError, LmdbErrorKind};
use crate::snapshot::is_private_dbi;

/// Keys looked up under one reader before the first of them are removed.
const BATCH: usize = 10_000;

/// How old marks get, and how the sweeper shares the write lock with PowerDNS.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// Age from which a mark is removed.
    pub retention: Duration,
    /// Age from which a mark that comes in a snapshot is not taken any more: a little younger than `retention`, or marks
    /// would come back from instances that have not swept yet.
    pub load_cutoff: Duration,
    /// Longest time in one transaction, and the pause after it.
    pub lock: Duration,
    pub release: Duration,
}

impl Sweep {
    /// The time in ns since the epoch before which marks are removed.
    pub fn cutoff(&self, now_ns: u64) -> u64 {
        before(now_ns, self.retention)
    }

    /// The time in ns since the epoch before which a mark in a snapshot is not taken.
    pub fn oldest_mark(&self, now_ns: u64) -> u64 {
        before(now_ns, self.load_cutoff)
    }

    /// Whether others may have removed marks that a database has never seen which was last in sync at this time, ns since the epoch.
    /// All are a tenth of the retention apart at most: by their clocks, and by what a server learns late.
    pub(in crate::sync) fn outlives(&self, in_sync: u64, now_ns: u64) -> bool {
        in_sync < before(now_ns, self.retention / 10 * 9)
    }
}

fn before(now_ns: u64, age: Duration) -> u64 {
    now_ns.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
}

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub removed: u64,
    /// The transactions it took.
    pub txn_ids: Vec<u64>,
}

/// Removes all marks older than `cutoff`, ns since the epoch, but those that transactions after `newest` wrote.
///
/// # Errors
/// Those of LMDB; what was removed before stays removed.
pub fn sweep(env: &Environment, sweep: &Sweep, cutoff: u64, newest: u64) -> Result<Swept, LmdbError> {
    remove_all(env, sweep, |_, header| is_old(header, cutoff, newest))
}

/// A mark from before `cutoff`, ns since the epoch, that no transaction after `newest` wrote.
pub(in crate::sync) fn is_old(header: &Header, cutoff: u64, newest: u64) -> bool {
    header.deleted && header.timestamp < cutoff && header.txn_id <= newest
}

/// Removes all entries of which `goes` says so by their DBI and header.
///
/// # Errors
/// Those of LMDB; what was removed before stays removed.
pub(in crate::sync) fn remove_all(
    env: &Environment,
    sweep: &Sweep,
    goes: impl Fn(&str, &Header) -> bool,
) -> Result<Swept, LmdbError> {
    let (mut swept, mut search) = (Swept::default(), Search::begin(env)?);
    while let Some(mut found) = search.next(env, &goes)? {
        while !found.is_empty() {
            found.remove_some(env, sweep.lock, &goes, &mut swept)?;
            std::thread::sleep(sweep.release);
        }
    }
    Ok(swept)
}

/// A search for entries that are to go, through all DBIs.
pub(in crate::sync) struct Search {
    /// Those that are left, the next one last.
    dbis: Vec<Dbi>,
    from: Vec<u8>,
}

/// Some of them, of one DBI.
pub(in crate::sync) struct Found {
    dbi: Dbi,
    keys: Vec<Vec<u8>>,
    /// How many of them are done.
    done: usize,
}

impl Search {
    pub(in crate::sync) fn begin(env: &Environment) -> Result<Self, LmdbError> {
        let reader = env.begin_read()?;
        let mut dbis = reader.dbis()?;
        reader.finish()?;
        dbis.retain(|dbi| !is_private_dbi(&dbi.name));
        dbis.reverse();
        let from = Vec::new();
        Ok(Self { dbis, from })
    }

    /// The next ones of which `goes` says so by their DBI and header.
    pub(in crate::sync) fn next(
        &mut self,
        env: &Environment,
        goes: &impl Fn(&str, &Header) -> bool,
    ) -> Result<Option<Found>, LmdbError> {
        while let Some(dbi) = self.dbis.last() {
            let goes = |header: &Header| goes(&dbi.name, header);
            let old = env.read(|reader| reader.find_after(dbi, &self.from, BATCH, goes))?;
            let keys: Vec<_> = old.into_iter().map(|(key, _)| key).collect();
            let dbi = dbi.clone();
            match keys.last() {
                Some(last) if keys.len() >= BATCH => self.from.clone_from(last),
                _ => {
                    self.from.clear();
                    self.dbis.pop();
                }
            }
            if !keys.is_empty() {
                return Ok(Some(Found { dbi, keys, done: 0 }));
            }
        }
        Ok(None)
    }
}

impl Found {
    pub(in crate::sync) fn is_empty(&self) -> bool {
        self.done >= self.keys.len()
    }

    /// Removes some of them in one transaction, for as long as the lock may be held.
    pub(in crate::sync) fn remove_some(
        &mut self,
        env: &Environment,
        lock: Duration,
        goes: &impl Fn(&str, &Header) -> bool,
        swept: &mut Swept,
    ) -> Result<(), LmdbError> {
        let keys = self.keys.get(self.done..).unwrap_or_default();
        let goes = |header: &Header| goes(&self.dbi.name, header);
        self.done = self.keys.len() - remove(env, &self.dbi, keys, goes, lock, swept)?.len();
        Ok(())
    }
}

/// Removes keys for as long as the lock may be held, and returns the rest. PowerDNS may have written one of them again.
fn remove<'k>(
    env: &Environment,
    dbi: &Dbi,
    keys: &'k [Vec<u8>],
    goes: impl Fn(&Header) -> bool,
    lock: Duration,
    swept: &mut Swept,
) -> Result<&'k [Vec<u8>], LmdbError> {
    let mut writer = env.begin_write()?;
    let quarantine = writer.existing_dbi(QUARANTINE_DBI)?;
    let started = Instant::now();
    let mut done = 0;
    for key in keys {
        let goes = writer.get(dbi, key)?.is_some_and(|(header, _)| goes(&header));
        // A mark tells that what is kept was deleted meanwhile.
        if goes && !is_kept(&writer, quarantine.as_ref(), &dbi.name, key)? {
            match writer.delete(dbi, key) {
                Ok(()) => swept.removed += 1,
                // Even removing needs new pages.
                Err(error) if matches!(error.kind, LmdbErrorKind::MapFull) && done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        done += 1;
        if started.elapsed() >= lock {
            break;
        }
    }
    swept.txn_ids.extend(writer.commit()?);
    Ok(&keys[done..])
}
