//! Looking up a key in a kept state, page by page.

use super::meta::Tree;
use super::page::{Data, Page, fault};
use super::pages::Pages;
use crate::lmdb::LmdbError;

/// Calls `found` with what a tree has under a key.
pub(super) fn find<T>(
    pages: &Pages<'_>,
    tree: &Tree,
    key: &[u8],
    found: impl FnOnce(Data<'_>) -> Result<T, LmdbError>,
) -> Result<Option<T>, LmdbError> {
    let (mut pgno, mut bytes) = (tree.root, Vec::new());
    for height in (1..=tree.depth).rev() {
        pages.read_run(&[pgno], &mut bytes)?;
        let fail = |kind| pages.fail(kind);
        if height > 1 {
            let branch = Page::branch(pgno, &bytes).map_err(fail)?;
            pgno = branch.child_of(key).map_err(fail)?;
            continue;
        }
        let leaf = Page::leaf(pgno, &bytes).map_err(fail)?;
        return match leaf.search(key).map_err(fail)? {
            Some(slot) => found(leaf.entry(slot).map_err(fail)?.1).map(Some),
            None => Ok(None),
        };
    }
    Ok(None)
}

/// The DBI of that name.
pub(super) fn dbi(pages: &Pages<'_>, main: &Tree, name: &str) -> Result<Option<Tree>, LmdbError> {
    let tree = find(pages, main, name.as_bytes(), |data| {
        Ok(match data {
            Data::Tree(tree) => Some(tree),
            _ => None,
        })
    })?;
    match tree.flatten() {
        Some(tree) if tree.flags != 0 => Err(pages.fail(fault(tree.root, "the DBI has flags of LMDB's"))),
        tree => Ok(tree),
    }
}
