//! What peers were told, entry by entry, for as long as the store lacks it: its delta holds the same, and nobody needs to look at the
//! database for it a second time.

use std::collections::{BTreeMap, VecDeque};

use crate::sync::database::collect::Written;

/// Most bytes of keys and values, and most cuts. What is more together is found in the database.
const MOST: usize = 256 << 10;
const MOST_CUTS: usize = 4096;

/// The changes between two states, which are known by their transactions.
#[derive(Debug)]
struct Cut {
    from: u64,
    to: u64,
    written: Vec<Written>,
    bytes: usize,
}

/// Those that follow each other, up to the state that peers were told of last.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    all: VecDeque<Cut>,
    /// Of all of them.
    bytes: usize,
}

impl Cuts {
    /// Peers are told of what was written between two states; `None`: too much to be kept.
    pub(super) fn add(&mut self, from: u64, to: u64, written: Option<&[Written]>) {
        if self.all.back().is_some_and(|last| last.to != from) {
            self.clear();
        }
        let Some(written) = written else {
            return self.clear();
        };
        let bytes = written.iter().map(Written::bytes).sum();
        let written = written.to_vec();
        self.bytes += bytes;
        self.all.push_back(Cut {
            from,
            to,
            written,
            bytes,
        });
        while self.bytes > MOST || self.all.len() > MOST_CUTS {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        self.bytes -= self.all.pop_front().map_or(0, |cut| cut.bytes);
    }

    /// The store has everything up to a state.
    pub(super) fn are_stored(&mut self, to: u64) {
        while self.all.front().is_some_and(|cut| cut.to <= to) {
            self.forget_first();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// All that was written between two states, of each entry the last version; `None`: that is not known.
    pub(super) fn between(&self, from: u64, to: u64) -> Option<Vec<Written>> {
        let first = self.all.iter().position(|cut| cut.from == from)?;
        let last = self.all.iter().position(|cut| cut.to == to)?;
        let mut all = BTreeMap::new();
        for cut in self.all.range(first..=last.max(first)) {
            for written in &cut.written {
                all.insert(written.place(), written.clone());
            }
        }
        (first <= last).then(|| all.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Entry;

    fn written(key: u8, time: u64, len: usize) -> Written {
        let entry = Entry {
            key: &[key],
            value: &vec![0; len],
            timestamp: time,
            deleted: false,
        };
        Written::new("dbi", &entry)
    }

    #[test]
    fn what_is_told_in_a_row_is_known_and_of_each_entry_the_last_version() {
        let mut cuts = Cuts::default();
        cuts.add(10, 12, Some(&[written(1, 1, 9), written(2, 1, 9)]));
        cuts.add(12, 13, Some(&[]));
        cuts.add(13, 15, Some(&[written(1, 2, 9)]));
        assert_eq!(
            cuts.between(10, 15),
            Some(vec![written(1, 2, 9), written(2, 1, 9)])
        );
        assert_eq!(cuts.between(12, 13), Some(vec![]));
        for (from, to) in [(9, 15), (10, 14), (13, 12), (15, 15)] {
            assert_eq!(cuts.between(from, to), None);
        }
        cuts.are_stored(12);
        assert_eq!(cuts.between(10, 15), None);
        assert_eq!(cuts.between(12, 15), Some(vec![written(1, 2, 9)]));
    }

    #[test]
    fn what_does_not_follow_or_is_too_much_is_not_known() {
        let mut cuts = Cuts::default();
        cuts.add(10, 12, Some(&[written(1, 1, 9)]));
        cuts.add(13, 15, Some(&[written(2, 1, 9)]));
        assert_eq!(cuts.between(10, 15), None);
        assert!(cuts.between(13, 15).is_some());
        cuts.add(15, 16, None);
        assert_eq!((cuts.between(13, 16), cuts.between(15, 16)), (None, None));
        cuts.add(16, 17, Some(&[written(3, 1, MOST / 2)]));
        cuts.add(17, 18, Some(&[written(4, 1, MOST / 2)]));
        assert_eq!(cuts.between(16, 18), None);
        assert!(cuts.between(17, 18).is_some());
    }
}
