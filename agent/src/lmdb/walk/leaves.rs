//! The entries of leaves, in order, each page read once.

use super::page::{Data, Page, fault};
use super::pages::Pages;
use super::{Version, show_key};
use crate::lmdb::header::Header;
use crate::lmdb::{LmdbError, LmdbErrorKind};

/// A cursor on the entries of some leaves of a DBI.
pub(super) struct Leaves<'p> {
    pages: &'p Pages<'p>,
    dbi: &'p str,
    /// Pages that are not read yet.
    left: &'p [u64],
    /// Pages that lie one after the other, from number `first` on.
    run: Vec<u8>,
    first: u64,
    /// Which of them the cursor is on, and where in it.
    page: usize,
    slot: usize,
    /// The value read last that does not fit into a leaf.
    chain: Vec<u8>,
}

impl<'p> Leaves<'p> {
    pub(super) fn new(pages: &'p Pages<'p>, dbi: &'p str, leaves: &'p [u64]) -> Result<Self, LmdbError> {
        let mut cursor = Self {
            pages,
            dbi,
            left: leaves,
            run: Vec::new(),
            first: 0,
            page: 0,
            slot: 0,
            chain: Vec::new(),
        };
        cursor.read_on()?;
        Ok(cursor)
    }

    fn read_on(&mut self) -> Result<(), LmdbError> {
        self.run.clear();
        (self.page, self.slot) = (0, 0);
        if let Some(&first) = self.left.first() {
            let len = self.pages.read_run(self.left, &mut self.run)?;
            self.first = first;
            self.left = self.left.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    fn leaf(&self) -> Result<Option<Page<'_>>, LmdbError> {
        let Some(bytes) = self.pages.nth(&self.run, self.page) else {
            return Ok(None);
        };
        let page = Page::leaf(self.first + self.page as u64, bytes);
        page.map(Some).map_err(|kind| self.pages.fail(kind))
    }

    /// The key that the cursor is on; `None` behind the last one.
    pub(super) fn key(&self) -> Result<Option<&[u8]>, LmdbError> {
        let Some(page) = self.leaf()? else { return Ok(None) };
        let (key, _) = page.entry(self.slot).map_err(|kind| self.pages.fail(kind))?;
        Ok(Some(key))
    }

    /// The entry that the cursor is on, if it is wanted. The rest of a long value is read only then, or if its header is no
    /// valid one.
    pub(super) fn entry_if(
        &mut self,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<Option<(&[u8], Version<'_>)>, LmdbError> {
        let pgno = self.first + self.page as u64;
        let Some(bytes) = self.pages.nth(&self.run, self.page) else {
            return Ok(None);
        };
        let fail = |kind| self.pages.fail(kind);
        let page = Page::leaf(pgno, bytes).map_err(fail)?;
        let (key, data) = page.entry(self.slot).map_err(fail)?;
        let stored = match data {
            Data::Inline(stored) => Some(stored),
            Data::Overflow { pgno, len } => self.pages.overflow(pgno, len, &mut self.chain, |beginning| {
                Header::split(beginning).map_or(true, |(header, _)| wanted(&header))
            })?,
            Data::Tree(_) => return Err(fail(fault(pgno, "a DBI is inside another"))),
        };
        let Some(stored) = stored else { return Ok(None) };
        let (header, value) = Header::split(stored).map_err(|error| {
            let (dbi, key) = (self.dbi.to_owned(), show_key(key));
            fail(LmdbErrorKind::Header { dbi, key, error })
        })?;
        Ok(wanted(&header).then_some((key, Version { header, value })))
    }

    pub(super) fn advance(&mut self) -> Result<(), LmdbError> {
        let Some(page) = self.leaf()? else { return Ok(()) };
        let slots = page.len();
        self.slot += 1;
        if self.slot < slots {
            return Ok(());
        }
        (self.page, self.slot) = (self.page + 1, 0);
        if self.pages.nth(&self.run, self.page).is_none() {
            self.read_on()?;
        }
        Ok(())
    }
}
