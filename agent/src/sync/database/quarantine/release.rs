//! What is kept, and what of it may be merged.

use std::collections::BTreeMap;

use super::kept::{Kept, QUARANTINE_DBI, for_each};
use crate::lmdb::{Environment, LmdbError, Reader, Writer};

/// Entries that are shown.
const SHOWN: usize = 5;

/// What is kept, for people and for the decision when to look again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::sync) struct Summary {
    /// Those that are to be merged.
    pub entries: u64,
    /// Those that their writers have given up.
    pub given_up: u64,
    /// Of both.
    pub bytes: u64,
    /// The earliest time of an entry, ns since the epoch; `None`: nothing is kept.
    pub earliest: Option<u64>,
    pub senders: BTreeMap<String, u64>,
    /// Some of them: DBI and key, the sender, the time.
    pub some: Vec<(String, Vec<u8>, String, u64)>,
}

/// Looks at all that is kept.
pub(in crate::sync) fn look(env: &Environment) -> Result<Summary, LmdbError> {
    let mut summary = Summary::default();
    for_each(env, |kept| {
        summary.bytes += (kept.key.len() + kept.value.len()) as u64;
        summary.earliest = Some(
            summary
                .earliest
                .map_or(kept.timestamp, |time| time.min(kept.timestamp)),
        );
        if kept.is_given_up {
            summary.given_up += 1;
            return;
        }
        summary.entries += 1;
        if summary.some.len() < SHOWN
            && let Some((dbi, entry)) = kept.dbi_and_entry()
        {
            let shown = (
                dbi.to_owned(),
                entry.key.to_vec(),
                kept.sender.clone(),
                kept.timestamp,
            );
            summary.some.push(shown);
        }
        *summary.senders.entry(kept.sender).or_default() += 1;
    })?;
    Ok(summary)
}

/// What is kept and is not too far ahead any more.
#[derive(Default)]
pub(in crate::sync) struct Ripe {
    pub merge: Vec<Kept>,
    /// What was written here after these had come is later.
    pub outlived: Vec<Kept>,
    /// Nothing was, and their writers have given them up.
    pub given_up: Vec<Kept>,
}

/// Looks for what may be merged now, but for the rest of more than so many bytes. `lifts`: what was written here in the meantime is
/// later, as others learn from this server.
pub(in crate::sync) fn ripe(
    env: &Environment,
    limit: u64,
    most_bytes: usize,
    lifts: bool,
) -> Result<Ripe, LmdbError> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for_each(env, |mut kept| {
        if kept.timestamp <= limit && bytes < most_bytes {
            if !lifts {
                kept.since = u64::MAX;
            }
            bytes += kept.key.len() + kept.value.len();
            all.push(kept);
        }
    })?;
    let mut ripe = Ripe::default();
    env.read::<_, LmdbError>(|reader| {
        for kept in all {
            if has_later(reader, &kept)? {
                ripe.outlived.push(kept);
            } else if kept.is_given_up {
                ripe.given_up.push(kept);
            } else {
                ripe.merge.push(kept);
            }
        }
        Ok(())
    })?;
    Ok(ripe)
}

fn has_later(reader: &Reader<'_>, kept: &Kept) -> Result<bool, LmdbError> {
    let Some((dbi, entry)) = kept.dbi_and_entry() else {
        return Ok(false);
    };
    let Some(dbi) = reader.dbi(dbi)? else {
        return Ok(false);
    };
    let local = reader.get(&dbi, entry.key)?;
    Ok(local.is_some_and(|(local, _)| local.timestamp > kept.since))
}

/// Takes out what need not be kept any more. What PowerDNS has written something over since it was looked at stays for another look.
pub(in crate::sync) fn take_out(env: &Environment, done: &Ripe) -> Result<Option<u64>, LmdbError> {
    let mut writer = env.begin_write()?;
    if let Some(quarantine) = writer.existing_dbi(QUARANTINE_DBI)? {
        for kept in done.outlived.iter().chain(&done.given_up) {
            writer.delete(&quarantine, &kept.key)?;
        }
        for kept in &done.merge {
            if !is_missed(&writer, kept)? {
                writer.delete(&quarantine, &kept.key)?;
            }
        }
    }
    writer.commit()
}

/// Something later was written under its key, and has not got a later time yet.
fn is_missed(writer: &Writer<'_>, kept: &Kept) -> Result<bool, LmdbError> {
    let Some((dbi, entry)) = kept.dbi_and_entry() else {
        return Ok(false);
    };
    let Some(dbi) = writer.existing_dbi(dbi)? else {
        return Ok(false);
    };
    let local = writer.get(&dbi, entry.key)?;
    Ok(local.is_some_and(|(local, _)| local.timestamp > kept.since && local.timestamp < kept.timestamp))
}
