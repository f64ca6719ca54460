//! What PowerDNS wrote here and something has lost against in a merge, before it got its time.
//!
//! It keeps the time that it counted with, whatever is known of the clocks later on: what lost is not looked at again.

use std::collections::BTreeMap;

use crate::lmdb::header::Header;
use crate::lmdb::{Environment, LmdbError};
use crate::sync::database::ahead::Ahead;
use crate::sync::database::settle::{Later, settle_for_good};

/// By DBI and key, the transaction that wrote an entry and the time that it counted with.
#[derive(Default)]
pub(super) struct Counted(BTreeMap<(String, Vec<u8>), (u64, u64)>);

impl Counted {
    pub(super) fn note(&mut self, dbi: &str, key: &[u8], (header, counted): (Header, u64)) {
        let place = (dbi.to_owned(), key.to_vec());
        self.0.insert(place, (header.txn_id, counted));
    }

    /// Something that came later was put in its place.
    pub(super) fn forget(&mut self, dbi: &str, key: &[u8]) {
        if !self.0.is_empty() {
            self.0.remove(&(dbi.to_owned(), key.to_vec()));
        }
    }

    /// Gives all of them their times. `txn_ids`: the transactions of that, also if it fails later on.
    ///
    /// # Errors
    /// Those of LMDB.
    pub(super) fn settle(
        self,
        env: &Environment,
        ahead: &Ahead,
        txn_ids: &mut Vec<u64>,
    ) -> Result<(), LmdbError> {
        let later = self.0.into_iter().map(|((dbi, key), (txn_id, counted))| Later {
            dbi,
            key,
            txn_id,
            floor: counted.checked_sub(1),
        });
        settle_for_good(env, ahead, &later.collect::<Vec<_>>(), txn_ids)
    }
}
