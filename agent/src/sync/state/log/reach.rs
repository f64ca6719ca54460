//! Deltas that reach back: whoever reads the changes of a day must not fetch an object for every single one.
//!
//! After so many small deltas the next one holds all that they hold, too, so a reader needs one step in their place and the
//! cleaner can remove them.

use std::collections::BTreeMap;

use crate::snapshot::{DeltaWriter, EncodeError};
use crate::sync::database::collect::Written;

/// Most bytes of keys and values kept for it. Deltas that are larger than that together stay as they are.
const MOST: usize = 256 << 10;

/// What was stored in small deltas since the last one that reached back.
#[derive(Debug, Default)]
pub(in crate::sync) struct Reach {
    /// The state from which the next one starts, ns since the epoch.
    since: u64,
    steps: u32,
    /// By DBI and key, the version written last; `None` when it is too much.
    entries: Option<BTreeMap<(String, Vec<u8>), Written>>,
    bytes: usize,
}

impl Reach {
    /// Begins anew at a state.
    pub(in crate::sync) fn restart(&mut self, since: u64) {
        *self = Self {
            since,
            steps: 0,
            entries: Some(BTreeMap::new()),
            bytes: 0,
        };
    }

    /// The state from which the delta that reaches back starts.
    pub(in crate::sync) fn since(&self) -> u64 {
        self.since
    }

    /// Adds what the next delta holds; `None`: too much to be kept.
    pub(in crate::sync) fn add(&mut self, written: Option<Vec<Written>>) {
        let Some(entries) = &mut self.entries else { return };
        let Some(written) = written else {
            self.entries = None;
            return;
        };
        for written in written {
            self.bytes += written.bytes();
            let old = entries.insert(written.place(), written);
            self.bytes -= old.map_or(0, |old| old.bytes());
        }
        if self.bytes > MOST {
            self.entries = None;
        }
    }

    /// True if what was added last is to be stored in a delta that reaches back over `stride` of them.
    pub(in crate::sync) fn is_due(&self, stride: u32) -> bool {
        self.steps + 1 >= stride && self.entries.is_some()
    }

    /// A small delta was stored, which led to the state `time`.
    pub(in crate::sync) fn stepped(&mut self, time: u64) {
        self.steps += 1;
        if self.entries.is_none() {
            self.restart(time);
        }
    }

    /// Writes all that the delta that reaches back has to hold.
    pub(in crate::sync) fn write<W: std::io::Write>(
        &self,
        writer: &mut DeltaWriter<W>,
    ) -> Result<(), EncodeError> {
        for ((dbi, _), written) in self.entries.iter().flatten() {
            writer.entry(dbi, &written.entry())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Entry;

    const STRIDE: u32 = 32;

    fn written(key: u8, len: usize) -> Vec<Written> {
        let entry = Entry {
            key: &[key],
            value: &vec![0; len],
            timestamp: 1,
            deleted: false,
        };
        vec![Written::new("dbi", &entry)]
    }

    #[test]
    fn one_in_so_many_deltas_reaches_back_over_the_others() {
        let mut reach = Reach::default();
        reach.restart(10);
        let mut long = Vec::new();
        for (key, time) in (0..).zip(11..11 + 3 * u64::from(STRIDE)) {
            reach.add(Some(written(key, 10)));
            if reach.is_due(STRIDE) {
                long.push((reach.since(), time));
                reach.restart(time);
            } else {
                reach.stepped(time);
            }
        }
        let stride = u64::from(STRIDE);
        let expected: Vec<_> = (0..3).map(|n| (10 + n * stride, 10 + (n + 1) * stride)).collect();
        assert_eq!(long, expected);
    }

    #[test]
    fn what_is_too_much_to_keep_is_skipped_and_the_next_one_starts_after_it() {
        let mut reach = Reach::default();
        reach.restart(10);
        reach.add(Some(written(1, MOST / 2)));
        reach.stepped(11);
        // The same entry again takes no more room.
        reach.add(Some(written(1, MOST / 2)));
        reach.stepped(12);
        assert_eq!(reach.since(), 10);
        reach.add(Some(written(2, MOST)));
        reach.stepped(13);
        assert_eq!(reach.since(), 13);
        reach.add(None);
        reach.stepped(14);
        assert_eq!(reach.since(), 14);
    }
}
