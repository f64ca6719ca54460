//! What differs between two databases.

use std::collections::BTreeSet;

use crate::lmdb::{Environment, LmdbError, Reader};
use crate::merge::replaces;
use crate::snapshot::{Entry, is_private_dbi};

/// An entry that differs; at least one side is there.
pub struct Difference<'a> {
    pub dbi: &'a str,
    pub key: &'a [u8],
    pub old: Option<Entry<'a>>,
    pub new: Option<Entry<'a>>,
}

/// What happened to an entry on the way from old to new, as PowerDNS sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Added,
    Changed,
    Removed,
}

impl Difference<'_> {
    /// The change; `None` if PowerDNS sees none, such as between a mark and nothing.
    pub fn change(&self) -> Option<Change> {
        let visible = |entry: &Option<Entry<'_>>| entry.is_some_and(|entry| !entry.deleted);
        match (visible(&self.old), visible(&self.new)) {
            (false, true) => Some(Change::Added),
            (true, false) => Some(Change::Removed),
            (true, true) if self.old.map(|entry| entry.value) != self.new.map(|entry| entry.value) => {
                Some(Change::Changed)
            }
            _ => None,
        }
    }

    /// True if a merge of the new side would change the old one.
    pub fn new_wins(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => replaces(new, old),
            (old, _) => old.is_none(),
        }
    }
}

/// Calls `visit` with every entry that is not the same on both sides, DBI by DBI; Lightning Stream's private DBIs are left out.
///
/// # Errors
/// Those of LMDB and of `visit`.
pub fn compare<E: From<LmdbError>>(
    old: &Environment,
    new: &Environment,
    mut visit: impl FnMut(&Difference<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (old, new) = (old.begin_read()?, new.begin_read()?);
    let names = |reader: &Reader<'_>| -> Result<BTreeSet<String>, LmdbError> {
        Ok(reader
            .dbis()?
            .into_iter()
            .map(|dbi| dbi.name)
            .filter(|name| !is_private_dbi(name))
            .collect())
    };
    for name in names(&old)?.union(&names(&new)?) {
        let (old_dbi, new_dbi) = (old.dbi(name)?, new.dbi(name)?);
        if let Some(new_dbi) = &new_dbi {
            new.for_each(new_dbi, |key, header, value| {
                let new = Entry {
                    key,
                    value,
                    timestamp: header.timestamp,
                    deleted: header.deleted,
                };
                let found = old_dbi
                    .as_ref()
                    .map(|dbi| old.get(dbi, key))
                    .transpose()?
                    .flatten();
                let old = found.map(|(header, value)| Entry {
                    key,
                    value,
                    timestamp: header.timestamp,
                    deleted: header.deleted,
                });
                if old == Some(new) {
                    Ok(())
                } else {
                    visit(&Difference {
                        dbi: name,
                        key,
                        old,
                        new: Some(new),
                    })
                }
            })?;
        }
        if let Some(old_dbi) = &old_dbi {
            old.for_each(old_dbi, |key, header, value| {
                let there = new_dbi
                    .as_ref()
                    .map(|dbi| new.get(dbi, key))
                    .transpose()?
                    .flatten();
                if there.is_some() {
                    return Ok(());
                }
                let old = Entry {
                    key,
                    value,
                    timestamp: header.timestamp,
                    deleted: header.deleted,
                };
                visit(&Difference {
                    dbi: name,
                    key,
                    old: Some(old),
                    new: None,
                })
            })?;
        }
    }
    old.finish()?;
    new.finish()?;
    Ok(())
}
