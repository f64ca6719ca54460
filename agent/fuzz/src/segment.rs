use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::SpooledTempFile;
use zonetide_agent::snapshot::{Cut, DecodeError, Entry, Segment, SegmentWriter};

/// An entry of a cut: its DBI, key, value, time, and whether it is a deletion mark.
type Owned = (String, Vec<u8>, Vec<u8>, u64, bool);

/// The message of a segment of history: what is understood is written and read again as the same.
pub fn segment(data: &[u8]) {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(data).unwrap();
    let cuts = match decode(&gzip.finish().unwrap()) {
        Ok(cuts) => cuts,
        Err(error) => {
            assert!(!matches!(error, DecodeError::Spool(_)), "{error}");
            return drop(error.to_string());
        }
    };
    let mut writer = SegmentWriter::new(Vec::new()).unwrap();
    for (cut, entries) in &cuts {
        writer.cut(*cut).unwrap();
        for (dbi, key, value, timestamp, deleted) in entries {
            let entry = Entry {
                key,
                value,
                timestamp: *timestamp,
                deleted: *deleted,
            };
            writer.entry(dbi, &entry).unwrap();
        }
    }
    assert_eq!(decode(&writer.finish().unwrap()).unwrap(), cuts);
}

fn decode(object: &[u8]) -> Result<Vec<(Cut, Vec<Owned>)>, DecodeError> {
    let mut file = SpooledTempFile::new(64 << 20);
    file.write_all(object).unwrap();
    let mut seen = 0_usize;
    let mut segment = Segment::open(file, |_, _| seen += 1)?;
    let mut cuts = Vec::new();
    while let Some(cut) = segment.cut()? {
        let mut entries = Vec::new();
        segment.entries(|dbi, entry| {
            entries.push((
                dbi.to_owned(),
                entry.key.to_vec(),
                entry.value.to_vec(),
                entry.timestamp,
                entry.deleted,
            ));
            Ok::<(), DecodeError>(())
        })?;
        cuts.push((cut, entries));
    }
    assert_eq!(cuts.iter().map(|(_, entries)| entries.len()).sum::<usize>(), seen);
    Ok(cuts)
}
