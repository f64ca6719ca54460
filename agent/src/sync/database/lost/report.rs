//! What was put back, for people and for those who follow the database.

use std::collections::{BTreeSet, VecDeque};

use crate::content::{Touched, zone_name};
use crate::lmdb::Environment;
use crate::show;

/// Lost entries that are named, the last ones; the others are counted.
const MOST_NAMED: usize = 20;

/// What was lost and is back.
#[derive(Default)]
pub(in crate::sync) struct Mended {
    /// Transactions of ours that say nothing new.
    pub(in crate::sync) txn_ids: Vec<u64>,
    /// Transactions of ours that gave what PowerDNS wrote other times.
    pub(in crate::sync) settled: Vec<u64>,
    pub(in crate::sync) touched: Touched,
    /// Entries that were put back.
    pub(in crate::sync) restored: u64,
    /// Entries whose keys nobody can have meant, which got their own back, or are removed because nobody knows whose they are.
    pub(in crate::sync) renamed: u64,
    pub(in crate::sync) removed: u64,
    /// What was removed may be in the store, or with a peer.
    pub(in crate::sync) is_incomplete: bool,
    /// DBIs that were written anew.
    rewritten: BTreeSet<String>,
    named: VecDeque<(String, Vec<u8>, Vec<u8>)>,
}

impl Mended {
    pub(super) fn restored(&mut self, dbi: &str, key: &[u8], value: &[u8]) {
        self.restored += 1;
        push(&mut self.named, (dbi.to_owned(), key.to_vec(), value.to_vec()));
    }

    pub(super) fn rewritten(&mut self, dbi: &str, renamed: u64, removed: u64, blind: bool) {
        self.renamed += renamed;
        self.removed += removed;
        self.is_incomplete |= blind && removed > 0;
        self.rewritten.insert(dbi.to_owned());
    }

    pub(super) fn committed(&mut self, txn_id: Option<u64>, touched: Touched) {
        if txn_id.is_some() {
            self.txn_ids.extend(txn_id);
            self.touched.absorb(touched);
        }
    }

    pub(in crate::sync) fn is_empty(&self) -> bool {
        self.txn_ids.is_empty()
    }

    /// As people are told of it. `main` has the names of the zones.
    pub(in crate::sync) fn losses(&self, main: Option<&Environment>) -> Losses {
        let names = self.named.iter();
        Losses {
            names: names
                .map(|(dbi, key, value)| name(main, dbi, key, value))
                .collect(),
            restored: self.restored,
            rewritten: self.rewritten.clone(),
            renamed: self.renamed,
            removed: self.removed,
            unseen: None,
        }
    }
}

/// What people are told of until nothing was lost for a while.
#[derive(Debug, Default)]
pub(in crate::sync) struct Losses {
    names: VecDeque<String>,
    restored: u64,
    rewritten: BTreeSet<String>,
    renamed: u64,
    removed: u64,
    /// What was lost while no agent ran, in words.
    unseen: Option<String>,
}

impl Losses {
    /// Of while no agent ran.
    pub(in crate::sync) fn unseen(text: String) -> Self {
        Self {
            unseen: Some(text),
            ..Self::default()
        }
    }

    /// Adds later ones.
    pub(in crate::sync) fn add(&mut self, later: Self) {
        for name in later.names {
            push(&mut self.names, name);
        }
        self.restored += later.restored;
        self.rewritten.extend(later.rewritten);
        self.renamed += later.renamed;
        self.removed += later.removed;
        self.unseen = later.unseen.or_else(|| self.unseen.take());
    }

    /// In words.
    pub(in crate::sync) fn text(&self) -> String {
        let mut said = Vec::from_iter(self.unseen.clone());
        if self.restored > 0 {
            let names: Vec<_> = self.names.iter().map(String::as_str).collect();
            let names = names.join(", ");
            let more = match self.restored - self.names.len() as u64 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            said.push(format!(
                "gone without a deletion mark and put back: {names}{more}"
            ));
        }
        if !self.rewritten.is_empty() {
            let dbis: Vec<_> = self.rewritten.iter().map(String::as_str).collect();
            said.push(format!(
                "keys of {} were overwritten: {} entries got theirs back, {} are removed",
                dbis.join(", "),
                self.renamed,
                self.removed
            ));
        }
        if said.is_empty() {
            said.push("entries were lost and are back".to_owned());
        }
        said.join("; ")
    }
}

/// The last ones stay.
pub(in crate::sync) fn push<T>(named: &mut VecDeque<T>, name: T) {
    if named.len() == MOST_NAMED {
        named.pop_front();
    }
    named.push_back(name);
}

/// An entry as people know it. `main` has the names of the zones.
pub(in crate::sync) fn name(main: Option<&Environment>, dbi: &str, key: &[u8], value: &[u8]) -> String {
    let zone = show::zone_of_record(dbi, key).and_then(|id| zone_name(main?, id));
    let named = match zone {
        Some(zone) => show::record_in(&zone, key),
        None => show::zone_of_value(dbi, value).map(|zone| format!("{dbi} of {zone}")),
    };
    named.unwrap_or_else(|| format!("{dbi} {}", show::key(dbi, key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(numbers: std::ops::Range<u32>) -> Losses {
        let mut mended = Mended::default();
        for number in numbers {
            mended.restored("pdns", format!("k{number}.").as_bytes(), b"");
        }
        mended.losses(None)
    }

    #[test]
    fn what_was_lost_before_is_still_told_beside_what_is_lost_later() {
        let mut losses = restored(0..1);
        losses.add(restored(1..2));
        let text = losses.text();
        assert!(
            text.contains("k0.") && text.contains("k1.") && !text.contains("more"),
            "{text}"
        );
        losses.add(Losses::unseen("2 of b".to_owned()));
        losses.add(restored(2..50));
        let text = losses.text();
        assert!(text.starts_with("2 of b; "), "{text}");
        assert!(text.contains("k49.") && text.ends_with(" and 30 more"), "{text}");
    }
}
