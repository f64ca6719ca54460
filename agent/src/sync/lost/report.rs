//! What was put back, for people and for those who follow the database.

use crate::lmdb::Environment;
use crate::powerdns::{Touched, zone_name};
use crate::show;

/// Lost entries that are named; the others are counted.
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
    rewritten: Vec<String>,
    named: Vec<(String, Vec<u8>, Vec<u8>)>,
}

impl Mended {
    pub(super) fn restored(&mut self, dbi: &str, key: &[u8], value: &[u8]) {
        self.restored += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push((dbi.to_owned(), key.to_vec(), value.to_vec()));
        }
    }

    pub(super) fn rewritten(&mut self, dbi: &str, renamed: u64, removed: u64, blind: bool) {
        self.renamed += renamed;
        self.removed += removed;
        self.is_incomplete |= blind && removed > 0;
        self.rewritten.push(dbi.to_owned());
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

    /// In words. `main` has the names of the zones.
    pub(in crate::sync) fn text(&self, main: Option<&Environment>) -> String {
        let mut said = Vec::new();
        if self.restored > 0 {
            let names: Vec<_> = self
                .named
                .iter()
                .map(|(dbi, key, value)| name(main, dbi, key, value))
                .collect();
            let more = self.restored - names.len() as u64;
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            said.push(format!(
                "gone without a deletion mark and put back: {}{more}",
                names.join(", ")
            ));
        }
        if !self.rewritten.is_empty() {
            said.push(format!(
                "keys of {} were overwritten: {} entries got theirs back, {} are removed",
                self.rewritten.join(", "),
                self.renamed,
                self.removed
            ));
        }
        said.join("; ")
    }
}

fn name(main: Option<&Environment>, dbi: &str, key: &[u8], value: &[u8]) -> String {
    let zone = show::zone_of_record(dbi, key).and_then(|id| zone_name(main?, id));
    let named = match zone {
        Some(zone) => show::record_in(&zone, key),
        None => show::zone_of_value(dbi, value).map(|zone| format!("{dbi} of {zone}")),
    };
    named.unwrap_or_else(|| format!("{dbi} {}", show::key(dbi, key)))
}
