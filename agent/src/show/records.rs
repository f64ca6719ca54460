//! RRsets as a zone file has them (RFC 1035, section 5; what is unknown as RFC 3597 says).

use std::fmt::Write as _;
use std::str::FromStr as _;

use domain::base::rdata::{ParseAnyRecordData as _, UnknownRecordData};
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt as _};
use domain::base::{Name, ParsedName, Rtype};
use domain::dep::octseq::Parser;
use domain::rdata::AllRecordData;

use crate::content::keys::{RecordKey, presented};
use crate::content::rrset::records;

/// Under this type PowerDNS keeps in which order the hashes of names are; the records themselves it makes when asked.
const NSEC3: u16 = 50;

/// The lines of an RRset.
pub type Lines = Vec<String>;

/// The whole name of a record, in a zone of this name.
pub fn record_name(zone: &str, key: &[u8]) -> Option<String> {
    let key = RecordKey::parse(key)?;
    Some(match presented(key.labels()).as_str() {
        "." => zone.to_owned(),
        name => format!("{name}{}", zone.trim_start_matches('.')),
    })
}

/// The records of an RRset, one a line and sorted; one that is disabled is a comment. None for what has no place in a zone file: empty
/// non-terminals, the order of NSEC3, and what cannot be read.
pub fn record_lines(zone: &str, key: &[u8], value: &[u8]) -> Option<Lines> {
    let kind = RecordKey::parse(key)?.kind;
    if [0, NSEC3].contains(&kind) {
        return None;
    }
    let (name, rtype) = (record_name(zone, key)?, Rtype::from_int(kind));
    let owner = Name::<Vec<u8>>::from_str(&name).ok()?;
    let mut lines = Vec::new();
    for record in records(value)? {
        let mut line = String::new();
        let comment = if record.is_disabled() { "; disabled: " } else { "" };
        let data = rdata(&owner, rtype, record.content);
        let _ = write!(line, "{comment}{name} {} IN {rtype} {data}", record.ttl);
        lines.push(line);
    }
    lines.sort();
    Some(lines)
}

/// Names in the content may end in a pointer to the record's own name, which PowerDNS compresses against: it stands behind a header (12
/// bytes) and a question for the root (5), and before the rest of the record's fields (10).
fn rdata(owner: &Name<Vec<u8>>, rtype: Rtype, content: &[u8]) -> String {
    let message = [&[0; 17][..], owner.as_slice(), &[0; 10], content].concat();
    let mut parser = Parser::from_ref(&message[..]);
    if parser.advance(message.len() - content.len()).is_err() {
        return String::new();
    }
    let parsed = AllRecordData::<_, ParsedName<_>>::parse_any_rdata(rtype, &mut parser);
    match parsed {
        Ok(data) if parser.remaining() == 0 => data.display_zonefile(DisplayKind::Simple).to_string(),
        _ => UnknownRecordData::from_octets(rtype, content).map_or_else(
            |_| String::new(),
            |data| data.display_zonefile(DisplayKind::Simple).to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::samples::record;

    fn lines(name: &[u8], kind: u16, value: &[u8]) -> Lines {
        let key = [&[0, 0, 0, 7][..], name, &[0], &kind.to_be_bytes()].concat();
        record_lines("zone.example.", &key, value).unwrap()
    }

    #[test]
    fn records_are_shown_as_a_zone_file_has_them() {
        let (on, off) = ([1, 0, 1], [1, 1, 1]);
        let two = [record(&[192, 0, 2, 2], 60, off), record(&[192, 0, 2, 1], 60, on)].concat();
        assert_eq!(
            lines(b"www\0", 1, &two),
            [
                "; disabled: www.zone.example. 60 IN A 192.0.2.2",
                "www.zone.example. 60 IN A 192.0.2.1"
            ]
        );
        assert_eq!(
            lines(b"", 15, &record(b"\x00\x0a\x04mail\x07example\x00", 300, on)),
            ["zone.example. 300 IN MX 10 mail.example."]
        );
        assert_eq!(
            lines(b"", 16, &record(b"\x0bsays \"hi\" \\\x02 2", 300, on)),
            [r#"zone.example. 300 IN TXT "says \"hi\" \\" " 2""#]
        );
        assert_eq!(
            lines(b"", 65401, &record(b"\x01a\x00", 300, on)),
            [r"zone.example. 300 IN TYPE65401 \# 3 01 61 00"]
        );
        // A pointer to the name of the zone itself.
        assert_eq!(
            lines(b"", 2, &record(b"\x03ns1\xc0\x11", 300, on)),
            ["zone.example. 300 IN NS ns1.zone.example."]
        );
        assert_eq!(
            lines(b"a\0", 5, &record(b"\x03www\xc0\x13", 300, on)),
            ["a.zone.example. 300 IN CNAME www.zone.example."]
        );
        // Not an address.
        assert_eq!(
            lines(b"", 1, &record(b"\x01", 300, on)),
            [r"zone.example. 300 IN A \# 1 01"]
        );
    }

    #[test]
    fn what_has_no_place_in_a_zone_file_is_left_out() {
        for kind in [0, 50] {
            let key = [0, 0, 0, 7, b'a', 0, 0, 0, kind];
            assert_eq!(record_lines("zone.example.", &key, b""), None);
        }
        assert_eq!(record_lines("zone.example.", b"x", b""), None);
    }
}
