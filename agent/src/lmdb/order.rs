//! Whether the keys of a DBI come in LMDB's order, without which its search fails.
//!
//! PowerDNS 4.9.18 writes some keys over with other bytes when it signs or rectifies a zone that has an RRset of more than some
//! 2 kB. What is behind such a key is found by going from entry to entry only.

use super::header::Header;
use super::{Dbi, LmdbError, LmdbErrorKind, Reader};

impl Reader<'_> {
    /// Calls `visit` with the key, header and value of every entry of a DBI, and makes sure that the keys are in LMDB's order.
    ///
    /// # Errors
    /// As [`Reader::for_each`], and [`LmdbErrorKind::Disorder`].
    pub fn for_each_in_order<E: From<LmdbError>>(
        &self,
        dbi: &Dbi,
        mut visit: impl FnMut(&[u8], Header, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut order = Order::of(&dbi.name);
        self.for_each(dbi, |key, header, value| {
            order.next(key).map_err(|kind| self.env.fail(kind))?;
            visit(key, header, value)
        })
    }
}

/// Is shown the keys of a DBI one after the other.
pub(super) struct Order<'d> {
    dbi: &'d str,
    last: Option<Vec<u8>>,
}

impl<'d> Order<'d> {
    pub(super) fn of(dbi: &'d str) -> Self {
        Self { dbi, last: None }
    }

    /// # Errors
    /// [`LmdbErrorKind::Disorder`] for a key that does not come after the one before.
    pub(super) fn next(&mut self, key: &[u8]) -> Result<(), LmdbErrorKind> {
        let last = self.last.get_or_insert_default();
        // LMDB has no empty keys, so that every first one comes after the empty one.
        if key <= last.as_slice() {
            return Err(LmdbErrorKind::Disorder {
                dbi: self.dbi.to_owned(),
            });
        }
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }
}
