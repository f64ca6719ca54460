//! Which of two versions of an entry wins. The rule is commutative, associative and idempotent, so databases
//! converge in whatever order they learn of changes.

use std::cmp::Ordering;

use crate::snapshot::Entry;

/// True if `incoming` must replace what this database has under the same key.
///
/// The newer timestamp wins. With equal timestamps a deletion mark wins over a value, then the bytewise lower
/// value wins. (In Lightning Stream a mark is an empty value, which is the lowest there is; only marks against
/// empty values are decided here and left undecided there.)
pub fn replaces(incoming: &Entry<'_>, local: &Entry<'_>) -> bool {
    let order = incoming
        .timestamp
        .cmp(&local.timestamp)
        .then_with(|| incoming.deleted.cmp(&local.deleted))
        .then_with(|| local.value.cmp(incoming.value));
    order == Ordering::Greater
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(timestamp: u64, value: &[u8], deleted: bool) -> Entry<'_> {
        Entry {
            key: b"k",
            value: if deleted { b"" } else { value },
            timestamp,
            deleted,
        }
    }

    #[test]
    fn the_newer_entry_wins_whatever_its_value() {
        assert!(replaces(&entry(2, b"z", false), &entry(1, b"a", false)));
        assert!(!replaces(&entry(1, b"a", false), &entry(2, b"z", false)));
        assert!(replaces(&entry(2, b"z", false), &entry(1, b"", true)));
    }

    #[test]
    fn of_equally_old_entries_the_lower_value_wins_and_the_old_one_stays_on_a_tie() {
        assert!(replaces(&entry(1, b"a", false), &entry(1, b"b", false)));
        assert!(!replaces(&entry(1, b"b", false), &entry(1, b"a", false)));
        assert!(!replaces(&entry(1, b"a", false), &entry(1, b"a", false)));
    }

    #[test]
    fn of_equally_old_empty_entries_the_deletion_wins() {
        assert!(replaces(&entry(1, b"", true), &entry(1, b"", false)));
        assert!(!replaces(&entry(1, b"", false), &entry(1, b"", true)));
    }

    proptest! {
        #[test]
        fn of_two_different_entries_exactly_one_replaces_the_other(
            a in (0..3_u64, proptest::collection::vec(0..3_u8, 0..3), any::<bool>()),
            b in (0..3_u64, proptest::collection::vec(0..3_u8, 0..3), any::<bool>()),
        ) {
            let a = entry(a.0, &a.1, a.2);
            let b = entry(b.0, &b.1, b.2);
            prop_assert_eq!(replaces(&a, &b), a != b && !replaces(&b, &a));
        }

        #[test]
        fn the_winner_of_many_does_not_depend_on_their_order(
            (entries, shuffled) in proptest::collection::vec(
                (0..3_u64, proptest::collection::vec(0..3_u8, 0..2), any::<bool>()), 1..8,
            ).prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle()))
        ) {
            let winner = |entries: &[(u64, Vec<u8>, bool)]| {
                let mut best = entries[0].clone();
                for next in entries {
                    if replaces(&entry(next.0, &next.1, next.2), &entry(best.0, &best.1, best.2)) {
                        best = next.clone();
                    }
                }
                let best = entry(best.0, &best.1, best.2);
                (best.timestamp, best.value.to_vec(), best.deleted)
            };
            prop_assert_eq!(winner(&entries), winner(&shuffled));
        }
    }
}
