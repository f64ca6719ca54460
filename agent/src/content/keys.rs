//! The keys of PowerDNS' LMDB, schemas 5 and 6 (PowerDNS 4.8 to 5.1).
//!
//! `records_v5` has the zone's ID (4 bytes), the name relative to the zone, a zero byte and the type (2 bytes); tables of
//! objects have the object's ID; their indexes, whose names end in `_0`, a name behind its length (2 bytes), then the
//! object's ID. Names are stored from the top down, each label followed by a zero byte; a variant of a zone (PowerDNS 5)
//! comes after one more.

/// A key of a table of records or comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKey<'k> {
    /// The zone's ID.
    pub zone: u32,
    /// The name relative to the zone as it is stored.
    name: &'k [u8],
    /// The type's number; 0 for an empty non-terminal.
    pub kind: u16,
}

/// The end of a comment's key, bytes: a hash of the comment, of which an RRset may have several.
const COMMENT_HASH: usize = 32;

impl<'k> RecordKey<'k> {
    /// Takes a key apart; `None` for something else.
    pub fn parse(key: &'k [u8]) -> Option<Self> {
        let (zone, rest) = key.split_first_chunk::<4>()?;
        let (name, kind) = rest.split_last_chunk::<2>()?;
        Some(Self {
            zone: u32::from_be_bytes(*zone),
            name: name.strip_suffix(b"\0")?,
            kind: u16::from_be_bytes(*kind),
        })
    }

    /// Takes the key of a comment apart, which begins with the key of its RRset; `None` for something else.
    pub fn parse_of_comment(key: &'k [u8]) -> Option<Self> {
        let (of, _) = key.split_last_chunk::<COMMENT_HASH>()?;
        Self::parse(of)
    }

    /// The labels below the zone, the leftmost first; none for the zone itself.
    pub fn labels(&self) -> impl Iterator<Item = &'k [u8]> + use<'k> {
        labels(self.name)
    }
}

/// The type of the record that every zone has one of.
pub(super) const SOA: u16 = 6;

/// The zone whose SOA record is under this key of a table.
pub fn zone_of_soa(dbi: &str, key: &[u8]) -> Option<u32> {
    let key = (dbi == "records_v5").then(|| RecordKey::parse(key))??;
    (key.kind == SOA && key.labels().next().is_none()).then_some(key.zone)
}

/// The zone whose record is under this key of a table.
pub fn zone_of_record(dbi: &str, key: &[u8]) -> Option<u32> {
    (dbi == "records_v5")
        .then(|| RecordKey::parse(key))?
        .map(|key| key.zone)
}

/// The index of zones by their names.
pub const ZONES: &str = "domains_v5_0";

/// The zone that is not there without the entry under this key of a table: its SOA record, or its name.
pub fn zone_made_by(dbi: &str, key: &[u8]) -> Option<u32> {
    match dbi {
        ZONES => IndexKey::parse(key).map(|key| key.id),
        _ => zone_of_soa(dbi, key),
    }
}

/// A key of an index such as `domains_v5_0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexKey<'k> {
    /// The name as it is stored.
    name: &'k [u8],
    /// Which variant of the zone it is about; empty for the zone that everybody is shown.
    pub variant: &'k [u8],
    /// The ID of the object that has this name.
    pub id: u32,
}

impl<'k> IndexKey<'k> {
    /// Takes a key apart; `None` for something else.
    pub fn parse(key: &'k [u8]) -> Option<Self> {
        let (len, rest) = key.split_first_chunk::<2>()?;
        let (name, id) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        let id = u32::from_be_bytes(<[u8; 4]>::try_from(id).ok()?);
        let (name, variant) = match name.windows(2).position(|two| two == [0, 0]) {
            Some(end) => (&name[..=end], &name[end + 2..]),
            None => (name, &[][..]),
        };
        Some(Self { name, variant, id })
    }

    /// The labels, the leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &'k [u8]> + use<'k> {
        labels(self.name)
    }
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A name of a zone: the zone's ID, and the labels below it as a name; empty for the zone itself.
    Record {
        zone: u32,
        below: String,
    },
    /// A zone, by its ID.
    Zone(u32),
    /// A zone or a key, by its name.
    Named(String),
    Other,
}

impl Subject {
    pub fn of(dbi: &str, key: &[u8]) -> Self {
        let table = dbi.split("_v").next().unwrap_or_default();
        let subject = match table {
            "records" => RecordKey::parse(key).map(Self::of_record),
            "comments" => RecordKey::parse_of_comment(key).map(Self::of_record),
            "domains" | "domains_extra" if !dbi.ends_with("_0") => object_id(key).map(Self::Zone),
            _ if dbi.ends_with("_0") => IndexKey::parse(key).map(|key| Self::Named(presented(key.labels()))),
            _ => None,
        };
        subject.unwrap_or(Self::Other)
    }

    fn of_record(key: RecordKey<'_>) -> Self {
        let below = key.labels().next();
        Self::Record {
            zone: key.zone,
            below: below.map_or_else(String::new, |_| presented(key.labels())),
        }
    }

    /// The zone and the name, where the zone of the ID has this name.
    pub fn named(self, zone: Option<String>) -> (Option<String>, Option<String>) {
        match self {
            Self::Record { below, .. } => {
                let name = zone.as_ref().map(|zone| format!("{below}{zone}"));
                (zone, name.or(Some(below).filter(|below| !below.is_empty())))
            }
            Self::Zone(_) => (zone, None),
            Self::Named(name) => (None, Some(name)),
            Self::Other => (None, None),
        }
    }
}

/// The ID in a key of a table of objects.
pub fn object_id(key: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(key).ok().map(u32::from_be_bytes)
}

/// A name as PowerDNS takes it in a command: lower case as stored, with the final dot, and with everything escaped that
/// a command or a name could mistake for its own signs.
pub fn presented<'l>(labels: impl IntoIterator<Item = &'l [u8]>) -> String {
    use std::fmt::Write as _;

    let mut name = String::new();
    for label in labels {
        for byte in label {
            match byte {
                b'-' | b'_' | b'*' | b'/' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                    name.push(char::from(*byte));
                }
                other => {
                    let _ = write!(name, "\\{other:03}");
                }
            }
        }
        name.push('.');
    }
    if name.is_empty() {
        name.push('.');
    }
    name
}

fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| *byte == 0)
        .rev()
        .filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_its_zone_its_name_from_the_left_and_its_type() {
        let key = [&[0x09, 0x52, 0x80, 0x4d][..], b"b\0a\0", &[0, 0, 1]].concat();
        let parsed = RecordKey::parse(&key).unwrap();
        assert_eq!((parsed.zone, parsed.kind), (156_401_741, 1));
        assert_eq!(presented(parsed.labels()), "a.b.");
        let apex = [0, 0, 0, 7, 0, 0, 0, 6];
        assert_eq!(RecordKey::parse(&apex).unwrap().labels().count(), 0);
        assert_eq!(RecordKey::parse(&[1, 2, 3]), None);
    }

    #[test]
    fn a_zone_has_one_soa_record_and_that_is_under_its_own_name() {
        let (apex, ns) = ([0, 0, 0, 7, 0, 0, 6], [0, 0, 0, 7, 0, 0, 2]);
        assert_eq!(zone_of_soa("records_v5", &apex), Some(7));
        assert_eq!(zone_of_soa("records_v5", &ns), None);
        let below = [&[0, 0, 0, 7][..], b"www\0", &[0, 0, 6]].concat();
        assert_eq!(zone_of_soa("records_v5", &below), None);
        assert_eq!(zone_of_soa("comments_v7", &apex), None);
        assert_eq!(zone_of_record("records_v5", &below), Some(7));
        assert_eq!(zone_of_record("domains_v5", &apex), None);
    }

    #[test]
    fn an_entry_is_named_after_its_zone_and_its_name_below() {
        let named = |dbi, key: &[u8]| Subject::of(dbi, key).named(Some("zone.example.".into()));
        let text = |text: &str| Some(text.to_owned());
        let www = [&[0, 0, 0, 7][..], b"www\0", &[0, 0, 1]].concat();
        let apex = [0, 0, 0, 7, 0, 0, 0, 6];
        assert_eq!(
            named("records_v5", &www),
            (text("zone.example."), text("www.zone.example."))
        );
        assert_eq!(
            named("records_v5", &apex),
            (text("zone.example."), text("zone.example."))
        );
        let comment = [&www[..], &[0xd7; 32]].concat();
        assert_eq!(named("comments_v7", &comment), named("records_v5", &www));
        assert_eq!(named("comments_v7", &www), (None, None));
        assert_eq!(named("domains_v5", &[0, 0, 0, 7]), (text("zone.example."), None));
        let index = [&[0, 8][..], b"example\0", &[0, 0, 0, 7]].concat();
        assert_eq!(named("domains_v5_0", &index), (None, text("example.")));
        assert_eq!(named("pdns", b"schemaversion"), (None, None));
        assert_eq!(Subject::of("records_v5", &www).named(None), (None, text("www.")));
    }

    #[test]
    fn an_index_has_a_name_and_an_id() {
        let key = [&[0, 14][..], b"example\0test1\0", &[0x5a, 0x25, 0x2f, 0x1b]].concat();
        let parsed = IndexKey::parse(&key).unwrap();
        assert_eq!(presented(parsed.labels()), "test1.example.");
        assert_eq!(parsed.id, 1_512_386_331);
        assert!(parsed.variant.is_empty());
        let key = [&[0, 20][..], b"example\0zone\0\0inside", &[9, 180, 1, 169]].concat();
        let parsed = IndexKey::parse(&key).unwrap();
        assert_eq!(presented(parsed.labels()), "zone.example.");
        assert_eq!(parsed.variant, b"inside");
        assert_eq!(IndexKey::parse(&[0xff, 0xff, 1]), None);
    }

    #[test]
    fn nothing_in_a_name_ends_a_command_or_makes_it_a_suffix() {
        let labels: [&[u8]; 3] = [b"a b\n$", b"c.d\\", b"*"];
        assert_eq!(presented(labels), "a\\032b\\010\\036.c\\046d\\092.*.");
        assert_eq!(presented([]), ".");
    }
}
