//! What was lost while no agent ran: PowerDNS' tables never get shorter, since it leaves a mark for what it deletes.

use std::collections::BTreeMap;

use crate::lmdb::{KeptReader, LmdbError};
use crate::snapshot::is_private_dbi;

/// Entries by DBI, deletion marks included.
pub(in crate::sync) type Counts = BTreeMap<String, u64>;

/// Counts without reading the entries, and without waiting for a transaction of this process: PowerDNS may keep one from ending.
pub(in crate::sync) fn count(state: &KeptReader) -> Result<Counts, LmdbError> {
    let mut counts = state.counts()?;
    counts.retain(|dbi, _| !is_private_dbi(dbi));
    Ok(counts)
}

/// What is missing of what there was, in words.
pub(in crate::sync) fn missing(before: &Counts, now: &Counts) -> Option<String> {
    let short = before.iter().filter_map(|(dbi, before)| {
        let missing = before.saturating_sub(now.get(dbi).copied().unwrap_or(0));
        (missing > 0).then(|| format!("{missing} of {dbi}"))
    });
    let short: Vec<_> = short.collect();
    (!short.is_empty()).then(|| {
        let short = short.join(", ");
        format!("gone without a deletion mark since the last run, at least: {short}; what the store has is put back")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter()
            .map(|(dbi, count)| ((*dbi).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_table_that_got_shorter_or_is_gone_is_missing_something_and_one_that_grew_is_not() {
        let before = counts(&[("a", 5), ("b", 7), ("c", 1)]);
        assert_eq!(
            missing(&before, &counts(&[("a", 5), ("b", 8), ("c", 1), ("d", 1)])),
            None
        );
        let text = missing(&before, &counts(&[("a", 3), ("b", 8)])).unwrap();
        assert!(text.contains("2 of a, 1 of c"), "{text}");
    }
}
