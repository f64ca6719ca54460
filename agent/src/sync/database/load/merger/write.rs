//! Writing what has won.

use std::time::{Duration, Instant};

use super::{Merger, is_recalled};
use crate::content::{Change, Touched};
use crate::lmdb::Writer;
use crate::lmdb::header::Header;
use crate::snapshot::Entry;
use crate::sync::database::dump::{TransferError, to_entry};
use crate::sync::database::load::wins;
use crate::sync::database::quarantine::key_of;

/// Between two batches, so that PowerDNS gets the lock, which is not a fair one.
const PAUSE: Duration = Duration::from_millis(5);

impl Merger<'_> {
    pub(super) fn flush_if_full(&mut self) -> Result<(), TransferError> {
        if self.batch.is_full() {
            self.flush()?;
            if !self.env.is_alone() {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Writes the batch. PowerDNS may have written since the entries were compared, so they are compared again, with the times
    /// that count.
    pub(super) fn flush(&mut self) -> Result<(), TransferError> {
        if let Some(reader) = self.reader.take() {
            reader.finish()?;
        }
        let mut writer = self.env.begin_write()?;
        let later = self.ahead.clone();
        let ahead = later.as_deref().unwrap_or(self.terms.ahead);
        let mut notes = ahead.notes(&writer)?;
        let mut touched = Touched::default();
        let batch = std::mem::take(&mut self.batch);
        for (object, dbi, entry) in batch.iter() {
            let handle = match self.dbis.get(dbi) {
                Some(Some(handle)) => handle.clone(),
                _ => {
                    let handle = writer.dbi(dbi)?;
                    self.dbis.insert(dbi.to_owned(), Some(handle.clone()));
                    handle
                }
            };
            let place = (dbi, entry.key);
            let (old, header, was_there) = match writer.get(&handle, entry.key)? {
                Some((header, value)) => {
                    let old = to_entry(entry.key, header, value);
                    let (timestamp, was_there) = match header.timestamp {
                        _ if is_recalled(ahead, &self.guard, &entry, &old, header)
                            && notes.is_above_floor(&writer, place, entry.timestamp, header)? =>
                        {
                            (0, false)
                        }
                        as_it_came if self.has_put(&writer, header) => (as_it_came, false),
                        _ => notes.time_against(&writer, place, entry.timestamp, header)?,
                    };
                    (Some(Entry { timestamp, ..old }), Some(header), was_there)
                }
                None => (None, None, false),
            };
            if let (Some(old), Some(header)) = (&old, header)
                && self.terms.confirms(&entry, old, header.txn_id)
            {
                notes.put(&mut writer, &handle, &entry)?;
                continue;
            }
            if self.is_outlived(dbi, entry.key, header) {
                continue;
            }
            if old.as_ref().is_none_or(|old| wins(dbi, &entry, old)) {
                touched.note(&Change {
                    dbi,
                    key: entry.key,
                    old: old.filter(|old| !old.deleted).map(|old| old.value),
                    new: (!entry.deleted).then_some(entry.value),
                });
                notes.put(&mut writer, &handle, &entry)?;
                self.counted.forget(dbi, entry.key);
                self.has_written(object);
            } else if let (Some(old), Some(header)) = (&old, header)
                && !self.has_put(&writer, header)
                && notes.may_sink_to(entry.timestamp, header)
            {
                self.counted.note(dbi, entry.key, (header, old.timestamp));
            } else if let Some(header) = header
                && (was_there || ahead.is_beyond(header) && !self.has_put(&writer, header))
            {
                notes.note_before(&mut writer, place, entry.timestamp, header)?;
            }
        }
        if let Some((dbi, entry)) = batch.last() {
            notes.expire(&mut writer, dbi, entry.key)?;
        }
        let started = Instant::now();
        self.merged.txn_ids.extend(writer.commit()?);
        self.merged.committing += started.elapsed();
        (self.touch)(touched);
        self.batch = batch.emptied();
        Ok(())
    }

    /// This merge has put it there, with the time that it came with.
    fn has_put(&self, writer: &Writer<'_>, header: Header) -> bool {
        let before = [&self.merged.txn_ids, &self.filler.txn_ids].into_iter();
        let mut before = before.map(|txn_ids| txn_ids.binary_search(&header.txn_id));
        header.txn_id == writer.txn_id() || before.any(|found| found.is_ok())
    }

    /// PowerDNS has written something under the key of a kept entry since it was looked at what came after that.
    fn is_outlived(&self, dbi: &str, key: &[u8], local: Option<Header>) -> bool {
        let (Some(local), false) = (local, self.came.is_empty()) else {
            return false;
        };
        let came = key_of(dbi, key).and_then(|key| self.came.get(&key[..]).copied());
        came.is_some_and(|came| local.timestamp > came)
    }
}
