//! The two pages at the start of LMDB's file that say where the trees of the last two states begin.

use super::number::{u16_at, u32_at, u64_at};
use super::page::{META, PAGE_HEADER, fault};
use crate::lmdb::LmdbErrorKind;

/// Length of the record that describes a tree, bytes.
pub(super) const RECORD_LEN: usize = 48;
/// Bytes of a meta page that mean something.
pub(super) const META_LEN: usize = 152;
const MAGIC: u32 = 0xBEEF_C0DE;
/// The version of the file format that LMDB 0.9 writes.
const VERSION: u32 = 1;
/// LMDB's own limit.
const MAX_DEPTH: u16 = 32;

// LMDB's numbers have the width of the machine's words.
const _: () = assert!(
    size_of::<usize>() == 8,
    "LMDB's file is read as 64-bit machines write it"
);

/// A tree of pages: a DBI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) flags: u16,
    /// Levels of pages; none when there is no entry.
    pub(super) depth: u16,
    pub(super) entries: u64,
    pub(super) root: u64,
}

impl Tree {
    /// One without entries, or that does not exist.
    pub(super) const EMPTY: Self = Self {
        flags: 0,
        depth: 0,
        entries: 0,
        root: u64::MAX,
    };

    pub(super) fn parse(record: &[u8; RECORD_LEN]) -> Result<Self, &'static str> {
        let fields = (
            u16_at(record, 4),
            u16_at(record, 6),
            u64_at(record, 32),
            u64_at(record, 40),
        );
        match fields {
            (_, Some(depth), ..) if depth > MAX_DEPTH => Err("a tree is deeper than LMDB allows"),
            (Some(flags), Some(depth), Some(entries), Some(root)) => Ok(Self {
                flags,
                depth,
                entries,
                root,
            }),
            _ => Err("the record of a tree is cut off"),
        }
    }
}

/// What a meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lmdb) struct Meta {
    pub(super) page_size: usize,
    pub(super) main: Tree,
    pub(super) last_page: u64,
    pub(in crate::lmdb) txn_id: u64,
}

impl Meta {
    /// The state of the same file before anything was written to it.
    pub(in crate::lmdb) fn without_entries(&self) -> Self {
        Self {
            main: Tree::EMPTY,
            txn_id: 0,
            ..*self
        }
    }

    pub(super) fn parse(pgno: u64, bytes: &[u8; META_LEN]) -> Result<Self, LmdbErrorKind> {
        let flags = u16_at(bytes, 10).unwrap_or_default();
        if u64_at(bytes, 0) != Some(pgno) || flags & META == 0 || u32_at(bytes, PAGE_HEADER) != Some(MAGIC) {
            return Err(fault(pgno, "it is not a meta page of this machine"));
        }
        if u32_at(bytes, PAGE_HEADER + 4) != Some(VERSION) {
            return Err(fault(pgno, "it is of another version of LMDB"));
        }
        let page_size = u32_at(bytes, 40).and_then(|size| usize::try_from(size).ok());
        let page_size = page_size
            .filter(|size| size.is_power_of_two() && (512..=65536).contains(size))
            .ok_or(fault(pgno, "its page size makes no sense"))?;
        let main = bytes.get(88..).and_then(<[u8]>::first_chunk);
        let main = main.ok_or("it is cut off").and_then(Tree::parse);
        let main = main.map_err(|what| fault(pgno, what))?;
        let (Some(last_page), Some(txn_id)) = (u64_at(bytes, 136), u64_at(bytes, 144)) else {
            return Err(fault(pgno, "it is cut off"));
        };
        // Such a file would be larger than the address space: its pages cannot be counted in bytes.
        if last_page >= (1 << 47) / page_size as u64 {
            return Err(fault(pgno, "its last page makes no sense"));
        }
        Ok(Self {
            page_size,
            main,
            last_page,
            txn_id,
        })
    }
}
