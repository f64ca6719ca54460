//! Keys and values of PowerDNS' LMDB in words: names instead of bytes. Unknown things are shown as they are.

mod objects;
mod records;

use std::fmt::Write as _;

use domain::base::Rtype;

pub use objects::object;
pub use records::{Lines, record_lines, record_name};

use crate::content::keys::{IndexKey, RecordKey, object_id, presented};
use crate::content::zone_labels;

/// A key in words.
pub fn key(dbi: &str, key: &[u8]) -> String {
    let words = match dbi {
        "records_v5" => RecordKey::parse(key).and_then(record_key),
        "comments_v7" => RecordKey::parse_of_comment(key).and_then(record_key),
        _ if dbi.ends_with("_0") => index_key(key),
        "pdns" => std::str::from_utf8(key).ok().map(str::to_owned),
        _ => object_id(key).map(|id| format!("id {id}")),
    };
    words.unwrap_or_else(|| hex(key))
}

/// A value: its printable characters, and how long it is.
pub fn value(value: &[u8]) -> String {
    let text: String = value
        .iter()
        .take(60)
        .map(|byte| {
            if (0x20..0x7f).contains(byte) {
                char::from(*byte)
            } else {
                '.'
            }
        })
        .collect();
    let more = if value.len() > 60 { "…" } else { "" };
    format!("{text}{more} ({} bytes)", value.len())
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn record_key(key: RecordKey<'_>) -> Option<String> {
    let name = match printable(key.labels())?.as_str() {
        "" => "@".to_owned(),
        name => name.to_owned(),
    };
    Some(format!("zone {} {name} {}", key.zone, record_type(key.kind)))
}

fn index_key(key: &[u8]) -> Option<String> {
    let (name, id) = zone_of_index(key)?;
    Some(format!("{name} id {id}"))
}

/// The name and the ID in a key of an index such as `domains_v5_0`.
pub fn zone_of_index(key: &[u8]) -> Option<(String, u32)> {
    let key = IndexKey::parse(key)?;
    let variant = printable([key.variant].into_iter())?;
    // A variant of a zone is named as PowerDNS' API does: `zone.example..inside`.
    let dot = if variant.is_empty() { "" } else { "." };
    Some((format!("{}.{dot}{variant}", printable(key.labels())?), key.id))
}

/// The ID of the zone that a key of `records_v5` belongs to.
pub fn zone_of_record(dbi: &str, key: &[u8]) -> Option<u32> {
    let records = matches!(dbi, "records_v5" | "comments_v7");
    let (zone, _) = key.split_first_chunk::<4>().filter(|_| records)?;
    Some(u32::from_be_bytes(*zone))
}

/// A key of `records_v5` by the name of its zone.
pub fn record_in(zone: &str, key: &[u8]) -> Option<String> {
    let parsed = RecordKey::parse(key)?;
    Some(format!(
        "{} {}",
        record_name(zone, key)?,
        record_type(parsed.kind)
    ))
}

/// The zone that a value of `domains_v5`, `keydata_v5` or `metadata_v5` is about.
pub fn zone_of_value(dbi: &str, value: &[u8]) -> Option<String> {
    let named = matches!(dbi, "domains_v5" | "keydata_v5" | "metadata_v5");
    zone_labels(value).filter(|_| named).map(presented)
}

/// The labels with dots between them, if all of them can be shown.
fn printable<'k>(labels: impl Iterator<Item = &'k [u8]>) -> Option<String> {
    let labels: Option<Vec<_>> = labels.map(|label| std::str::from_utf8(label).ok()).collect();
    let labels = labels?;
    let printable = labels
        .iter()
        .all(|label| label.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    printable.then(|| labels.join("."))
}

/// A type by its name, an unknown one as RFC 3597 writes it.
fn record_type(kind: u16) -> String {
    Rtype::from_int(kind).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_names() {
        // From the golden files.
        let www = [&[0x09, 0x52, 0x80, 0x4d][..], b"www\0", &[0, 0, 1]].concat();
        assert_eq!(key("records_v5", &www), "zone 156401741 www A");
        let soa = [0x09, 0x52, 0x80, 0x4d, 0, 0, 0, 6];
        assert_eq!(key("records_v5", &soa), "zone 156401741 @ SOA");
        let zone = [&[0, 14][..], b"example\0test1\0", &[0x5a, 0x25, 0x2f, 0x1b]].concat();
        assert_eq!(key("domains_v5_0", &zone), "test1.example. id 1512386331");
        let variant = [&[0, 20][..], b"example\0zone\0\0inside", &[0, 0, 0, 7]].concat();
        assert_eq!(key("domains_v5_0", &variant), "zone.example..inside id 7");
        assert_eq!(key("domains_v5", &[0, 0, 0, 7]), "id 7");
        assert_eq!(key("pdns", b"schemaversion"), "schemaversion");
    }

    #[test]
    fn what_is_not_understood_is_shown_as_it_is() {
        assert_eq!(key("records_v5", &[1, 2, 3]), "010203");
        assert_eq!(key("domains_v5_0", &[0xff, 0xff, 1]), "ffff01");
        assert_eq!(key("tsig_v5", b"12345"), "3132333435");
        assert_eq!(
            key("records_v5", &[0, 0, 0, 1, b'a', b'\n', 0, 0, 0xff, 0]),
            "000000016 10a0000ff00".replace(' ', "")
        );
    }

    #[test]
    fn unknown_types_have_their_number() {
        assert_eq!(record_type(65_280), "TYPE65280");
    }
}
