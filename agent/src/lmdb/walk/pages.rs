//! Reading pages of LMDB's file with pread: a page that a reader keeps is never written again, and a file that
//! shrank gives an error, where a memory map of ours would end the process.

use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::meta::{META_LEN, Meta};
use super::page::{PAGE_HEADER, Page, check_overflow, fault};
use crate::lmdb::{LmdbError, LmdbErrorKind};

/// Most pages read at once when they lie one after the other, as after a bulk load.
const RUN: usize = 32;

/// The pages of one state of the file.
pub(super) struct Pages<'f> {
    pub(super) path: &'f Path,
    file: &'f File,
    page_size: usize,
    last_page: u64,
    /// Pages read so far.
    pub(super) count: Cell<u64>,
}

/// The meta page that the transaction's state is in, if no later state has taken its place.
pub(in crate::lmdb) fn read_meta(file: &File, txn_id: u64) -> Result<Meta, LmdbErrorKind> {
    let mut bytes = [0; META_LEN];
    read_at(file, 0, &mut bytes, 0)?;
    let first = Meta::parse(0, &bytes)?;
    if txn_id.is_multiple_of(2) {
        return Ok(first);
    }
    read_at(file, 1, &mut bytes, first.page_size as u64)?;
    let second = Meta::parse(1, &bytes)?;
    if second.page_size == first.page_size {
        Ok(second)
    } else {
        Err(fault(1, "its page size differs from page 0"))
    }
}

impl<'f> Pages<'f> {
    pub(super) fn new(path: &'f Path, file: &'f File, state: &Meta) -> Self {
        Self {
            path,
            file,
            page_size: state.page_size,
            last_page: state.last_page,
            count: Cell::new(0),
        }
    }

    pub(super) fn fail(&self, kind: LmdbErrorKind) -> LmdbError {
        kind.at(self.path)
    }

    /// The children of all these branches, in order.
    pub(super) fn children(&self, branches: &[u64]) -> Result<Vec<u64>, LmdbError> {
        let mut children = Vec::with_capacity(branches.len() * 64);
        self.for_each(branches, |pgno, bytes| {
            let page = Page::branch(pgno, bytes).map_err(|kind| self.fail(kind))?;
            for child in page.children() {
                children.push(child.map_err(|kind| self.fail(kind))?);
            }
            // In a tree every page has one parent.
            if children.len() as u64 > self.last_page {
                return Err(self.fail(fault(pgno, "the tree has more pages than the file")));
            }
            Ok(())
        })?;
        Ok(children)
    }

    /// Reads pages, in the order given.
    pub(super) fn for_each<E: From<LmdbError>>(
        &self,
        mut pgnos: &[u64],
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = Vec::new();
        while let Some(&first) = pgnos.first() {
            let len = self.read_run(pgnos, &mut bytes)?;
            for (pgno, page) in (first..).zip(bytes.chunks_exact(self.page_size)) {
                visit(pgno, page)?;
            }
            pgnos = pgnos.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the first of these pages, and those that follow if they lie one after the other; how many, is returned.
    pub(super) fn read_run(&self, pgnos: &[u64], bytes: &mut Vec<u8>) -> Result<usize, LmdbError> {
        let Some(&first) = pgnos.first() else { return Ok(0) };
        // The number of a damaged page may be the greatest there is.
        let follow = |pair: &&[u64]| matches!(pair, [pgno, next] if pgno.checked_add(1) == Some(*next));
        let len = 1 + pgnos.windows(2).take(RUN - 1).take_while(follow).count();
        self.read(first, len, bytes)?;
        Ok(len)
    }

    /// One of the pages that were read at once.
    pub(super) fn nth<'b>(&self, run: &'b [u8], number: usize) -> Option<&'b [u8]> {
        run.chunks_exact(self.page_size).nth(number)
    }

    /// The value in an overflow chain if `wanted` says so after a look at its beginning.
    pub(super) fn overflow<'b>(
        &self,
        pgno: u64,
        len: usize,
        bytes: &'b mut Vec<u8>,
        wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<&'b [u8]>, LmdbError> {
        let pages = (PAGE_HEADER + len).div_ceil(self.page_size);
        self.read(pgno, 1, bytes)?;
        check_overflow(pgno, bytes, pages as u64).map_err(|kind| self.fail(kind))?;
        let end = PAGE_HEADER + len;
        let beginning = bytes.get(PAGE_HEADER..end.min(self.page_size));
        if !wanted(beginning.unwrap_or_default()) {
            return Ok(None);
        }
        if pages > 1 {
            self.read(pgno, pages, bytes)?;
        }
        Ok(bytes.get(PAGE_HEADER..end))
    }

    fn read(&self, pgno: u64, len: usize, bytes: &mut Vec<u8>) -> Result<(), LmdbError> {
        let end = pgno.checked_add(len as u64);
        if end.is_none_or(|end| end > self.last_page + 1) {
            return Err(self.fail(fault(pgno, "it lies behind the last page")));
        }
        bytes.resize(len * self.page_size, 0);
        read_at(self.file, pgno, bytes, pgno * self.page_size as u64).map_err(|kind| self.fail(kind))?;
        self.count.set(self.count.get() + len as u64);
        Ok(())
    }
}

fn read_at(file: &File, pgno: u64, bytes: &mut [u8], at: u64) -> Result<(), LmdbErrorKind> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => fault(pgno, "the file ends before it does"),
        _ => heed::Error::Io(error).into(),
    })
}
