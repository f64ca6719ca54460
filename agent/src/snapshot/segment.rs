//! A segment of history: many cuts of one instance in one object, in their order.
//!
//! gzip of protobuf fields: 1 the version of the format, then for each cut the field 2, `Cut`, and behind it the fields 3 with what was
//! written, each a DBI message as a snapshot has it. `Cut`: 1 since fixed64, 2 time fixed64, 3 whether it was written by others.
//! A key comes as often as it was written, so this is no message that Lightning Stream could merge. Unknown fields are passed over.

use std::io::{self, BufReader, BufWriter, Seek as _, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use tempfile::SpooledTempFile;

use super::decode::read_dbi;
use super::encode::write_entry;
use super::wire::{
    BYTES, FIXED64, VARINT, WireReader, write_bytes, write_fixed64, write_tag, write_uint, write_varint,
};
use super::{DecodeError, EncodeError, Entry};

/// The version that is written, and the newest that is read.
const VERSION: u64 = 1;
/// Entries of a DBI go out in parts of about this length, bytes.
const PART: usize = 256 << 10;
/// Longest `Cut` that is taken, bytes.
const MAX_CUT_LEN: u64 = 1 << 10;

/// What an instance wrote between two of its states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// The state before, ns since the epoch.
    pub since: u64,
    /// The state after it, ns since the epoch.
    pub time: u64,
    /// Other instances wrote it, and this one stored it for them: it may be older than `since`.
    pub by_others: bool,
}

/// Writes a segment.
pub struct SegmentWriter<W: Write> {
    out: BufWriter<GzEncoder<W>>,
    dbi: String,
    part: Vec<u8>,
    entries: u64,
}

impl<W: Write> SegmentWriter<W> {
    /// Begins an object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Self> {
        // It is written once and kept for weeks.
        let mut out = BufWriter::with_capacity(64 << 10, GzEncoder::new(out, Compression::default()));
        write_uint(&mut out, 1, VERSION)?;
        Ok(Self {
            out,
            dbi: String::new(),
            part: Vec::new(),
            entries: 0,
        })
    }

    /// Begins a cut; its entries follow.
    ///
    /// # Errors
    /// Those of the output.
    pub fn cut(&mut self, cut: Cut) -> io::Result<()> {
        self.end_part()?;
        let mut message = Vec::new();
        write_fixed64(&mut message, 1, cut.since)?;
        write_fixed64(&mut message, 2, cut.time)?;
        write_uint(&mut message, 3, cut.by_others.into())?;
        // Also an empty one: what follows belongs to it.
        write_tag(&mut self.out, 2, BYTES)?;
        write_varint(&mut self.out, message.len() as u64)?;
        self.out.write_all(&message)
    }

    /// Adds an entry of a DBI to the cut begun last.
    ///
    /// # Errors
    /// Those of the output.
    pub fn entry(&mut self, dbi: &str, entry: &Entry<'_>) -> io::Result<()> {
        if self.dbi != dbi || self.part.len() >= PART {
            self.end_part()?;
            dbi.clone_into(&mut self.dbi);
        }
        self.entries += 1;
        write_entry(&mut self.part, entry)
    }

    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn end_part(&mut self) -> io::Result<()> {
        if !self.part.is_empty() {
            let mut name = Vec::new();
            write_bytes(&mut name, 1, self.dbi.as_bytes())?;
            write_tag(&mut self.out, 3, BYTES)?;
            write_varint(&mut self.out, (name.len() + self.part.len()) as u64)?;
            self.out.write_all(&name)?;
            self.out.write_all(&self.part)?;
            self.part.clear();
        }
        Ok(())
    }

    /// Ends the object and gives the output back.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> Result<W, EncodeError> {
        self.end_part()?;
        let gzip = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(gzip.finish()?)
    }
}

type Input = BufReader<MultiGzDecoder<BufReader<SpooledTempFile>>>;

/// A segment that was found sound, read cut by cut.
pub struct Segment {
    reader: WireReader<Input>,
    /// A field whose tag is read already.
    next: Option<(u64, u8)>,
    buffer: Vec<u8>,
}

impl Segment {
    /// Takes the compressed object, reads it once from end to end and hands out what is in it to `visit`.
    ///
    /// # Errors
    /// Anything that makes the object unusable as a whole; see [`DecodeError`].
    pub fn open(
        mut object: SpooledTempFile,
        mut visit: impl FnMut(&str, &Entry<'_>),
    ) -> Result<Self, DecodeError> {
        let mut segment = Self::begin(object)?;
        while segment.cut()?.is_some() {
            segment.entries(|dbi, entry| {
                visit(dbi, entry);
                Ok::<(), DecodeError>(())
            })?;
        }
        object = segment.reader.into_inner().into_inner().into_inner().into_inner();
        Self::begin(object)
    }

    fn begin(mut object: SpooledTempFile) -> Result<Self, DecodeError> {
        object.rewind().map_err(DecodeError::Spool)?;
        let gzip = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, object));
        let mut reader = WireReader::new(BufReader::with_capacity(64 << 10, gzip));
        let version = match reader.tag()? {
            (1, VARINT) => reader.varint()?,
            _ => return Err(DecodeError::NoVersion),
        };
        if version > VERSION {
            return Err(DecodeError::NewerHistory(version));
        }
        Ok(Self {
            reader,
            next: None,
            buffer: Vec::new(),
        })
    }

    fn tag(&mut self) -> Result<Option<(u64, u8)>, DecodeError> {
        match self.next.take() {
            None if self.reader.at_end()? => Ok(None),
            None => self.reader.tag().map(Some),
            tag => Ok(tag),
        }
    }

    /// The next cut; what is left of the one before is passed over.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn cut(&mut self) -> Result<Option<Cut>, DecodeError> {
        while let Some(tag) = self.tag()? {
            match tag {
                (2, BYTES) => {
                    self.reader.limited("a cut", MAX_CUT_LEN, &mut self.buffer)?;
                    return read_cut(&self.buffer).map(Some);
                }
                (_, wire_type) => self.reader.skip(wire_type)?,
            }
        }
        Ok(None)
    }

    /// Hands out the entries of the cut that was read last.
    ///
    /// # Errors
    /// See [`DecodeError`], and those of `visit`.
    pub fn entries<E: From<DecodeError>>(
        &mut self,
        mut visit: impl FnMut(&str, &Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(tag) = self.tag()? {
            match tag {
                (3, BYTES) => {
                    let mut on_entry = |dbi: &super::DbiHeader, raw: super::decode::RawEntry<'_>| {
                        visit(&dbi.name, &raw.entry(false))
                    };
                    read_dbi(&mut self.reader, &mut self.buffer, &mut on_entry, 0)?;
                }
                (2, _) => {
                    self.next = Some(tag);
                    break;
                }
                (_, wire_type) => self.reader.skip(wire_type)?,
            }
        }
        Ok(())
    }
}

fn read_cut(message: &[u8]) -> Result<Cut, DecodeError> {
    let mut cut = Cut::default();
    let mut reader = WireReader::new(message);
    while !reader.at_end()? {
        match reader.tag()? {
            (1, FIXED64) => cut.since = reader.fixed64()?,
            (2, FIXED64) => cut.time = reader.fixed64()?,
            (3, VARINT) => cut.by_others = reader.varint()? != 0,
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::store::spool;

    type Seen = Vec<(u64, String, Vec<u8>, u64)>;

    fn entry(key: &[u8], timestamp: u64) -> Entry<'_> {
        Entry {
            key,
            value: b"value",
            timestamp,
            deleted: false,
        }
    }

    fn written() -> SpooledTempFile {
        let mut writer = SegmentWriter::new(spool(&std::env::temp_dir())).unwrap();
        for time in 1..4_u64 {
            writer
                .cut(Cut {
                    since: time * 10 - 10,
                    time: time * 10,
                    by_others: time == 2,
                })
                .unwrap();
            for dbi in ["one", "two"] {
                writer.entry(dbi, &entry(b"a", time)).unwrap();
                writer.entry(dbi, &entry(b"b", time)).unwrap();
            }
        }
        assert_eq!(writer.entries(), 12);
        writer.finish().unwrap()
    }

    fn read(segment: &mut Segment) -> (Vec<Cut>, Seen) {
        let (mut cuts, mut seen) = (Vec::new(), Vec::new());
        while let Some(cut) = segment.cut().unwrap() {
            cuts.push(cut);
            let visit = |dbi: &str, entry: &Entry<'_>| {
                seen.push((cut.time, dbi.to_owned(), entry.key.to_vec(), entry.timestamp));
                Ok::<(), DecodeError>(())
            };
            segment.entries(visit).unwrap();
        }
        (cuts, seen)
    }

    #[test]
    fn every_version_of_a_key_is_read_back_with_its_cut() {
        let mut count = 0;
        let mut segment = Segment::open(written(), |_, _| count += 1).unwrap();
        let (cuts, seen) = read(&mut segment);
        assert_eq!(count, seen.len());
        assert_eq!(cuts.iter().map(|cut| cut.time).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(
            cuts.iter().map(|cut| cut.by_others).collect::<Vec<_>>(),
            [false, true, false]
        );
        let expected: Seen = (1..4)
            .flat_map(|time| {
                ["one", "two"].into_iter().flat_map(move |dbi| {
                    [b"a", b"b"].map(|key| (time * 10, dbi.to_owned(), key.to_vec(), time))
                })
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn cuts_can_be_passed_over() {
        let mut segment = Segment::open(written(), |_, _| {}).unwrap();
        let mut cuts = 0;
        while segment.cut().unwrap().is_some() {
            cuts += 1;
        }
        assert_eq!(cuts, 3);
    }

    #[test]
    fn a_torn_segment_and_one_of_a_later_format_are_refused() {
        let mut whole = Vec::new();
        let mut object = written();
        object.rewind().unwrap();
        object.read_to_end(&mut whole).unwrap();
        let open = |bytes: &[u8]| {
            let mut object = spool(&std::env::temp_dir());
            object.write_all(bytes).unwrap();
            Segment::open(object, |_, _| {}).map(drop)
        };
        open(&whole).unwrap();
        for end in 0..whole.len() {
            assert!(open(&whole[..end]).is_err(), "{end} of {} bytes", whole.len());
        }
        let mut later = GzEncoder::new(Vec::new(), Compression::fast());
        write_uint(&mut later, 1, VERSION + 1).unwrap();
        let later = open(&later.finish().unwrap()).unwrap_err();
        assert!(later.to_string().contains("upgrade this agent"), "{later}");
    }
}
