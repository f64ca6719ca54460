//! One page of LMDB's file. Its content is not trusted: whatever the bytes are, the outcome is nodes or an error.

use super::meta::{RECORD_LEN, Tree};
use super::number::{u16_at, u32_at, u64_at};
use crate::lmdb::LmdbErrorKind;

/// Length of the header of every page, bytes.
pub(super) const PAGE_HEADER: usize = 16;
/// Length of the header of a node, bytes.
const NODE_HEADER: usize = 8;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
pub(super) const META: u16 = 0x08;
const LEAF2: u16 = 0x20;
const SUB_PAGE: u16 = 0x40;
/// The flags that say what a page is; LMDB keeps others of its own beside them.
const KIND: u16 = BRANCH | LEAF | OVERFLOW | META | LEAF2 | SUB_PAGE;

const BIG_DATA: u16 = 0x01;
const SUB_DATA: u16 = 0x02;
const DUP_DATA: u16 = 0x04;

/// What a leaf has under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data<'p> {
    Inline(&'p [u8]),
    /// So many bytes from this overflow page on.
    Overflow {
        pgno: u64,
        len: usize,
    },
    /// A named DBI.
    Tree(Tree),
}

/// A branch or leaf whose node offsets lie inside the page; the nodes are checked as they are read.
pub(super) struct Page<'p> {
    pgno: u64,
    bytes: &'p [u8],
    slots: &'p [u8],
}

impl<'p> Page<'p> {
    pub(super) fn branch(pgno: u64, bytes: &'p [u8]) -> Result<Self, LmdbErrorKind> {
        Self::parse(
            pgno,
            bytes,
            BRANCH,
            "it is not the branch that its parent promises",
        )
    }

    pub(super) fn leaf(pgno: u64, bytes: &'p [u8]) -> Result<Self, LmdbErrorKind> {
        Self::parse(pgno, bytes, LEAF, "it is not the leaf that its parent promises")
    }

    fn parse(pgno: u64, bytes: &'p [u8], kind: u16, other: &'static str) -> Result<Self, LmdbErrorKind> {
        check(pgno, bytes, kind, other)?;
        let (lower, upper) = (u16_at(bytes, 12), u16_at(bytes, 14));
        let slots = match (lower.map(usize::from), upper.map(usize::from)) {
            (Some(lower), Some(upper))
                if lower <= upper && upper <= bytes.len() && lower.is_multiple_of(2) =>
            {
                bytes.get(PAGE_HEADER..lower)
            }
            _ => None,
        };
        let Some(slots) = slots.filter(|slots| !slots.is_empty()) else {
            return Err(fault(pgno, "the bounds of its free space make no sense"));
        };
        Ok(Self { pgno, bytes, slots })
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.slots.len() / 2
    }

    /// The header of a node, and what follows it.
    fn node(&self, number: usize) -> Result<(&'p [u8], &'p [u8]), LmdbErrorKind> {
        let first = PAGE_HEADER + self.slots.len();
        u16_at(self.slots, 2 * number)
            .map(usize::from)
            .filter(|at| *at >= first)
            .and_then(|at| self.bytes.get(at..))
            .and_then(|node| node.split_at_checked(NODE_HEADER))
            .ok_or(fault(self.pgno, "a node begins outside it"))
    }

    /// The pages below a branch, in the order of their keys.
    pub(super) fn children(&self) -> impl Iterator<Item = Result<u64, LmdbErrorKind>> {
        (0..self.len()).map(|number| self.child(number))
    }

    fn child(&self, number: usize) -> Result<u64, LmdbErrorKind> {
        let (header, _) = self.node(number)?;
        let low = u32_at(header, 0).map(u64::from);
        let high = u16_at(header, 4).map(u64::from);
        low.zip(high)
            .map(|(low, high)| low | (high << 32))
            .ok_or(fault(self.pgno, "a node is cut off"))
    }

    fn key(&self, number: usize) -> Result<&'p [u8], LmdbErrorKind> {
        let (header, rest) = self.node(number)?;
        let len = u16_at(header, 6).map(usize::from);
        len.and_then(|len| rest.get(..len))
            .ok_or(fault(self.pgno, "a node is longer than it"))
    }

    /// How many nodes from `first` on have a key up to this one.
    fn up_to(&self, key: &[u8], first: usize) -> Result<usize, LmdbErrorKind> {
        let (mut low, mut high) = (first, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The page below a branch that has the key, if any has. The first one has all that come before the second's.
    pub(super) fn child_of(&self, key: &[u8]) -> Result<u64, LmdbErrorKind> {
        self.child(self.up_to(key, 1)? - 1)
    }

    /// Where in a leaf the key is.
    pub(super) fn search(&self, key: &[u8]) -> Result<Option<usize>, LmdbErrorKind> {
        match self.up_to(key, 0)?.checked_sub(1) {
            Some(number) if self.key(number)? == key => Ok(Some(number)),
            _ => Ok(None),
        }
    }

    /// A key of a leaf and what it has under it.
    pub(super) fn entry(&self, number: usize) -> Result<(&'p [u8], Data<'p>), LmdbErrorKind> {
        let (header, rest) = self.node(number)?;
        entry(header, rest).map_err(|what| fault(self.pgno, what))
    }

    /// The keys of a leaf and what it has under them, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<(&'p [u8], Data<'p>), LmdbErrorKind>> {
        (0..self.len()).map(|number| self.entry(number))
    }
}

fn entry<'p>(header: &[u8], rest: &'p [u8]) -> Result<(&'p [u8], Data<'p>), &'static str> {
    let cut_off = "a node is longer than it";
    let len = u32_at(header, 0).and_then(|len| usize::try_from(len).ok());
    let len = len.ok_or(cut_off)?;
    let flags = u16_at(header, 4).ok_or(cut_off)?;
    let key_len = u16_at(header, 6).map(usize::from).ok_or(cut_off)?;
    let (key, rest) = rest.split_at_checked(key_len).ok_or(cut_off)?;
    let data = match flags {
        0 => Data::Inline(rest.get(..len).ok_or(cut_off)?),
        BIG_DATA => Data::Overflow {
            pgno: u64_at(rest, 0).ok_or(cut_off)?,
            len,
        },
        SUB_DATA => {
            let record = rest.first_chunk::<RECORD_LEN>().filter(|_| len == RECORD_LEN);
            let record = record.ok_or("the record of a DBI has another length than LMDB 0.9 gives it")?;
            Data::Tree(Tree::parse(record)?)
        }
        flags if flags & DUP_DATA != 0 => return Err("a key has several values"),
        _ => return Err("a node has unknown flags"),
    };
    Ok((key, data))
}

/// Makes sure that this is the first page of an overflow chain that holds `pages` pages.
pub(super) fn check_overflow(pgno: u64, bytes: &[u8], pages: u64) -> Result<(), LmdbErrorKind> {
    check(
        pgno,
        bytes,
        OVERFLOW,
        "it is not the overflow page that a leaf promises",
    )?;
    match u32_at(bytes, 12) {
        Some(count) if u64::from(count) >= pages => Ok(()),
        _ => Err(fault(pgno, "the value is longer than its overflow pages")),
    }
}

fn check(pgno: u64, bytes: &[u8], kind: u16, other: &'static str) -> Result<(), LmdbErrorKind> {
    if u64_at(bytes, 0) != Some(pgno) {
        return Err(fault(pgno, "it bears the number of another page"));
    }
    if u16_at(bytes, 10).map(|flags| flags & KIND) != Some(kind) {
        return Err(fault(pgno, other));
    }
    Ok(())
}

pub(super) fn fault(pgno: u64, what: &'static str) -> LmdbErrorKind {
    LmdbErrorKind::Page { pgno, what }
}
