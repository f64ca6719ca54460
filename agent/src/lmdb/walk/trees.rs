//! What two states of a tree do not have in common.

use super::meta::Tree;
use super::pages::Pages;
use crate::lmdb::LmdbError;

/// The leaves that only the old tree has, and those that only the new one has, both in the order of their keys.
///
/// A page that both reach is the same page with everything below it: LMDB writes no page that a kept reader can see.
/// All leaves of a tree are equally far from its root, so pages are compared by their height above the leaves.
pub(super) fn changed_leaves(
    pages: &Pages<'_>,
    old: &Tree,
    new: &Tree,
) -> Result<(Vec<u64>, Vec<u64>), LmdbError> {
    let (mut old_pages, mut new_pages) = (Vec::new(), Vec::new());
    for height in (1..=old.depth.max(new.depth)).rev() {
        // The lower tree joins in at its own height.
        if height == old.depth {
            old_pages.push(old.root);
        }
        if height == new.depth {
            new_pages.push(new.root);
        }
        drop_common(&mut old_pages, &mut new_pages);
        if height > 1 {
            old_pages = pages.children(&old_pages)?;
            new_pages = pages.children(&new_pages)?;
        }
    }
    Ok((old_pages, new_pages))
}

fn drop_common(old: &mut Vec<u64>, new: &mut Vec<u64>) {
    if old.is_empty() || new.is_empty() {
        return;
    }
    let sorted = |pages: &[u64]| {
        let mut pages = pages.to_vec();
        pages.sort_unstable();
        pages
    };
    let (in_old, in_new) = (sorted(old), sorted(new));
    old.retain(|page| in_new.binary_search(page).is_err());
    new.retain(|page| in_old.binary_search(page).is_err());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_both_sides_are_dropped_and_the_order_stays() {
        let (mut old, mut new) = (vec![9, 2, 7, 4], vec![8, 4, 3, 9]);
        drop_common(&mut old, &mut new);
        assert_eq!((old, new), (vec![2, 7], vec![8, 3]));
    }
}
