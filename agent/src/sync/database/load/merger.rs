//! A merge under way: entries are compared as they come, and the winners are written in batches.

mod pauses;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use self::pauses::Pauses;
pub(in crate::sync) use self::pauses::{Done, Pause};
use super::batch::Batch;
use super::counted::Counted;
use super::new_zone::NewZone;
use super::{Interrupted, Merged, Terms, wins};
use crate::content::{Touched, is_possible};
use crate::lmdb::header::Header;
use crate::lmdb::{Dbi, Environment, Reader};
use crate::snapshot::{Entry, Snapshot, is_private_dbi};
use crate::sync::database::ahead::Ahead;
use crate::sync::database::collect::Written;
use crate::sync::database::dump::{TransferError, to_entry};
use crate::sync::database::fill::{Filled, Filler};
use crate::sync::database::quarantine::Guard;

/// A merge under way.
pub(super) struct Merger<'e> {
    env: &'e Environment,
    touch: &'e dyn Fn(Touched),
    terms: &'e Terms<'e>,
    /// What it goes by since the last pause, in the place of what `terms` have.
    ahead: Option<Arc<Ahead>>,
    pauses: Pauses<'e>,
    guard: Guard,
    /// When what was kept until now came, by its key there.
    pub(super) came: HashMap<&'e [u8], u64>,
    /// What the own clock said when this began.
    now: u64,
    /// DBIs opened so far; `None` for those that do not exist yet.
    dbis: HashMap<String, Option<Dbi>>,
    /// DBIs that must exist at the end, even if they have no entries.
    missing: Vec<String>,
    reader: Option<Reader<'e>>,
    filler: Filler<'e>,
    current: Current,
    batch: Batch,
    new_zone: NewZone,
    counted: Counted,
    merged: Merged,
}

/// The DBI whose entries come at the moment.
#[derive(Default)]
struct Current {
    name: String,
    /// It was empty and is being filled.
    filled: Option<Dbi>,
}

impl<'e> Merger<'e> {
    pub(super) fn new(
        env: &'e Environment,
        touch: &'e dyn Fn(Touched),
        terms: &'e Terms<'e>,
        guard: Guard,
    ) -> Self {
        Self {
            env,
            touch,
            now: terms.ahead.now(),
            terms,
            ahead: None,
            pauses: Pauses::new(None),
            guard,
            came: HashMap::new(),
            dbis: HashMap::new(),
            missing: Vec::new(),
            reader: None,
            filler: Filler::new(env, terms.ahead),
            current: Current::default(),
            batch: Batch::default(),
            new_zone: NewZone::default(),
            counted: Counted::default(),
            merged: Merged::default(),
        }
    }

    /// `pause` is called when others have waited for their turn for long enough.
    pub(super) fn pause_by(&mut self, pause: Option<Pause<'e>>) {
        self.pauses = Pauses::new(pause);
    }

    /// Merges all entries of an object, as one of those that are counted for themselves.
    pub(super) fn take_all_of(&mut self, snapshot: &mut Snapshot) -> Result<(), TransferError> {
        self.merged.written_of.push(0);
        self.batch.begin_object(self.merged.written_of.len());
        let names = snapshot.outline().dbis.iter().map(|dbi| &dbi.header.name);
        let names = names.filter(|name| !is_private_dbi(name));
        self.missing.extend(names.cloned());
        snapshot.for_each_entry(|outline, entry| {
            let dbi = &outline.header.name;
            if is_private_dbi(dbi) || !is_possible(dbi, entry.key) {
                Ok(())
            } else {
                self.take(dbi, &entry)
            }
        })?;
        let last = self.new_zone.end();
        self.put_last(last)
    }

    /// All of a new zone has come but this.
    fn put_last(&mut self, soa: Option<Written>) -> Result<(), TransferError> {
        if let Some(soa) = soa {
            self.batch.push(&soa.dbi, &soa.entry());
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn has_written(&mut self, object: usize) {
        self.merged.written += 1;
        let of = object
            .checked_sub(1)
            .and_then(|object| self.merged.written_of.get_mut(object));
        if let Some(of) = of {
            *of += 1;
        }
    }

    pub(super) fn take(&mut self, dbi: &str, incoming: &Entry<'_>) -> Result<(), TransferError> {
        self.merged.entries += 1;
        self.give_way_if_due()?;
        let ended = self.new_zone.end_before(dbi, incoming.key);
        self.put_last(ended)?;
        if self.current.name != dbi {
            self.turn_to(dbi)?;
        }
        if self.guard.is_ahead(incoming.timestamp) && self.keep_out(dbi, incoming)? {
            return Ok(());
        }
        self.merged.newest = self.merged.newest.max(incoming.timestamp);
        if let Some(filled) = &self.current.filled {
            if incoming.deleted && incoming.timestamp < self.terms.oldest_mark {
                return Ok(());
            }
            if let Filled::Yes = self.filler.take(filled, incoming)? {
                self.has_written(self.merged.written_of.len());
                return Ok(());
            }
            self.end_filling()?;
            self.current.filled = None;
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.env.begin_read()?),
        };
        if !self.dbis.contains_key(dbi) {
            self.dbis.insert(dbi.to_owned(), reader.dbi(dbi)?);
        }
        if self.guard.has_kept(reader, dbi, incoming)? {
            return Ok(());
        }
        let ahead = self.ahead.as_deref().unwrap_or(self.terms.ahead);
        let local = match self.dbis.get(dbi) {
            Some(Some(handle)) => reader.get(handle, incoming.key)?,
            _ => None,
        };
        let was_there = local.is_some_and(|(header, _)| !header.deleted);
        let won = match local {
            Some((header, value)) => {
                let local = to_entry(incoming.key, header, value);
                // Under the lock it is known better.
                let timestamp = match ahead.least(header, self.now) {
                    _ if is_recalled(ahead, &self.guard, incoming, &local, header) => 0,
                    least => least,
                };
                if *incoming == local {
                    self.merged.had_been_written(header.txn_id);
                }
                let least = Entry { timestamp, ..local };
                wins(dbi, incoming, &least) || self.terms.confirms(incoming, &local, header.txn_id)
            }
            None => !incoming.deleted || incoming.timestamp >= self.terms.oldest_mark,
        };
        if won && !self.new_zone.keep(dbi, incoming, was_there) {
            self.batch.push(dbi, incoming);
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// Leaves out an entry that is too far ahead of the time, and keeps it, also if there is no other difference to what is here: its
    /// writer has it with that time. False if it is merged all the same: where it replaces one that is as far ahead.
    fn keep_out(&mut self, dbi: &str, incoming: &Entry<'_>) -> Result<bool, TransferError> {
        let mut found = None;
        // What is being filled was empty.
        if self.current.filled.is_none() {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => none.insert(self.env.begin_read()?),
            };
            if let Some(handle) = reader.dbi(dbi)?
                && let Some((local, value)) = reader.get(&handle, incoming.key)?
            {
                if self.guard.is_ahead(local.timestamp) {
                    return Ok(false);
                }
                let txn_id = local.txn_id;
                let local = to_entry(incoming.key, local, value);
                found = Some(local.timestamp);
                // Others have something under this key, whatever of it is merged.
                if self.terms.confirms(&local, &local, txn_id) {
                    self.batch.push(dbi, &local);
                }
            }
        }
        self.flush_if_full()?;
        let held = self.guard.hold(dbi, incoming, found);
        self.merged.is_unsure |= held;
        if self.guard.is_full() {
            self.end_filling()?;
            self.current.filled = None;
            if let Some(reader) = self.reader.take() {
                reader.finish()?;
            }
            self.merged.txn_ids.extend(self.guard.write(self.env)?);
        }
        Ok(held)
    }

    /// Finds out how to take the entries of a DBI that follow.
    fn turn_to(&mut self, dbi: &str) -> Result<(), TransferError> {
        dbi.clone_into(&mut self.current.name);
        self.current.filled = None;
        // A batch and a filler do not mix: each has its own transaction. Whether somebody else has the file open takes longer to
        // find out than a single change takes to merge, so that is asked last.
        if self.batch.is_empty()
            && self.ahead.is_none()
            && (self.filler.is_open() || !self.has_entries(dbi)?)
        {
            if let Some(reader) = self.reader.take() {
                reader.finish()?;
            }
            self.current.filled = self.filler.begin(dbi)?;
        }
        if self.current.filled.is_none() {
            self.end_filling()?;
        }
        Ok(())
    }

    fn has_entries(&mut self, dbi: &str) -> Result<bool, TransferError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.env.begin_read()?),
        };
        Ok(match reader.dbi(dbi)? {
            Some(handle) => !reader.is_empty(&handle)?,
            None => false,
        })
    }

    /// While nobody else has the file open there are no caches to tell of what was filled.
    fn end_filling(&mut self) -> Result<(), TransferError> {
        self.filler.end()?;
        if std::mem::take(&mut self.filler.joined) {
            (self.touch)(Touched::everything());
        }
        Ok(())
    }

    /// Writes what is left, unless something went wrong before.
    pub(super) fn end(mut self, taken: Result<(), TransferError>) -> Result<Merged, Interrupted> {
        let finished = taken.and_then(|()| self.finish());
        self.merged.txn_ids.append(&mut self.filler.txn_ids);
        self.merged.txn_ids.sort_unstable();
        self.merged.txn_ids.dedup();
        self.merged.committing += self.filler.committing;
        self.merged.left_out = self.guard.left_out;
        match finished {
            Ok(()) => Ok(self.merged),
            Err(error) => Err(Interrupted {
                error: Box::new(error),
                txn_ids: self.merged.txn_ids,
                settled: self.merged.settled,
            }),
        }
    }

    fn finish(&mut self) -> Result<(), TransferError> {
        let last = self.new_zone.end();
        self.put_last(last)?;
        self.end_filling()?;
        let mut missing = std::mem::take(&mut self.missing);
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.env.begin_read()?,
        };
        for name in &missing {
            if let Some(handle) = reader.dbi(name)? {
                self.dbis.insert(name.clone(), Some(handle));
            }
        }
        reader.finish()?;
        missing.retain(|name| !matches!(self.dbis.get(name), Some(Some(_))) && !self.batch.has(name));
        if !missing.is_empty() {
            let mut writer = self.env.begin_write()?;
            for name in &missing {
                writer.dbi(name)?;
            }
            self.merged.txn_ids.extend(writer.commit()?);
        }
        if !self.batch.is_empty() {
            self.flush()?;
        }
        self.merged.txn_ids.extend(self.guard.write(self.env)?);
        let counted = std::mem::take(&mut self.counted);
        let ahead = self.ahead.as_deref().unwrap_or(self.terms.ahead);
        counted.settle(self.env, ahead, &mut self.merged.settled)?;
        Ok(())
    }
}

/// Another has given the same the time that it should have, so this one need not.
fn is_recalled(
    ahead: &Ahead,
    guard: &Guard,
    incoming: &Entry<'_>,
    local: &Entry<'_>,
    header: Header,
) -> bool {
    ahead.is_beyond(header)
        && !guard.is_ahead(incoming.timestamp)
        && (incoming.deleted, incoming.value) == (local.deleted, local.value)
}
