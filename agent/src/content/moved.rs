//! Names in the content of records that move with their zone to another name. Pure.

use super::keys::presented;
use super::rrset::{REST, records};

/// The longest name, as DNS has it on the wire (RFC 1035, section 2.3.4).
const LONGEST: usize = 255;
/// What stands before the name of a record to which names in its content may point: a header, and a question for the root.
const BEFORE: usize = 17;
/// What stands between that name and the content.
const BETWEEN: usize = 10;

/// Labels, the leftmost first.
type Labels = Vec<Vec<u8>>;

/// A zone, and the name that it gets.
#[derive(Debug, Clone)]
pub struct Move {
    from: Labels,
    to: Labels,
}

/// With its new zone the name is longer than DNS allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} would be longer than the 255 bytes that a name may have")]
pub struct TooLong(String);

/// An RRset in the zone's new place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub value: Vec<u8>,
    /// All of the content could be read; what could not stays as it was.
    pub is_read: bool,
}

/// What content consists of.
enum Part {
    Bytes(usize),
    /// With its length before it.
    Text,
    Name,
    Rest,
}

/// What the content of a type consists of, if there are names in it. Names in texts are none.
fn parts(kind: u16) -> Option<&'static [Part]> {
    use Part::{Bytes, Name, Rest, Text};

    Some(match kind {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME, and PowerDNS' own ALIAS.
        2..=5 | 7..=9 | 12 | 39 | 65_401 => &[Name],
        // SOA
        6 => &[Name, Name, Bytes(20)],
        // MINFO, RP
        14 | 17 => &[Name, Name],
        // MX, AFSDB, RT, KX, LP
        15 | 18 | 21 | 36 | 107 => &[Bytes(2), Name],
        // PX
        26 => &[Bytes(2), Name, Name],
        // SRV
        33 => &[Bytes(6), Name],
        // NAPTR
        35 => &[Bytes(4), Text, Text, Text, Name],
        // SVCB, HTTPS
        64 | 65 => &[Bytes(2), Name, Rest],
        _ => return None,
    })
}

impl Move {
    /// Zones by their labels, the leftmost first.
    pub fn new<'l>(from: impl IntoIterator<Item = &'l [u8]>, to: impl IntoIterator<Item = &'l [u8]>) -> Self {
        let owned = |label: &[u8]| label.to_vec();
        Self {
            from: from.into_iter().map(owned).collect(),
            to: to.into_iter().map(owned).collect(),
        }
    }

    /// The RRset of a type, whose name has these labels below the zone.
    ///
    /// # Errors
    /// A name gets too long.
    pub fn rrset<'l>(
        &self,
        below: impl Iterator<Item = &'l [u8]>,
        kind: u16,
        value: &[u8],
    ) -> Result<Moved, TooLong> {
        let below: Labels = below.map(<[u8]>::to_vec).collect();
        let of = |zone: &Labels| [&below[..], zone].concat();
        wire(&of(&self.to))?;
        let as_it_is = |is_read| {
            let value = value.to_vec();
            Ok(Moved { value, is_read })
        };
        let Some(parts) = parts(kind) else {
            return as_it_is(true);
        };
        let Some(all) = records(value) else {
            return as_it_is(false);
        };
        let before = [vec![0; BEFORE], plain(&of(&self.from)), vec![0; BETWEEN]].concat();
        let mut moved = Vec::with_capacity(value.len());
        let mut rest = value;
        for record in all {
            let Some(content) = self.content(&before, parts, record.content).transpose()? else {
                return as_it_is(false);
            };
            let Ok(len) = u16::try_from(content.len()) else {
                return as_it_is(false);
            };
            let end = 2 + record.content.len();
            moved.extend(len.to_le_bytes());
            moved.extend(content);
            moved.extend(&rest[end..end + REST]);
            rest = &rest[end + REST..];
        }
        Ok(Moved {
            value: moved,
            is_read: true,
        })
    }

    /// Content with its names in full; `None` when it cannot be read.
    fn content(&self, before: &[u8], parts: &[Part], content: &[u8]) -> Option<Result<Vec<u8>, TooLong>> {
        let message = [before, content].concat();
        let (mut at, mut moved) = (before.len(), Vec::with_capacity(content.len()));
        for part in parts {
            let end = match part {
                Part::Bytes(count) => at + count,
                Part::Text => at + 1 + usize::from(*message.get(at)?),
                Part::Rest => message.len(),
                Part::Name => {
                    let (labels, end) = name(&message, at)?;
                    match wire(&self.name(labels)) {
                        Ok(name) => moved.extend(name),
                        Err(error) => return Some(Err(error)),
                    }
                    at = end;
                    continue;
                }
            };
            moved.extend(message.get(at..end)?);
            at = end;
        }
        (at == message.len()).then_some(Ok(moved))
    }

    /// The name where it is then. What is not in the zone stays.
    fn name(&self, mut labels: Labels) -> Labels {
        let Some(below) = labels.len().checked_sub(self.from.len()) else {
            return labels;
        };
        let is_in_it = labels[below..]
            .iter()
            .zip(&self.from)
            .all(|(one, other)| one.eq_ignore_ascii_case(other));
        // The root stands for no name at all in many types.
        if is_in_it && !labels.is_empty() {
            labels.truncate(below);
            labels.extend(self.to.iter().cloned());
        }
        labels
    }
}

/// The labels of the name at `at`, and where it ends.
fn name(message: &[u8], mut at: usize) -> Option<(Labels, usize)> {
    let (mut labels, mut end, mut bytes) = (Vec::new(), None, 1);
    loop {
        let len = usize::from(*message.get(at)?);
        match len >> 6 {
            0 if len == 0 => return Some((labels, end.unwrap_or(at + 1))),
            0 => {
                bytes += len + 1;
                labels.push(message.get(at + 1..=at + len)?.to_vec());
                at += len + 1;
            }
            3 => {
                let to = (len & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                end.get_or_insert(at + 2);
                // So it ends.
                at = Some(to).filter(|to| *to < at)?;
            }
            _ => return None,
        }
        if bytes > LONGEST {
            return None;
        }
    }
}

/// Labels as DNS has them on the wire, uncompressed.
fn wire(labels: &Labels) -> Result<Vec<u8>, TooLong> {
    let wire = plain(labels);
    if wire.len() > LONGEST {
        return Err(TooLong(presented(labels.iter().map(Vec::as_slice))));
    }
    Ok(wire)
}

fn plain(labels: &Labels) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in labels {
        wire.push(u8::try_from(label.len()).unwrap_or_default());
        wire.extend(label);
    }
    wire.push(0);
    wire
}

#[cfg(test)]
mod tests {
    use super::super::samples::record;
    use super::*;

    const FLAGS: [u8; 3] = [1, 0, 1];

    fn to(other: &[&[u8]]) -> Move {
        Move::new([&b"zone"[..], b"example"], other.iter().copied())
    }

    fn moved(below: &[&[u8]], kind: u16, content: &[u8]) -> Moved {
        let value = record(content, 60, FLAGS);
        let to = to(&[b"old", b"test"]);
        to.rrset(below.iter().copied(), kind, &value).unwrap()
    }

    fn comes_to(below: &[&[u8]], kind: u16, content: &[u8], expected: &[u8]) {
        let value = record(expected, 60, FLAGS);
        assert_eq!(moved(below, kind, content), Moved { value, is_read: true });
    }

    #[test]
    fn names_in_the_zone_move_with_it_and_others_stay() {
        comes_to(
            &[],
            2,
            b"\x03ns1\x04Zone\x07example\0",
            b"\x03ns1\x03old\x04test\0",
        );
        comes_to(
            &[],
            2,
            b"\x03ns1\x05other\x07example\0",
            b"\x03ns1\x05other\x07example\0",
        );
        comes_to(&[], 2, b"\x03ns1\x07example\0", b"\x03ns1\x07example\0");
        // Another zone whose name ends alike.
        comes_to(&[], 5, b"\x07my-zone\x07example\0", b"\x07my-zone\x07example\0");
        comes_to(&[b"a"], 5, b"\x04zone\x07example\0", b"\x03old\x04test\0");
        comes_to(
            &[],
            15,
            b"\0\x0a\x04mail\x04zone\x07example\0",
            b"\0\x0a\x04mail\x03old\x04test\0",
        );
        comes_to(&[], 15, b"\0\0\0", b"\0\0\0");
        comes_to(
            &[b"_x"],
            33,
            b"\0\x01\0\x02\x01\xbb\x01a\x04zone\x07example\0",
            b"\0\x01\0\x02\x01\xbb\x01a\x03old\x04test\0",
        );
        comes_to(
            &[],
            35,
            b"\0\x01\0\x02\x01s\0\x02xy\x01a\x04zone\x07example\0",
            b"\0\x01\0\x02\x01s\0\x02xy\x01a\x03old\x04test\0",
        );
        comes_to(
            &[],
            65,
            b"\0\x01\x01a\x04zone\x07example\0\0\x03\0\x02\x01\xbb",
            b"\0\x01\x01a\x03old\x04test\0\0\x03\0\x02\x01\xbb",
        );
    }

    #[test]
    fn a_name_that_points_to_that_of_its_record_is_written_out() {
        comes_to(&[], 2, b"\x03ns1\xc0\x11", b"\x03ns1\x03old\x04test\0");
        comes_to(&[b"a"], 5, b"\x03www\xc0\x13", b"\x03www\x03old\x04test\0");
        // To what is above the zone: it must not point into the new name.
        comes_to(&[], 2, b"\x03ns1\xc0\x16", b"\x03ns1\x07example\0");
        let numbers = [7; 20];
        comes_to(
            &[],
            6,
            &[&b"\x02ns\xc0\x11\x0ahostmaster\xc0\x11"[..], &numbers].concat(),
            &[
                &b"\x02ns\x03old\x04test\0\x0ahostmaster\x03old\x04test\0"[..],
                &numbers,
            ]
            .concat(),
        );
    }

    #[test]
    fn texts_addresses_and_what_cannot_be_read_stay() {
        comes_to(&[], 16, b"\x0czone.example", b"\x0czone.example");
        comes_to(&[b"www"], 1, &[192, 0, 2, 1], &[192, 0, 2, 1]);
        for content in [&b"\x03ns"[..], b"\xc0\xff", b"\x40x\0", b"\0x", b""] {
            let value = record(content, 60, FLAGS);
            assert_eq!(
                moved(&[], 2, content),
                Moved {
                    value,
                    is_read: false
                },
                "{content:?}"
            );
        }
    }

    #[test]
    fn every_record_of_an_rrset_keeps_its_ttl_and_flags() {
        let two = |zone: &[u8]| {
            let ns = |label: &[u8]| [label, zone].concat();
            [
                record(&ns(b"\x01a"), 60, [1, 1, 0]),
                record(&ns(b"\x01b"), 3600, [0, 0, 1]),
            ]
            .concat()
        };
        let to = to(&[b"old", b"test"]);
        let moved = to
            .rrset([].into_iter(), 2, &two(b"\x04zone\x07example\0"))
            .unwrap();
        assert_eq!(moved.value, two(b"\x03old\x04test\0"));
    }

    #[test]
    fn a_name_that_gets_too_long_is_an_error() {
        let long = [b'l'; 63];
        let to = to(&[&long, &long, &long, &[b'm'; 55]]);
        let a = record(&[192, 0, 2, 1], 60, FLAGS);
        let rrset = |label: &'static [u8]| to.rrset([label].into_iter(), 1, &a);
        assert!(rrset(b"12345").is_ok());
        assert!(
            rrset(b"123456")
                .unwrap_err()
                .to_string()
                .starts_with("123456.lll")
        );
        let target = record(b"\x06123456\x04zone\x07example\0", 60, FLAGS);
        assert!(to.rrset([&b"a"[..]].into_iter(), 5, &target).is_err());
    }
}
