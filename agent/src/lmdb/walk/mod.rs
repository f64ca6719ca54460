//! The entries put between two states of the file, found by what their pages have in common instead of by reading
//! all entries: the cost follows the change, not the database.

mod find;
#[cfg(test)]
mod fuzz;
mod leaves;
mod meta;
mod number;
mod page;
mod pages;
#[cfg(test)]
pub(super) mod tests;
mod trees;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use leaves::Leaves;
pub(super) use meta::Meta;
use meta::Tree;
use page::{Data, Page, fault};
use pages::Pages;
pub(super) use pages::read_meta;
use trees::changed_leaves;

use super::error::show_key;
use super::header::Header;
use super::order::Order;
use super::{LmdbError, LmdbErrorKind, Reader};

/// What a key has in one state; a deletion mark is something, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a> {
    pub header: Header,
    pub value: &'a [u8],
}

/// An entry that was put, or that is gone without a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    pub dbi: &'a str,
    pub key: &'a [u8],
    /// `None` for a key that the old state did not have, and always where the old state was not kept.
    pub old: Option<Version<'a>>,
    /// `None` for an entry that is gone.
    pub new: Option<Version<'a>>,
}

/// What a walk found beside the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// DBIs that the old state did not have, sorted.
    pub new_dbis: Vec<String>,
    /// DBIs that lost all their entries, or that were dropped; sorted.
    pub emptied_dbis: Vec<String>,
    /// Entries that were put.
    pub entries: u64,
    /// Entries that are gone without a mark.
    pub gone: u64,
    /// Pages read.
    pub pages: u64,
}

/// The header of what a state has under a key, if anything.
pub(super) fn header(
    path: &Path,
    file: &File,
    state: &Meta,
    dbi: &str,
    key: &[u8],
) -> Result<Option<Header>, LmdbError> {
    let pages = Pages::new(path, file, state);
    let Some(tree) = find::dbi(&pages, &state.main, dbi)? else {
        return Ok(None);
    };
    find::find(&pages, &tree, key, |data| {
        let mut header = Ok(None);
        let mut take = |stored: &[u8]| header = Header::start(stored).map(Some);
        match data {
            Data::Inline(stored) => take(stored),
            Data::Overflow { pgno, len } => {
                pages.overflow(pgno, len, &mut Vec::new(), |beginning| {
                    take(beginning);
                    false
                })?;
            }
            Data::Tree(_) => {}
        }
        header.map_err(|error| {
            let (dbi, key) = (dbi.to_owned(), show_key(key));
            pages.fail(LmdbErrorKind::Header { dbi, key, error })
        })
    })
    .map(Option::flatten)
}

/// True if a state has no such DBI, or one without entries.
pub(super) fn is_empty(path: &Path, file: &File, state: &Meta, dbi: &str) -> Result<bool, LmdbError> {
    let tree = find::dbi(&Pages::new(path, file, state), &state.main, dbi)?;
    Ok(tree.is_none_or(|tree| tree.entries == 0))
}

/// Entries by DBI, deletion marks included.
pub(super) fn counts(path: &Path, file: &File, state: &Meta) -> Result<BTreeMap<String, u64>, LmdbError> {
    let pages = Pages::new(path, file, state);
    let (_, leaves) = changed_leaves(&pages, &Tree::EMPTY, &state.main)?;
    let dbis = dbis(&pages, &leaves)?;
    Ok(dbis
        .into_iter()
        .map(|(name, tree)| (name, tree.entries))
        .collect())
}

/// Two states of one file, both kept from being overwritten while this is used.
pub(super) struct Walk<'f> {
    pub(super) path: &'f Path,
    pub(super) file: &'f File,
    pub(super) old: &'f Meta,
    pub(super) new: &'f Meta,
}

impl Walk<'_> {
    /// Calls `visit` with every entry that was put after the old state, or that is gone without a mark, DBI by DBI in LMDB's
    /// order.
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
        let names: BTreeSet<_> = old_dbis.keys().chain(new_dbis.keys()).collect();
        for name in names {
            let (old, new) = (old_dbis.get(name), new_dbis.get(name));
            if old == new {
                continue;
            }
            if old.is_none() {
                changes.new_dbis.push(name.clone());
            }
            let (old, new) = (old.unwrap_or(&Tree::EMPTY), new.unwrap_or(&Tree::EMPTY));
            if new.flags != 0 {
                let (dbi, flags) = (name.clone(), new.flags);
                return Err(pages.fail(LmdbErrorKind::DbiFlags { dbi, flags }).into());
            }
            let (old, new) = changed_leaves(&pages, old, new)?;
            entries(&pages, name, (&old, &new), self.old.txn_id, |change| {
                match change.new {
                    Some(_) => changes.entries += 1,
                    None => changes.gone += 1,
                }
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

/// Calls `visit` with what the old leaves of a DBI have and the new ones have not, and with the entries of the new leaves that a
/// later transaction than `since` put; all if that is 0, for nothing was there before. Both have all the entries of the DBI that
/// are not on pages of both states.
fn entries<E: From<LmdbError>>(
    pages: &Pages<'_>,
    dbi: &str,
    (old, new): (&[u64], &[u64]),
    since: u64,
    mut visit: impl FnMut(Change<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut old, mut new) = (Leaves::new(pages, dbi, old)?, Leaves::new(pages, dbi, new)?);
    let mut in_order = Order::of(dbi);
    let mut is_next = true;
    loop {
        if let Some(key) = new.key()?.filter(|_| is_next) {
            in_order.next(key).map_err(|kind| pages.fail(kind))?;
        }
        // Of two keys the smaller one is missing on the other side.
        let order = match (old.key()?, new.key()?) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.cmp(new),
        };
        if order == Ordering::Less {
            if let Some((key, version)) = before(&mut old)? {
                let (old, new) = (Some(version), None);
                visit(Change { dbi, key, old, new })?;
            }
        } else if let Some((key, version)) = new.entry_if(|header| is_since(header, since))? {
            let before = match order {
                Ordering::Equal => before(&mut old)?,
                _ => None,
            };
            let (old, new) = (before.map(|(_, version)| version), Some(version));
            visit(Change { dbi, key, old, new })?;
        }
        if order != Ordering::Greater {
            old.advance()?;
        }
        is_next = order != Ordering::Less;
        if is_next {
            new.advance()?;
        }
    }
}

/// An entry of the old state. What has no valid header there is nobody's trouble any more.
fn before<'l>(old: &'l mut Leaves<'_>) -> Result<Option<(&'l [u8], Version<'l>)>, LmdbError> {
    match old.entry_if(|_| true) {
        Err(LmdbError {
            kind: LmdbErrorKind::Header { .. },
            ..
        }) => Ok(None),
        entry => entry,
    }
}

/// A later transaction put it. After nothing comes everything: PowerDNS writes empty headers when it upgrades a database.
fn is_since(header: &Header, txn_id: u64) -> bool {
    txn_id == 0 || header.txn_id > txn_id
}

/// Calls `visit` with every entry whose header names a later transaction than `txn_id`, all if that is 0, DBI by DBI in LMDB's order. It
/// reads all entries, for when the old state was not kept, and so it knows neither what was before nor what is gone.
///
/// # Errors
/// Those of `visit`, of LMDB, [`LmdbErrorKind::Header`] for a value without a header, and [`LmdbErrorKind::Disorder`].
pub fn scan_since<E: From<LmdbError>>(
    reader: &Reader<'_>,
    txn_id: u64,
    mut visit: impl FnMut(Change<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for dbi in reader.dbis()? {
        reader.for_each_in_order(&dbi, |key, header, value| {
            if !is_since(&header, txn_id) {
                return Ok(());
            }
            visit(Change {
                dbi: &dbi.name,
                key,
                old: None,
                new: Some(Version { header, value }),
            })
        })?;
    }
    Ok(())
}
