use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::SpooledTempFile;
use zonetide_agent::snapshot::{
    COMPAT_VERSION, DbiOutline, DecodeError, Entry, FORMAT_VERSION, MAX_KEY_LEN, Outline, Snapshot,
    SnapshotWriter, entry_len,
};

/// A snapshot object. Bit 0 of the first byte says what follows: an object (0), or the message of one (1), because
/// hardly a mutation of compressed bytes gets past gzip's checksum. Bit 1 has that message compressed once more,
/// in several parts, which must make no difference.
pub fn snapshot(data: &[u8]) {
    let Some((&form, body)) = data.split_first() else {
        return;
    };
    if form & 1 == 0 {
        let _ = round_trip(body.to_vec());
        return;
    }
    let result = round_trip(gzip(body));
    if form & 2 != 0 {
        let (first, second) = body.split_at(body.len() / 2);
        let parts = [gzip(first), gzip(&[]), gzip(second)].concat();
        assert_eq!(decode(parts).map_err(|error| error.to_string()), result);
    }
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(message).unwrap();
    gzip.finish().unwrap()
}

/// A snapshot as a whole, which the agent never has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decoded {
    outline: Outline,
    /// With the name of the DBI.
    entries: Vec<(String, Owned)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    key: Vec<u8>,
    value: Vec<u8>,
    timestamp: u64,
    deleted: bool,
}

impl Owned {
    fn entry(&self) -> Entry<'_> {
        Entry {
            key: &self.key,
            value: &self.value,
            timestamp: self.timestamp,
            deleted: self.deleted,
        }
    }
}

/// What an object decodes to is encoded and decodes to the same.
fn round_trip(object: Vec<u8>) -> Result<Decoded, String> {
    let decoded = decode(object).map_err(|error| {
        assert!(!matches!(error, DecodeError::Spool(_)), "{error}");
        error.to_string()
    })?;
    let mut again = decode(encode(&decoded)).unwrap();
    assert_eq!(again.outline.format_version, u64::from(FORMAT_VERSION));
    assert_eq!(again.outline.compat_version, u64::from(COMPAT_VERSION));
    again.outline.format_version = decoded.outline.format_version;
    again.outline.compat_version = decoded.outline.compat_version;
    // Unknown and repeated fields are gone.
    assert!(again.outline.raw_len <= decoded.outline.raw_len + 4);
    again.outline.raw_len = decoded.outline.raw_len;
    assert_eq!(again, decoded);
    Ok(decoded)
}

fn decode(object: Vec<u8>) -> Result<Decoded, DecodeError> {
    let mut file = SpooledTempFile::new(64 << 20);
    file.write_all(&object).unwrap();
    drop(object);
    let mut snapshot = Snapshot::open(file)?;
    let outline = snapshot.outline().clone();
    let mut entries = Vec::new();
    snapshot.for_each_entry(|DbiOutline { header, .. }, entry| {
        assert!((1..=MAX_KEY_LEN).contains(&entry.key.len()));
        assert!(!entry.deleted || entry.value.is_empty());
        let owned = Owned {
            key: entry.key.to_vec(),
            value: entry.value.to_vec(),
            timestamp: entry.timestamp,
            deleted: entry.deleted,
        };
        entries.push((header.name.clone(), owned));
        Ok::<(), DecodeError>(())
    })?;
    let counted: u64 = outline.dbis.iter().map(|dbi| dbi.entries).sum();
    assert_eq!(counted, entries.len() as u64);
    Ok(Decoded { outline, entries })
}

fn encode(decoded: &Decoded) -> Vec<u8> {
    let mut writer = SnapshotWriter::new(Vec::new(), &decoded.outline.meta).unwrap();
    let mut rest = &decoded.entries[..];
    for dbi in &decoded.outline.dbis {
        let (own, others) = rest.split_at(usize::try_from(dbi.entries).unwrap());
        rest = others;
        let len = own.iter().map(|(_, owned)| entry_len(&owned.entry())).sum();
        writer.begin_dbi(&dbi.header, len).unwrap();
        for (name, owned) in own {
            assert_eq!(*name, dbi.header.name);
            writer.entry(&owned.entry()).unwrap();
        }
    }
    writer.finish().unwrap()
}
