//! From a database to a snapshot object.

use std::io::Seek as _;

use tempfile::SpooledTempFile;

use super::ahead::Ahead;
use crate::lmdb::{Environment, LmdbError};
use crate::powerdns::is_possible;
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
pub(super) fn dump_by(env: &Environment, meta: &Meta, ahead: &Ahead) -> Result<Dump, TransferError> {
    let now = ahead.now();
    let is_told = |dbi: &str, key: &[u8], header| is_possible(dbi, key) && !ahead.is_pending(header, now);
    env.read(|reader| {
        let txn_id = reader.txn_id();
        let meta = Meta {
            lmdb_txn_id: i64::try_from(txn_id).unwrap_or(i64::MAX),
            ..meta.clone()
        };
        let mut writer = SnapshotWriter::new(spool(env.folder()), &meta)?;
        let mut entries = 0;
        for dbi in reader.dbis()?.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
            // Protobuf wants the length first; inside one read transaction both passes see the same entries.
            let mut len = 0;
            reader.for_each_in_order(dbi, |key, header, value| {
                if is_told(&dbi.name, key, header) {
                    len += entry_len(&to_entry(key, header, value));
                }
                Ok::<(), TransferError>(())
            })?;
            writer.begin_dbi(
                &DbiHeader {
                    name: dbi.name.clone(),
                    ..DbiHeader::default()
                },
                len,
            )?;
            reader.for_each(dbi, |key, header, value| {
                if !is_told(&dbi.name, key, header) {
                    return Ok(());
                }
                entries += 1;
                writer
                    .entry(&to_entry(key, header, value))
                    .map_err(TransferError::from)
            })?;
        }
        let mut object = writer.finish()?;
        let size = object.stream_position().map_err(EncodeError::Io)?;
        Ok(Dump {
            object,
            size,
            txn_id,
            entries,
        })
    })
}

pub(super) fn to_entry<'a>(key: &'a [u8], header: crate::lmdb::header::Header, value: &'a [u8]) -> Entry<'a> {
    let value = if header.deleted { &[] } else { value };
    Entry {
        key,
        value,
        timestamp: header.timestamp,
        deleted: header.deleted,
    }
}
