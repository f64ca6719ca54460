//! Whether a snapshot has anything that is news here, found out before a merge begins: it is read beside all else, and most that are read
//! say nothing new.

use std::collections::HashMap;

use super::{Merged, Terms, wins};
use crate::content::is_possible;
use crate::lmdb::{Environment, LmdbError};
use crate::snapshot::{DecodeError, Entry, Snapshot, is_private_dbi};
use crate::sync::database::dump::{TransferError, to_entry};
use crate::sync::database::quarantine::Guard;

/// Why a look at a snapshot ends.
enum End {
    News,
    Error(TransferError),
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        Self::Error(error.into())
    }
}

impl From<LmdbError> for End {
    fn from(error: LmdbError) -> Self {
        Self::Error(error.into())
    }
}

/// What a merge would come to that has nothing to write, whatever becomes known of the clocks; `None`: it may have.
///
/// # Errors
/// Those of LMDB and of the temporary file.
pub(in crate::sync) fn foresee(
    env: &Environment,
    snapshot: &mut Snapshot,
    terms: &Terms<'_>,
    guard: &Guard,
) -> Result<Option<Merged>, TransferError> {
    if terms.confirm.is_some() || guard.has_any() {
        return Ok(None);
    }
    let mut look = |merged: &mut Merged| -> Result<(), End> {
        let (reader, now) = (env.begin_read()?, terms.ahead.now());
        let names: Vec<_> = snapshot
            .outline()
            .dbis
            .iter()
            .map(|dbi| dbi.header.name.clone())
            .collect();
        let mut dbis = HashMap::new();
        for name in names.into_iter().filter(|name| !is_private_dbi(name)) {
            let dbi = reader.dbi(&name)?.ok_or(End::News)?;
            dbis.insert(name, dbi);
        }
        snapshot.for_each_entry(|outline, incoming| {
            let name = &outline.header.name;
            let Some(dbi) = dbis.get(name).filter(|_| is_possible(name, incoming.key)) else {
                return Ok(());
            };
            merged.entries += 1;
            merged.newest = merged.newest.max(incoming.timestamp);
            let is_news = match reader.get(dbi, incoming.key)? {
                Some((header, value)) => {
                    let timestamp = terms.ahead.least(header, now);
                    let local = to_entry(incoming.key, header, value);
                    wins(name, &incoming, &Entry { timestamp, ..local })
                }
                None => !incoming.deleted || incoming.timestamp >= terms.oldest_mark,
            };
            if is_news || guard.is_ahead(incoming.timestamp) {
                return Err(End::News);
            }
            Ok(())
        })?;
        Ok(reader.finish()?)
    };
    let mut merged = Merged::default();
    match look(&mut merged) {
        Ok(()) => Ok(Some(merged)),
        Err(End::News) => Ok(None),
        Err(End::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lmdb::OpenOptions;
    use crate::snapshot::Meta;
    use crate::sync::database::ahead::Ahead;
    use crate::sync::database::dump::dump;
    use crate::sync::database::load::merge;

    /// A DBI, a key, a time, whether it is a mark, and a value.
    type Written = (u8, u8, u64, bool, u8);

    /// Marks from before this time are swept.
    const OLDEST_MARK: u64 = 3;

    fn database(written: &[Written]) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(1 << 20);
        let env = Environment::open(&dir.path().join("db"), &options).unwrap();
        env.write::<_, LmdbError>(|writer| {
            for (dbi, key, time, is_mark, value) in written {
                let dbi = writer.dbi(&format!("dbi{dbi}"))?;
                writer.put(&dbi, &[*key], *time, *is_mark, &[*value])?;
            }
            Ok(())
        })
        .unwrap();
        (dir, env)
    }

    fn written() -> impl Strategy<Value = Vec<Written>> {
        proptest::collection::vec((0..2_u8, 0..3_u8, 1..6_u64, any::<bool>(), 0..2_u8), 1..6)
    }

    proptest! {
        #[test]
        fn what_has_nothing_to_write_is_foreseen_and_nothing_else(here in written(), theirs in written()) {
            let ((_here, env), (_theirs, other)) = (database(&here), database(&theirs));
            let snapshot = || Snapshot::open(dump(&other, &Meta::default()).unwrap().object).unwrap();
            let terms = Terms { oldest_mark: OLDEST_MARK, ahead: &Ahead::alone(), confirm: None };
            let foreseen = foresee(&env, &mut snapshot(), &terms, &Guard::open()).unwrap();
            let mut merged = merge(&env, &mut snapshot(), OLDEST_MARK).unwrap();
            prop_assert_eq!(foreseen.is_some(), merged.txn_ids.is_empty(), "{:?} {:?}", foreseen, merged);
            if let Some(foreseen) = foreseen {
                merged.written_of.clear();
                merged.had_written.clear();
                prop_assert_eq!(foreseen, merged);
            }
        }
    }
}
