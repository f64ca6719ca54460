//! Writing a snapshot object.

use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::vector::{write_had, write_states};
use super::wire::{
    BYTES, FIXED64, VARINT, varint_len, write_bytes, write_fixed64, write_tag, write_uint, write_varint,
};
use super::{
    ADOPTED_FIELD, COMPAT_VERSION, DbiHeader, Entry, FLAG_DELETED, FORMAT_VERSION, Meta, SCHEMA_FIELD,
    VECTOR_FIELD, ZONETIDE_FIELD,
};

/// Why a snapshot cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("cannot write the snapshot: {0}")]
    Io(#[from] io::Error),
    /// The caller's two passes over a DBI saw different entries; inside one read transaction that cannot be.
    #[error("DBI {name:?} was announced with {announced} bytes of entries and got {written}")]
    Length {
        name: String,
        announced: u64,
        written: u64,
    },
}

/// Bytes that `entry` will take inside its DBI message. The sum over all entries is what
/// [`SnapshotWriter::begin_dbi`] has to know in advance.
pub fn entry_len(entry: &Entry<'_>) -> u64 {
    let body = body_len(entry);
    if body == 0 { 0 } else { 1 + varint_len(body) + body }
}

fn field_len(value: &[u8]) -> u64 {
    let len = value.len() as u64;
    if len == 0 { 0 } else { 1 + varint_len(len) + len }
}

fn body_len(entry: &Entry<'_>) -> u64 {
    let timestamp = if entry.timestamp == 0 { 0 } else { 9 };
    let flags = if entry.deleted { 2 } else { 0 };
    field_len(entry.key) + field_len(entry.value) + timestamp + flags
}

/// Writes an entry as a field of its DBI message, in as many bytes as [`entry_len`] says.
pub(super) fn write_entry(out: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    let body = body_len(entry);
    if body == 0 {
        return Ok(());
    }
    write_tag(out, 2, BYTES)?;
    write_varint(out, body)?;
    write_bytes(out, 1, entry.key)?;
    write_bytes(out, 2, entry.value)?;
    if entry.timestamp != 0 {
        write_tag(out, 3, FIXED64)?;
        out.write_all(&entry.timestamp.to_le_bytes())?;
    }
    if entry.deleted {
        write_tag(out, 4, VARINT)?;
        write_varint(out, FLAG_DELETED.into())?;
    }
    Ok(())
}

/// Writes a snapshot as a stream: meta, then each DBI with its entries in LMDB's order.
pub struct SnapshotWriter<W: Write> {
    /// Fields are a few bytes each; gzip wants them by the page.
    out: BufWriter<GzEncoder<W>>,
    open: Option<OpenDbi>,
}

struct OpenDbi {
    name: String,
    announced: u64,
    written: u64,
}

impl<W: Write> SnapshotWriter<W> {
    /// Begins an object with versions and meta.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, meta: &Meta) -> Result<Self, EncodeError> {
        let mut out = BufWriter::with_capacity(64 << 10, GzEncoder::new(out, Compression::fast()));
        write_uint(&mut out, 1, FORMAT_VERSION.into())?;
        write_uint(&mut out, 4, COMPAT_VERSION.into())?;
        let mut message = Vec::new();
        write_bytes(&mut message, 1, meta.generation.as_bytes())?;
        write_bytes(&mut message, 2, meta.instance.as_bytes())?;
        write_bytes(&mut message, 3, meta.hostname.as_bytes())?;
        write_uint(&mut message, 4, meta.lmdb_txn_id.cast_unsigned())?;
        write_fixed64(&mut message, 5, meta.timestamp)?;
        write_bytes(&mut message, 7, meta.database.as_bytes())?;
        write_uint(&mut message, 8, meta.from_lmdb_txn_id.cast_unsigned())?;
        write_uint(&mut message, ZONETIDE_FIELD, meta.zonetide)?;
        write_uint(&mut message, SCHEMA_FIELD, meta.schema)?;
        for (instance, had) in &meta.vector {
            write_bytes(&mut message, VECTOR_FIELD, &write_had(instance, *had)?)?;
        }
        for (instance, states) in &meta.adopted {
            write_bytes(&mut message, ADOPTED_FIELD, &write_states(instance, states)?)?;
        }
        write_bytes(&mut out, 2, &message)?;
        Ok(Self { out, open: None })
    }

    /// Begins a DBI whose entries will take `entries_len` bytes, the sum of their [`entry_len`].
    ///
    /// # Errors
    /// Those of the output, and [`EncodeError::Length`] for the DBI before.
    pub fn begin_dbi(&mut self, header: &DbiHeader, entries_len: u64) -> Result<(), EncodeError> {
        self.end_dbi()?;
        let mut fields = Vec::new();
        write_bytes(&mut fields, 1, header.name.as_bytes())?;
        write_uint(&mut fields, 3, header.flags)?;
        write_bytes(&mut fields, 4, header.transform.as_bytes())?;
        write_tag(&mut self.out, 3, BYTES)?;
        write_varint(&mut self.out, fields.len() as u64 + entries_len)?;
        self.out.write_all(&fields)?;
        self.open = Some(OpenDbi {
            name: header.name.clone(),
            announced: entries_len,
            written: 0,
        });
        Ok(())
    }

    /// Adds an entry to the DBI begun last.
    ///
    /// # Errors
    /// Those of the output.
    pub fn entry(&mut self, entry: &Entry<'_>) -> Result<(), EncodeError> {
        write_entry(&mut self.out, entry)?;
        if let Some(open) = &mut self.open {
            open.written += entry_len(entry);
        }
        Ok(())
    }

    /// Adds entries to the DBI begun last that are written already, one after the other, by [`write_entry`].
    pub(super) fn written_entries(&mut self, entries: &[u8]) -> Result<(), EncodeError> {
        self.out.write_all(entries)?;
        if let Some(open) = &mut self.open {
            open.written += entries.len() as u64;
        }
        Ok(())
    }

    fn end_dbi(&mut self) -> Result<(), EncodeError> {
        match self.open.take() {
            Some(OpenDbi {
                name,
                announced,
                written,
            }) if announced != written => Err(EncodeError::Length {
                name,
                announced,
                written,
            }),
            _ => Ok(()),
        }
    }

    /// Ends the object and gives the output back.
    ///
    /// # Errors
    /// Those of the output, and [`EncodeError::Length`] for the last DBI.
    pub fn finish(mut self) -> Result<W, EncodeError> {
        self.end_dbi()?;
        let gzip = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(gzip.finish()?)
    }
}
