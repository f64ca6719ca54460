//! All entries of a DBI from entry to entry, and all of them written anew: for one whose keys are not in order.

use heed::PutFlags;

use super::header::Header;
use super::{Dbi, Environment, KeptReader, LmdbError, Version, Writer};

impl Writer<'_> {
    /// Calls `visit` with every key and stored value of a DBI, in whatever order its pages have them.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn for_each_stored(&self, dbi: &Dbi, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), LmdbError> {
        let lmdb = |error: heed::Error| self.env.fail(error.into());
        for item in dbi.handle.iter(&self.txn).map_err(lmdb)? {
            let (key, stored) = item.map_err(lmdb)?;
            visit(key, stored);
        }
        Ok(())
    }

    /// Puts these entries, in order, in the place of all that a DBI has, with their headers as they are. Who reads the DBI goes
    /// on with the state before.
    ///
    /// # Errors
    /// Those of LMDB; keys that are not in order among them.
    pub fn refill<'a>(
        &mut self,
        dbi: &Dbi,
        entries: impl IntoIterator<Item = (&'a [u8], Header, &'a [u8])>,
    ) -> Result<(), LmdbError> {
        let env = self.env;
        let lmdb = |error: heed::Error| env.fail(error.into());
        self.dirty = true;
        dbi.handle.clear(&mut self.txn).map_err(lmdb)?;
        for (key, header, value) in entries {
            let stored = [&header.to_bytes(), value].concat();
            let appended = dbi
                .handle
                .put_with_flags(&mut self.txn, PutFlags::APPEND, key, &stored);
            appended.map_err(lmdb)?;
        }
        Ok(())
    }
}

impl KeptReader {
    /// Calls `visit` with every entry of a DBI in this state.
    ///
    /// # Errors
    /// As [`KeptReader::changes_since`].
    pub fn for_each(&self, dbi: &str, mut visit: impl FnMut(&[u8], Version<'_>)) -> Result<(), LmdbError> {
        self.changes_since_nothing(|change| {
            if let Some(version) = change.new.filter(|_| change.dbi == dbi) {
                visit(change.key, version);
            }
            Ok(())
        })
        .map(drop)
    }
}

impl Environment {
    /// A stored value of this length has pages of its own.
    pub fn is_long(&self, key: &[u8], stored: usize) -> bool {
        let page = self.env.stat().page_size as usize;
        // Two nodes fit on a page: half of what its header of 16 bytes leaves, less the two bytes by which it is found. A node
        // has 8 bytes before its key.
        let most = ((page.saturating_sub(16) / 2) & !1).saturating_sub(2);
        8 + key.len() + stored > most
    }
}
