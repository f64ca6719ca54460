//! The entries put between two states of the file, found by what their pages have in common instead of by reading
//! all entries: the cost follows the change, not the database.

#[cfg(test)]
mod fuzz;
mod meta;
mod number;
mod page;
mod pages;
#[cfg(test)]
pub(super) mod tests;
mod trees;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

pub(super) use meta::Meta;
use meta::Tree;
use page::{Data, Page, fault};
use pages::Pages;
pub(super) use pages::read_meta;
use trees::changed_leaves;

use super::error::show_key;
use super::header::Header;
use super::{LmdbError, LmdbErrorKind, Reader};

/// An entry that was put; a deletion mark is one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    pub dbi: &'a str,
    pub key: &'a [u8],
    pub header: Header,
    pub value: &'a [u8],
}

/// What a walk found beside the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// DBIs that the old state did not have, sorted.
    pub new_dbis: Vec<String>,
    /// DBIs that lost all their entries, or that were dropped; sorted.
    pub emptied_dbis: Vec<String>,
    /// Entries reported.
    pub entries: u64,
    /// Pages read.
    pub pages: u64,
}

/// Two states of one file, both kept from being overwritten while this is used.
pub(super) struct Walk<'f> {
    pub(super) path: &'f Path,
    pub(super) file: &'f File,
    pub(super) old: &'f Meta,
    pub(super) new: &'f Meta,
}

impl Walk<'_> {
    /// Calls `visit` with every entry that was put after the old state, DBI by DBI in LMDB's order. Entries that are
    /// gone without a mark are passed over.
    pub(super) fn run<E: From<LmdbError>>(
        &self,
        mut visit: impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<Changes, E> {
        let pages = Pages::new(self.path, self.file, self.new);
        if self.old.page_size != self.new.page_size || self.old.last_page > self.new.last_page {
            return Err(pages.fail(fault(0, "the two states are not of one file")).into());
        }
        let mut changes = Changes::default();
        let (old_leaves, new_leaves) = changed_leaves(&pages, &self.old.main, &self.new.main)?;
        let (old_dbis, new_dbis) = (dbis(&pages, &old_leaves)?, dbis(&pages, &new_leaves)?);
        for (name, old) in &old_dbis {
            let entries = new_dbis.get(name).map_or(0, |new| new.entries);
            if entries == 0 && (old.entries > 0 || !new_dbis.contains_key(name)) {
                changes.emptied_dbis.push(name.clone());
            }
        }
        for (name, new) in &new_dbis {
            let old = old_dbis.get(name);
            if old == Some(new) {
                continue;
            }
            if old.is_none() {
                changes.new_dbis.push(name.clone());
            }
            if new.flags != 0 {
                let (dbi, flags) = (name.clone(), new.flags);
                return Err(pages.fail(LmdbErrorKind::DbiFlags { dbi, flags }).into());
            }
            let (_, leaves) = changed_leaves(&pages, old.unwrap_or(&Tree::EMPTY), new)?;
            entries(&pages, name, &leaves, self.old.txn_id, |change| {
                changes.entries += 1;
                visit(change)
            })?;
        }
        changes.pages = pages.count.get();
        Ok(changes)
    }
}

/// The DBIs that these leaves of the main DBI name; anything else in there is plain data.
fn dbis(pages: &Pages<'_>, leaves: &[u64]) -> Result<BTreeMap<String, Tree>, LmdbError> {
    let mut dbis = BTreeMap::new();
    pages.for_each(leaves, |pgno, bytes| {
        let page = Page::leaf(pgno, bytes).map_err(|kind| pages.fail(kind))?;
        for entry in page.entries() {
            let (name, data) = entry.map_err(|kind| pages.fail(kind))?;
            let name = std::str::from_utf8(name).ok().filter(|name| !name.contains('\0'));
            if let (Some(name), Data::Tree(tree)) = (name, data) {
                dbis.insert(name.to_owned(), tree);
            }
        }
        Ok::<(), LmdbError>(())
    })?;
    Ok(dbis)
}

/// Calls `visit` with the entries of these leaves that a later transaction than `since` put.
fn entries<E: From<LmdbError>>(
    pages: &Pages<'_>,
    dbi: &str,
    leaves: &[u64],
    since: u64,
    mut visit: impl FnMut(Change<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut chain = Vec::new();
    pages.for_each(leaves, |pgno, bytes| {
        let page = Page::leaf(pgno, bytes).map_err(|kind| pages.fail(kind))?;
        for entry in page.entries() {
            let (key, data) = entry.map_err(|kind| pages.fail(kind))?;
            let stored = match data {
                Data::Inline(stored) => Some(stored),
                // The rest of a long value is read only if it is new, or if its beginning cannot be told without it.
                Data::Overflow { pgno, len } => pages.overflow(pgno, len, &mut chain, |beginning| {
                    Header::split(beginning).map_or(true, |(header, _)| header.txn_id > since)
                })?,
                Data::Tree(_) => return Err(pages.fail(fault(pgno, "a DBI is inside another")).into()),
            };
            let Some(stored) = stored else { continue };
            let (header, value) = Header::split(stored).map_err(|error| {
                let (dbi, key) = (dbi.to_owned(), show_key(key));
                pages.fail(LmdbErrorKind::Header { dbi, key, error })
            })?;
            if header.txn_id > since {
                visit(Change {
                    dbi,
                    key,
                    header,
                    value,
                })?;
            }
        }
        Ok::<(), E>(())
    })
}

/// Calls `visit` with every entry whose header names a later transaction than `txn_id`, DBI by DBI in LMDB's order. It
/// reads all entries: for when the old state was not kept.
///
/// # Errors
/// Those of `visit`, of LMDB, and [`LmdbErrorKind::Header`] for a value without a header.
pub fn scan_since<E: From<LmdbError>>(
    reader: &Reader<'_>,
    txn_id: u64,
    mut visit: impl FnMut(Change<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for dbi in reader.dbis()? {
        reader.for_each(&dbi, |key, header, value| {
            if header.txn_id <= txn_id {
                return Ok(());
            }
            visit(Change {
                dbi: &dbi.name,
                key,
                header,
                value,
            })
        })?;
    }
    Ok(())
}
