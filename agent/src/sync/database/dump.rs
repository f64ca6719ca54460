//! From a database to a snapshot object.

use std::collections::BTreeMap;
use std::io::Seek as _;

use tempfile::SpooledTempFile;

use super::ahead::Ahead;
use crate::content::is_possible;
use crate::lmdb::header::Header;
use crate::lmdb::{Environment, KeptReader, LmdbError, LmdbErrorKind, Reader};
use crate::snapshot::{
    DbiHeader, DecodeError, EncodeError, Entry, Meta, SnapshotWriter, entry_len, is_private_dbi,
};
use crate::store::spool;

/// Why a database and a snapshot cannot be brought together.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Lmdb(#[from] LmdbError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A database as a snapshot object.
pub struct Dump {
    pub object: SpooledTempFile,
    /// Its length, bytes.
    pub size: u64,
    /// The transaction of the database that the object shows.
    pub txn_id: u64,
    pub entries: u64,
}

/// Writes the state of a whole database as one snapshot object. What it says of itself is `meta`, but for the transaction. Keys
/// that are none are left out.
///
/// # Errors
/// Those of LMDB; a value without a header, and keys that are not in order among them.
pub fn dump(env: &Environment, meta: &Meta) -> Result<Dump, TransferError> {
    dump_by(env, meta, &Ahead::alone())
}

/// The same less what PowerDNS has written by a clock that is wrong and that has not got its time yet: it is a change that comes
/// after this state.
pub(in crate::sync) fn dump_by(env: &Environment, meta: &Meta, ahead: &Ahead) -> Result<Dump, TransferError> {
    env.read(|reader| write(env, reader.txn_id(), reader, meta, ahead))
}

/// The same of a state that is kept.
pub(in crate::sync) fn dump_state(
    env: &Environment,
    state: &KeptReader,
    meta: &Meta,
    ahead: &Ahead,
) -> Result<Dump, TransferError> {
    match write(env, state.txn_id(), state, meta, ahead) {
        Err(TransferError::Lmdb(LmdbError {
            kind: kind @ LmdbErrorKind::Page { .. },
            ..
        })) => {
            tracing::warn!(path = %env.path().display(), error = %kind, "cannot read pages: the newest state is stored");
            dump_by(env, meta, ahead)
        }
        dump => dump,
    }
}

/// What is called with a DBI and the key, header and value of an entry.
type Visit<'v> = &'v mut dyn FnMut(&str, &[u8], Header, &[u8]) -> Result<(), TransferError>;

/// One state of a database.
trait Entries {
    /// Visits every entry, DBI by DBI in LMDB's order, and returns the names of the DBIs. Private ones may be left out.
    fn visit(&self, visit: Visit<'_>) -> Result<Vec<String>, TransferError>;
}

impl Entries for Reader<'_> {
    fn visit(&self, visit: Visit<'_>) -> Result<Vec<String>, TransferError> {
        let mut dbis = self.dbis()?;
        dbis.retain(|dbi| !is_private_dbi(&dbi.name));
        for dbi in &dbis {
            self.for_each_in_order(dbi, |key, header, value| visit(&dbi.name, key, header, value))?;
        }
        Ok(dbis.into_iter().map(|dbi| dbi.name).collect())
    }
}

impl Entries for KeptReader {
    fn visit(&self, visit: Visit<'_>) -> Result<Vec<String>, TransferError> {
        let changes = self.changes_since_nothing(|change| match change.new {
            Some(new) => visit(change.dbi, change.key, new.header, new.value),
            None => Ok(()),
        })?;
        Ok(changes.new_dbis)
    }
}

fn write(
    env: &Environment,
    txn_id: u64,
    state: &impl Entries,
    meta: &Meta,
    ahead: &Ahead,
) -> Result<Dump, TransferError> {
    let now = ahead.now();
    let is_told = |dbi: &str, key: &[u8], header| {
        !is_private_dbi(dbi) && is_possible(dbi, key) && !ahead.is_pending(header, now)
    };
    let meta = Meta {
        lmdb_txn_id: i64::try_from(txn_id).unwrap_or(i64::MAX),
        ..meta.clone()
    };
    // Protobuf wants the lengths first; both passes see the same entries.
    let mut lens = BTreeMap::<String, u64>::new();
    let dbis = state.visit(&mut |dbi, key, header, value| {
        if is_told(dbi, key, header) {
            let len = entry_len(&to_entry(key, header, value));
            match lens.get_mut(dbi) {
                Some(sum) => *sum += len,
                None => drop(lens.insert(dbi.to_owned(), len)),
            }
        }
        Ok(())
    })?;
    for dbi in dbis.into_iter().filter(|dbi| !is_private_dbi(dbi)) {
        lens.entry(dbi).or_default();
    }
    let mut writer = SnapshotWriter::new(spool(env.folder()), &meta)?;
    let begin = |writer: &mut SnapshotWriter<_>, name: &str, len| {
        let name = name.to_owned();
        writer.begin_dbi(
            &DbiHeader {
                name,
                ..DbiHeader::default()
            },
            len,
        )
    };
    let mut next = lens.iter().peekable();
    let mut entries = 0;
    state.visit(&mut |dbi, key, header, value| {
        if !is_told(dbi, key, header) {
            return Ok(());
        }
        while let Some((name, len)) = next.next_if(|(name, _)| name.as_str() <= dbi) {
            begin(&mut writer, name, *len)?;
        }
        entries += 1;
        Ok(writer.entry(&to_entry(key, header, value))?)
    })?;
    for (name, len) in next {
        begin(&mut writer, name, *len)?;
    }
    let mut object = writer.finish()?;
    let size = object.stream_position().map_err(EncodeError::Io)?;
    Ok(Dump {
        object,
        size,
        txn_id,
        entries,
    })
}

pub(in crate::sync) fn to_entry<'a>(key: &'a [u8], header: Header, value: &'a [u8]) -> Entry<'a> {
    let value = if header.deleted { &[] } else { value };
    Entry {
        key,
        value,
        timestamp: header.timestamp,
        deleted: header.deleted,
    }
}
