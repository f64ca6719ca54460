//! Which entry is which in a DBI where PowerDNS 4.9.18 has written keys over.
//!
//! When it rectifies a zone it writes every RRset of it anew, in one transaction. The keys of those whose values have pages of
//! their own are lost to it on the way: their entries get keys of the same length with other bytes, those of another such RRset
//! among them. Their values are whole, and rectifying changes nothing of them but what [`without_order`] leaves out, so that
//! what was there before tells whose they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::content::{is_possible, without_order};
use crate::lmdb::header::Header;
use crate::merge::replaces;
use crate::snapshot::Entry;

/// An entry as it was found, from entry to entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: Vec<u8>,
    pub(super) header: Header,
    pub(super) value: Vec<u8>,
    /// Its value has pages of its own.
    pub(super) is_long: bool,
}

/// Live entries with long values of an earlier state.
pub(super) type Earlier = BTreeMap<Vec<u8>, (Header, Vec<u8>)>;

/// What a DBI should have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// In order.
    pub(super) entries: Vec<Found>,
    /// Entries of the earlier state that have to be put back.
    pub(super) missing: Vec<Found>,
    /// How many entries got their key back.
    pub(super) renamed: u64,
    /// How many entries are left out because nobody knows whose they are.
    pub(super) dropped: u64,
}

/// Sorts out what was found in a DBI. `earlier`: what it had before, `None` if that is not known.
pub(super) fn sort_out(dbi: &str, found: Vec<Found>, earlier: Option<Earlier>) -> Sorted {
    let mut sorted = Sorted::default();
    let suspicious = suspicious_transactions(dbi, &found);
    let is_suspect = |entry: &Found| entry.is_long && suspicious.contains(&entry.header.txn_id);
    let (suspects, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_suspect);
    let found = others.len();
    let others: Vec<_> = others
        .into_iter()
        .filter(|entry| is_possible(dbi, &entry.key))
        .collect();
    sorted.dropped = (found - others.len()) as u64;
    let zones: BTreeSet<_> = others
        .iter()
        .filter(|entry| suspicious.contains(&entry.header.txn_id))
        .filter_map(|entry| entry.key.first_chunk::<4>().copied())
        .collect();
    let mut entries = in_order(others);
    if let Some(earlier) = earlier {
        let is_new = |key: &[u8]| {
            is_possible(dbi, key)
                && !earlier.contains_key(key)
                && key.first_chunk().is_some_and(|zone| zones.contains(zone))
        };
        let mut owners = Owners::of(&earlier, &entries);
        let left = owners.claim(suspects, &mut sorted.renamed);
        entries.extend(owners.rest(left, is_new, &mut sorted.dropped));
        entries = in_order(entries);
        sorted.missing = earlier
            .into_iter()
            .filter(|(key, _)| !has(&entries, key))
            .map(|(key, (header, value))| Found {
                key,
                header,
                value,
                is_long: true,
            })
            .collect();
    } else {
        sorted.dropped += suspects.len() as u64;
    }
    sorted.entries = entries;
    sorted
}

/// The transactions that wrote long values under keys that are none, or that are out of order.
fn suspicious_transactions(dbi: &str, found: &[Found]) -> BTreeSet<u64> {
    let disordered = found.windows(2).filter(|two| two[0].key >= two[1].key).flatten();
    let impossible = found.iter().filter(|entry| !is_possible(dbi, &entry.key));
    disordered
        .chain(impossible)
        .filter(|entry| entry.is_long)
        .map(|entry| entry.header.txn_id)
        .collect()
}

/// By their keys. A search that failed has made a second entry of one that was there: the newer one stays.
fn in_order(mut entries: Vec<Found>) -> Vec<Found> {
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    entries.dedup_by(|second, first| {
        let same = first.key == second.key;
        if same && replaces(&as_entry(second), &as_entry(first)) {
            std::mem::swap(first, second);
        }
        same
    });
    entries
}

fn has(entries: &[Found], key: &[u8]) -> bool {
    entries
        .binary_search_by(|entry| entry.key.as_slice().cmp(key))
        .is_ok()
}

fn as_entry(found: &Found) -> Entry<'_> {
    Entry {
        key: &found.key,
        value: if found.header.deleted { &[] } else { &found.value },
        timestamp: found.header.timestamp,
        deleted: found.header.deleted,
    }
}

/// The keys of the earlier state whose entries are not found yet.
struct Owners<'e> {
    keys: BTreeSet<&'e [u8]>,
    by_content: HashMap<Vec<u8>, Vec<&'e [u8]>>,
    claimed: Vec<Found>,
}

impl<'e> Owners<'e> {
    fn of(earlier: &'e Earlier, present: &[Found]) -> Self {
        let (mut keys, mut by_content) = (BTreeSet::new(), HashMap::<_, Vec<_>>::new());
        for (key, (_, value)) in earlier {
            if !has(present, key) {
                keys.insert(key.as_slice());
                by_content.entry(content(value)).or_default().push(key.as_slice());
            }
        }
        Self {
            keys,
            by_content,
            claimed: Vec::new(),
        }
    }

    /// Gives the entries that say what was said before the keys that they had. Returns the others.
    fn claim(&mut self, suspects: Vec<Found>, renamed: &mut u64) -> Vec<Found> {
        // Of several that say the same, each keeps its own key if it has one of theirs.
        let (own, moved): (Vec<_>, Vec<_>) = suspects.into_iter().partition(|suspect| {
            let keys = self.by_content.get(&content(&suspect.value));
            keys.is_some_and(|keys| keys.contains(&suspect.key.as_slice()))
                && self.keys.remove(suspect.key.as_slice())
        });
        self.claimed.extend(own);
        let mut left = Vec::new();
        for mut suspect in moved {
            let keys = self
                .by_content
                .get(&content(&suspect.value))
                .into_iter()
                .flatten();
            let free = keys.copied().filter(|key| self.keys.contains(key));
            match free.min_by_key(|key| key.len() != suspect.key.len()) {
                Some(key) => {
                    self.keys.remove(key);
                    key.clone_into(&mut suspect.key);
                    *renamed += 1;
                    self.claimed.push(suspect);
                }
                None => left.push(suspect),
            }
        }
        left
    }

    /// Decides on the entries that say something else than before, and returns all that are to stay.
    fn rest(mut self, left: Vec<Found>, is_new: impl Fn(&[u8]) -> bool, dropped: &mut u64) -> Vec<Found> {
        let mut unknown = Vec::new();
        for suspect in left {
            // Its key's own value is nowhere else, so it was changed.
            if self.keys.remove(suspect.key.as_slice()) || is_new(&suspect.key) {
                self.claimed.push(suspect);
            } else {
                unknown.push(suspect);
            }
        }
        // What was changed under one key, and has lost it.
        let one = (unknown.len(), self.keys.len()) == (1, 1);
        for mut suspect in unknown {
            match self
                .keys
                .first()
                .filter(|key| one && key.len() == suspect.key.len())
            {
                Some(key) => {
                    (*key).clone_into(&mut suspect.key);
                    self.claimed.push(suspect);
                }
                None => *dropped += 1,
            }
        }
        self.claimed
    }
}

fn content(value: &[u8]) -> Vec<u8> {
    without_order(value).unwrap_or_else(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DBI: &str = "records_v5";
    const BEFORE: u64 = 5;
    const FAULT: u64 = 7;

    fn key(name: &str) -> Vec<u8> {
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("{name}\0")
        };
        [&9_u32.to_be_bytes()[..], name.as_bytes(), &[0, 0, 1]].concat()
    }

    fn entry(key: &[u8], txn_id: u64, value: &str, is_long: bool) -> Found {
        Found {
            key: key.to_vec(),
            header: Header {
                timestamp: txn_id * 10,
                txn_id,
                deleted: false,
            },
            value: value.into(),
            is_long,
        }
    }

    fn long(key: &[u8], value: &str) -> Found {
        entry(key, FAULT, value, true)
    }

    fn short(name: &str, txn_id: u64) -> Found {
        entry(&key(name), txn_id, name, false)
    }

    fn earlier(of: &[(&str, &str)]) -> Earlier {
        let header = entry(b"", BEFORE, "", true).header;
        let one = |(name, value): &(&str, &str)| (key(name), (header, value.as_bytes().to_vec()));
        of.iter().map(one).collect()
    }

    fn names(sorted: &Sorted) -> Vec<(Vec<u8>, String)> {
        let show = |found: &Found| (found.key.clone(), String::from_utf8(found.value.clone()).unwrap());
        sorted.entries.iter().map(show).collect()
    }

    fn said(of: &[(&str, &str)]) -> Vec<(Vec<u8>, String)> {
        of.iter()
            .map(|(name, value)| (key(name), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn values_get_back_the_keys_that_they_had() {
        // As 4.9.18 was seen to leave it: of three long values one has no key any more, and two have another's.
        let found = vec![
            short("", FAULT),
            long(b"\0\0\0\0\0\0\x04\0\xc63d", "of m0"),
            long(&key("m2"), "of m1"),
            long(&key("m0"), "of m2"),
            short("z", BEFORE),
        ];
        let sorted = sort_out(
            DBI,
            found,
            Some(earlier(&[("m0", "of m0"), ("m1", "of m1"), ("m2", "of m2")])),
        );
        let right = [
            ("", ""),
            ("m0", "of m0"),
            ("m1", "of m1"),
            ("m2", "of m2"),
            ("z", "z"),
        ];
        assert_eq!(names(&sorted), said(&right));
        assert_eq!((sorted.renamed, sorted.dropped), (3, 0));
        assert!(sorted.missing.is_empty());
        assert_eq!(sorted.entries[1].header.txn_id, FAULT);
    }

    #[test]
    fn what_was_changed_by_the_same_transaction_stays_changed() {
        let found = vec![
            short("", FAULT),
            long(&key("m1"), "of m0"),
            long(b"\0\0\0\0\0\0\x04", "new"),
            short("z", FAULT),
        ];
        let sorted = sort_out(DBI, found, Some(earlier(&[("m0", "of m0"), ("m1", "of m1")])));
        assert_eq!(
            names(&sorted),
            said(&[("", ""), ("m0", "of m0"), ("z", "z")]),
            "a key of another length is no sign"
        );
        assert_eq!(sorted.missing[0].key, key("m1"));
        let found = vec![
            short("", FAULT),
            long(&key("m1"), "of m0"),
            long(b"\0\0\0\0\0\0\x04\0\0\0", "new"),
            short("z", FAULT),
        ];
        let sorted = sort_out(DBI, found, Some(earlier(&[("m0", "of m0"), ("m1", "of m1")])));
        assert_eq!(
            names(&sorted),
            said(&[("", ""), ("m0", "of m0"), ("m1", "new"), ("z", "z")])
        );
    }

    #[test]
    fn an_rrset_that_is_new_stays_unless_it_is_in_a_zone_that_was_not_written() {
        let mut elsewhere = key("new");
        elsewhere[0] = 77;
        let found = vec![
            short("", FAULT),
            long(&elsewhere, "whose?"),
            long(&key("m0"), "of m0"),
            long(&key("new"), "news"),
        ];
        let sorted = sort_out(DBI, found, Some(earlier(&[("m0", "of m0")])));
        assert_eq!(
            names(&sorted),
            said(&[("", ""), ("m0", "of m0"), ("new", "news")])
        );
        assert_eq!(sorted.dropped, 1);
    }

    #[test]
    fn what_nobody_has_is_missing_and_long_values_of_other_transactions_are_left_alone() {
        let found = vec![
            entry(&key("a"), BEFORE, "of a", true),
            long(b"\0", "?"),
            long(b"\0\0", "?"),
            short("z", BEFORE),
        ];
        let sorted = sort_out(
            DBI,
            found,
            Some(earlier(&[("a", "of a"), ("m", "of m"), ("n", "of n")])),
        );
        assert_eq!(names(&sorted), said(&[("a", "of a"), ("z", "z")]));
        let missing: Vec<_> = sorted.missing.iter().map(|found| found.key.clone()).collect();
        assert_eq!(missing, [key("m"), key("n")]);
        assert_eq!(sorted.dropped, 2);
    }

    #[test]
    fn without_what_was_before_nothing_long_of_the_transaction_is_believed() {
        let found = vec![
            long(&key("m2"), "of m1"),
            long(&key("m0"), "of m2"),
            short("z", FAULT),
        ];
        let sorted = sort_out(DBI, found, None);
        assert_eq!(names(&sorted), said(&[("z", "z")]));
        assert_eq!(sorted.dropped, 2);
    }

    #[test]
    fn of_two_entries_with_one_key_the_newer_one_stays_and_all_are_put_in_order() {
        let found = vec![
            short("c", BEFORE),
            short("a", BEFORE),
            short("b", 3),
            short("a", 6),
        ];
        let sorted = sort_out(DBI, found, None);
        assert_eq!(names(&sorted), said(&[("a", "a"), ("b", "b"), ("c", "c")]));
        assert_eq!(sorted.entries[0].header.txn_id, 6);
        assert_eq!(sorted.dropped, 0);
    }
}
