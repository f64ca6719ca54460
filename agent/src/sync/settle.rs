//! Giving later writes of PowerDNS' their later times, before others are told of them.

use std::sync::Arc;
use std::time::Duration;

use super::ahead::{Ahead, after, pending};
use super::dump::{TransferError, to_entry};
use super::send::newest_state;
use crate::lmdb::{Environment, KeptReader, LmdbError, LmdbErrorKind};
use crate::snapshot::{Entry, is_private_dbi};

/// Most entries that are written in one transaction, for PowerDNS waits for it.
const BATCH: usize = 5_000;
/// Between two of them, so that PowerDNS gets the lock, which is not a fair one.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// An entry that PowerDNS put over one with a time that is not lower.
pub(super) struct Later {
    pub(super) dbi: String,
    pub(super) key: Vec<u8>,
    /// The time of what it replaced, ns since the epoch.
    pub(super) floor: u64,
}

/// Gives these entries times above those of what they replaced, in transactions that have something new for all others. PowerDNS
/// may have written to them once more since they were looked at: that is later still.
///
/// # Errors
/// Those of LMDB.
pub(super) fn settle(env: &Environment, ahead: &Ahead, later: &[Later]) -> Result<(), LmdbError> {
    for batch in later.chunks(BATCH) {
        env.write::<(), LmdbError>(|writer| {
            let mut notes = ahead.notes(writer)?;
            for Later { dbi, key, floor } in batch {
                let Some(handle) = writer.existing_dbi(dbi)? else {
                    continue;
                };
                let Some((header, value)) = writer.get(&handle, key)? else {
                    continue;
                };
                let timestamp = after(notes.time_of(writer, dbi, key, header)?, Some(*floor));
                if timestamp != header.timestamp {
                    let value = value.to_vec();
                    let entry = Entry {
                        timestamp,
                        ..to_entry(key, header, &value)
                    };
                    notes.put(writer, &handle, &entry)?;
                }
            }
            Ok(())
        })?;
        if batch.len() == BATCH {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// The same for all that is noted, for when it is not known what was written since which state.
///
/// # Errors
/// Those of LMDB.
pub(super) fn settle_all(env: &Environment, ahead: &Ahead) -> Result<(), LmdbError> {
    let mut later = Vec::new();
    env.read(|reader| {
        pending(reader, |dbi, key, floor| {
            let (dbi, key) = (dbi.to_owned(), key.to_vec());
            later.push(Later { dbi, key, floor });
        })
    })?;
    settle(env, ahead, &later)
}

/// The same for what was put over entries of a state. Returns a later one, after which nothing was looked at.
///
/// # Errors
/// Those of LMDB.
pub(super) fn settle_since(
    env: &Arc<Environment>,
    ahead: &Ahead,
    kept: &KeptReader,
) -> Result<KeptReader, TransferError> {
    let to = newest_state(env)?;
    let mut later = Vec::new();
    let walked = to.changes_since::<TransferError>(kept, |change| {
        if let (Some(new), Some(old)) = (change.new, change.old)
            && !is_private_dbi(change.dbi)
            && !ahead.foreign.contains(&new.header.txn_id)
            && new.header.timestamp <= old.header.timestamp
        {
            let (dbi, key) = (change.dbi.to_owned(), change.key.to_vec());
            let floor = old.header.timestamp;
            later.push(Later { dbi, key, floor });
        }
        Ok(())
    });
    match walked {
        Ok(_) => settle(env, ahead, &later)?,
        Err(TransferError::Lmdb(LmdbError {
            kind: kind @ LmdbErrorKind::Page { .. },
            ..
        })) => {
            tracing::warn!(path = %env.path().display(), error = %kind, "cannot compare pages");
        }
        Err(error) => return Err(error),
    }
    Ok(to)
}
