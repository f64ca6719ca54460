//! A kept entry, as it is in its DBI.

use std::collections::BTreeSet;

use crate::lmdb::header::Header;
use crate::lmdb::{Dbi, Environment, LmdbError, Writer};
use crate::merge::replaces;
use crate::snapshot::{Entry, MAX_KEY_LEN};

/// What is kept: under the DBI's name, a zero byte and the key an entry with the header's time of who wrote it, whose value is
/// when it was kept (8 bytes), flags (1), the length of the sender's name (1), that name, and the value.
pub const QUARANTINE_DBI: &str = "_sync_quarantine";

/// Bytes of a value before the name of the sender.
const FIXED: usize = 10;
/// Flags: it is a deletion; its writer has given it up.
const DELETED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// A kept entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) struct Kept {
    /// With the DBI's name before it.
    pub key: Vec<u8>,
    pub timestamp: u64,
    pub deleted: bool,
    pub value: Vec<u8>,
    pub sender: String,
    /// When it was kept, ns since the epoch: it was written before that.
    pub since: u64,
    /// Its writer has put something else in its place, but others may have it yet: it is not merged, and what took its place is made later
    /// than it when its time comes.
    pub is_given_up: bool,
}

impl Kept {
    pub(in crate::sync) fn dbi_and_entry(&self) -> Option<(&str, Entry<'_>)> {
        let end = self.key.iter().position(|byte| *byte == 0)?;
        let (dbi, key) = self.key.split_at_checked(end)?;
        let entry = Entry {
            key: key.get(1..)?,
            value: &self.value,
            timestamp: self.timestamp,
            deleted: self.deleted,
        };
        Some((std::str::from_utf8(dbi).ok()?, entry))
    }

    pub(super) fn read(key: &[u8], header: Header, value: &[u8]) -> Option<Self> {
        let (fixed, rest) = value.split_first_chunk::<FIXED>()?;
        let [since @ .., flags, len] = *fixed;
        let (sender, value) = rest.split_at_checked(len.into())?;
        Some(Self {
            key: key.to_vec(),
            timestamp: header.timestamp,
            deleted: flags & DELETED != 0,
            is_given_up: flags & GIVEN_UP != 0,
            value: value.to_vec(),
            sender: std::str::from_utf8(sender).ok()?.to_owned(),
            since: u64::from_be_bytes(since),
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>, dbi: &Dbi) -> Result<(), LmdbError> {
        let sender = self.sender.get(..255).unwrap_or(&self.sender);
        let len = u8::try_from(sender.len()).unwrap_or(u8::MAX);
        let since = self.since.to_be_bytes();
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = flag(self.deleted, DELETED) | flag(self.is_given_up, GIVEN_UP);
        let fixed = [&since[..], &[flags, len]];
        let value = [&fixed.concat(), sender.as_bytes(), &self.value].concat();
        writer.put(dbi, &self.key, self.timestamp, false, &value)
    }

    pub(super) fn replaces(&self, other: &Self) -> bool {
        match (self.dbi_and_entry(), other.dbi_and_entry()) {
            (Some((_, new)), Some((_, old))) => replaces(&new, &old),
            _ => true,
        }
    }
}

/// Where an entry is kept; `None` for a key that is too long, which none of PowerDNS' is.
pub(in crate::sync) fn key_of(dbi: &str, key: &[u8]) -> Option<Vec<u8>> {
    let key = [dbi.as_bytes(), b"\0", key].concat();
    (key.len() <= MAX_KEY_LEN).then_some(key)
}

/// Something is kept for when its time comes that is under this key.
pub(in crate::sync) fn is_kept(
    writer: &Writer<'_>,
    quarantine: Option<&Dbi>,
    dbi: &str,
    key: &[u8],
) -> Result<bool, LmdbError> {
    match (quarantine, key_of(dbi, key)) {
        (Some(quarantine), Some(key)) => Ok(writer.get(quarantine, &key)?.is_some()),
        _ => Ok(false),
    }
}

/// All that is kept.
pub(super) fn for_each(env: &Environment, mut visit: impl FnMut(Kept)) -> Result<(), LmdbError> {
    let mut damaged = BTreeSet::new();
    env.read(|reader| {
        let Some(dbi) = reader.dbi(QUARANTINE_DBI)? else {
            return Ok(());
        };
        reader.for_each(&dbi, |key, header, value| {
            match Kept::read(key, header, value) {
                Some(kept) => visit(kept),
                None => {
                    damaged.insert(key.to_vec());
                }
            }
            Ok::<(), LmdbError>(())
        })
    })?;
    if !damaged.is_empty() {
        tracing::warn!(path = %env.path().display(), entries = damaged.len(), "cannot read what is kept in quarantine");
    }
    Ok(())
}
