//! Giving later writes of PowerDNS' their later times, before others are told of them.

use super::ahead::{Ahead, after, pending};
use super::dump::to_entry;
use crate::lmdb::{Environment, LmdbError};
use crate::snapshot::Entry;

/// Most entries that are written in one transaction, for PowerDNS waits for it.
const BATCH: usize = 5_000;

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
