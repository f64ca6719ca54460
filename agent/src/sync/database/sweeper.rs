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
    remove_all(env, sweep, |_, header| {
        header.deleted && header.timestamp < cutoff && header.txn_id <= newest
    })
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
    let mut swept = Swept::default();
    let reader = env.begin_read()?;
    let dbis = reader.dbis()?;
    reader.finish()?;
    for dbi in dbis.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
        let mut from = Vec::new();
        loop {
            let goes = |header: &Header| goes(&dbi.name, header);
            let old = env.read(|reader| reader.find_after(dbi, &from, BATCH, goes))?;
            let old: Vec<_> = old.into_iter().map(|(key, _)| key).collect();
            let full = old.len() >= BATCH;
            let mut keys = &old[..];
            while !keys.is_empty() {
                keys = remove(env, dbi, keys, goes, sweep.lock, &mut swept)?;
                std::thread::sleep(sweep.release);
            }
            match old.into_iter().next_back() {
                Some(last) if full => from = last,
                _ => break,
            }
        }
    }
    Ok(swept)
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
