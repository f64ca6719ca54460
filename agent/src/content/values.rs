//! As much of the values in PowerDNS' LMDB as the flush needs. What does not look as expected is `None`: the caller
//! flushes more then.

use super::keys::object_id;
use super::rrset::records;

/// What the values of zones, keys and metadata begin with: whose they are.
pub(super) struct Zone<'v> {
    pub(super) name: &'v [u8],
    /// Where the name ends.
    pub(super) end_of_name: usize,
    /// Of PowerDNS 5, where who asks decides which of several zones of one name is shown; empty for the usual one.
    pub(super) variant: &'v [u8],
    /// Where the rest begins.
    pub(super) end: usize,
}

impl<'v> Zone<'v> {
    pub(super) fn of(value: &'v [u8]) -> Option<Self> {
        // Of each class that begins here the archive has a version, in five bytes: of the whole and, in PowerDNS 4.9, of a name;
        // in 5 of a zone, which is a name and a variant, and then of its name.
        let (at, variants) = match value.get(5..10)? {
            [0, 0, 0, 0, 0] => (10, false),
            [0, 1, 0, 0, 0] => (15, true),
            _ => return None,
        };
        let name = string_at(value, at)?;
        let end_of_name = at + 8 + name.len();
        let variant = if variants {
            string_at(value, end_of_name)?
        } else {
            b""
        };
        let end = end_of_name + if variants { 8 + variant.len() } else { 0 };
        Some(Self {
            name,
            end_of_name,
            variant,
            end,
        })
    }
}

/// The labels of the zone that a zone, key or metadata entry belongs to, the leftmost first. None when it is a variant: which
/// keys and metadata PowerDNS keeps of it, it forgets with everything else only.
pub fn zone_labels(value: &[u8]) -> Option<Vec<&[u8]>> {
    let zone = Zone::of(value)?;
    if zone.variant.is_empty() {
        labels_of(zone.name)
    } else {
        None
    }
}

/// The same for the names of its records, which a variant shares with the zone.
pub(crate) fn names_below(value: &[u8]) -> Option<Vec<&[u8]>> {
    labels_of(Zone::of(value)?.name)
}

/// The kind of metadata, as `ALSO-NOTIFY`, which a zone has with a value of `metadata_v5`.
pub(crate) fn metadata_kind(value: &[u8]) -> Option<&str> {
    let kind = string_at(value, Zone::of(value)?.end)?;
    let is_kind = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let kind = Some(kind).filter(|kind| !kind.is_empty() && kind.iter().all(is_kind))?;
    std::str::from_utf8(kind).ok()
}

/// The two values of one zone tell of the same zone and differ, if at all, in nothing but when it was last checked and
/// which serial was last notified.
pub(crate) fn same_zone(id: u32, old: &[u8], new: &[u8]) -> bool {
    let at_rest = |value: &[u8]| {
        let mut value = value.to_vec();
        let checked = Zone::of(&value)?.end;
        value.get_mut(checked..checked + 8)?.fill(0);
        // The zone's ID stands before the serial; what lies between has no fixed length.
        let after = checked + 8;
        let id = id.to_le_bytes();
        let at = after + value[after..].windows(4).position(|bytes| bytes == id)?;
        value.get_mut(at + 4..at + 8)?.fill(0);
        Some(value)
    };
    at_rest(old).is_some_and(|old| Some(old) == at_rest(new))
}

/// The two values of one RRset are both served, as the same kind of data: none of the records is disabled, and
/// whether they are authoritative is the same.
pub(crate) fn served_alike(old: &[u8], new: &[u8]) -> bool {
    let flags = |value| {
        let mut flags: Vec<[u8; 3]> = records(value)?.into_iter().map(|record| record.flags).collect();
        flags.dedup();
        Some(flags)
    };
    match (flags(old), flags(new)) {
        (Some(old), Some(new)) => old == new && matches!(old[..], [[_, 0, _]]),
        _ => false,
    }
}

/// Two values of a SOA record differ in the serial alone.
pub(crate) fn only_the_serial_differs(old: &[u8], new: &[u8]) -> bool {
    let without = |value| {
        let records = records(value)?;
        let [record] = records.as_slice() else { return None };
        let (names, numbers) = record.content.split_last_chunk::<20>()?;
        Some((names, &numbers[4..], record.ttl, record.flags))
    };
    without(old).is_some_and(|old| Some(old) == without(new))
}

/// The same of an entry of any table: it is a zone's, and nothing else in it differs.
pub(crate) fn is_same_zone(dbi: &str, key: &[u8], old: &[u8], new: &[u8]) -> bool {
    let id = object_id(key).filter(|_| dbi.starts_with("domains_v"));
    id.is_some_and(|id| same_zone(id, old, new))
}

/// What a zone's kind is behind its ID and the notified serial, as the archive has it: a number of 4 bytes.
const SECONDARY: u32 = 1;
const CONSUMER: u32 = 4;

/// The zone is fetched from a primary, which gives its serial.
pub(crate) fn comes_from_a_primary(id: u32, value: &[u8]) -> bool {
    let kind = || {
        let after = Zone::of(value)?.end + 8;
        let at = after
            + value
                .get(after..)?
                .windows(4)
                .position(|bytes| bytes == id.to_le_bytes())?;
        let kind = value.get(at + 8..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*kind))
    };
    kind().is_some_and(|kind| [SECONDARY, CONSUMER].contains(&kind))
}

/// The value of an RRset without what rectifying a zone changes in it: which records are authoritative, and which are in the order
/// of names.
pub fn without_order(value: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(value.len());
    for record in records(value)? {
        let len = u16::try_from(record.content.len()).ok()?;
        kept.extend(len.to_le_bytes());
        kept.extend(record.content);
        kept.extend(record.ttl.to_le_bytes());
        kept.push(record.flags[1]);
    }
    Some(kept)
}

/// The string that stands at `at`, behind its length.
pub(super) fn string_at(value: &[u8], at: usize) -> Option<&[u8]> {
    let (len, rest) = value.get(at..)?.split_first_chunk::<8>()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)
}

/// The labels of a name in DNS' own form.
fn labels_of(mut name: &[u8]) -> Option<Vec<&[u8]>> {
    let mut labels = Vec::new();
    loop {
        let (len, rest) = name.split_first()?;
        if *len == 0 {
            return rest.is_empty().then_some(labels);
        }
        let (label, rest) = rest.split_at_checked((*len).into())?;
        if label.len() > 63 {
            return None;
        }
        labels.push(label);
        name = rest;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::keys::presented;
    use super::*;

    /// A zone's value as PowerDNS 4.9 writes it.
    pub(crate) fn zone(name: &[u8], id: u32, checked: u64, notified: u32, account: &[u8]) -> Vec<u8> {
        let string = |bytes: &[u8]| [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
        [
            &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &string(name),
            &checked.to_le_bytes(),
            &string(account),
            &[0; 14],
            &id.to_le_bytes(),
            &notified.to_le_bytes(),
            &[2, 0, 0, 0],
            &[0; 16],
        ]
        .concat()
    }

    pub(crate) fn record(content: &[u8], ttl: u32, flags: [u8; 3]) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap().to_le_bytes();
        [&len[..], content, &ttl.to_le_bytes(), &flags].concat()
    }

    #[test]
    fn a_zone_says_its_name() {
        // From the golden files: a key of signed.example.
        let key = b"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x06signed\x07example\x00\x72";
        assert_eq!(presented(zone_labels(key).unwrap()), "signed.example.");
        assert_eq!(
            presented(zone_labels(&zone(b"\x05plain\x07example\0", 7, 0, 0, b"")).unwrap()),
            "plain.example."
        );
        // The same key as PowerDNS 5.1 writes it, and that of a variant.
        let newer = |variant: &[u8]| {
            let len = [u8::try_from(variant.len()).unwrap(), 0, 0, 0, 0, 0, 0, 0];
            let versions = [&[0, 1, 0, 0, 0, 0, 1][..], &[0; 8]].concat();
            [&versions, &key[10..34], &len, variant, b"\x72"].concat()
        };
        assert_eq!(presented(zone_labels(&newer(b"")).unwrap()), "signed.example.");
        assert_eq!(zone_labels(&newer(b"inside")), None);
        assert_eq!(
            presented(names_below(&newer(b"inside")).unwrap()),
            "signed.example."
        );
        assert_eq!(zone_labels(&newer(b"inside")[..36]), None);
        assert_eq!(zone_labels(&key[..20]), None);
        assert_eq!(zone_labels(b""), None);
    }

    #[test]
    fn a_zone_that_was_checked_or_notified_is_the_same_and_one_with_another_account_is_not() {
        let name = b"\x05plain\x07example\0";
        let old = zone(name, 77_000, 0, 0, b"");
        assert!(same_zone(
            77_000,
            &old,
            &zone(name, 77_000, 1_795_510_922, 2_026_112_401, b"")
        ));
        assert!(!same_zone(77_000, &old, &zone(name, 77_000, 0, 0, b"other")));
        assert!(!same_zone(
            77_000,
            &old,
            &zone(b"\x05plaid\x07example\0", 77_000, 0, 0, b"")
        ));
        assert!(!same_zone(77_000, b"", b""));
        // As PowerDNS 5.1 writes it.
        let newer = |old: Vec<u8>| {
            let versions = [&[0, 2, 0, 0, 0, 0, 1][..], &[0; 8]].concat();
            let (zone, rest) = old[10..].split_at(8 + name.len());
            [&versions, zone, &[0; 8], rest].concat()
        };
        let of = |checked, account: &[u8]| newer(zone(name, 77_000, checked, 1, account));
        assert!(same_zone(77_000, &of(0, b""), &of(1_795_510_922, b"")));
        assert!(!same_zone(77_000, &of(0, b""), &of(0, b"other")));
    }

    #[test]
    fn a_zone_says_whether_it_is_fetched_from_a_primary() {
        let native = zone(b"\x05plain\x07example\0", 77_000, 5, 6, b"me");
        assert!(!comes_from_a_primary(77_000, &native));
        let at = native.len() - 20;
        let of_kind = |kind| {
            let mut zone = native.clone();
            zone[at] = kind;
            comes_from_a_primary(77_000, &zone)
        };
        assert_eq!([0, 1, 2, 3, 4].map(of_kind), [false, true, false, false, true]);
        assert!(!comes_from_a_primary(77_000, &native[..at]));
    }

    #[test]
    fn disabling_a_record_is_more_than_another_content() {
        let (a, b) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let one = record(&a, 60, [1, 0, 1]);
        let two = [one.clone(), record(&b, 60, [1, 0, 1])].concat();
        let disabled = record(&a, 60, [1, 1, 1]);
        assert!(served_alike(&one, &two));
        assert!(served_alike(&one, &record(&b, 3600, [1, 0, 1])));
        assert!(!served_alike(&one, &disabled));
        assert!(!served_alike(&disabled, &disabled));
        assert!(!served_alike(&one, &[one.clone(), disabled].concat()));
        assert!(!served_alike(&one, &record(&a, 60, [0, 0, 1])));
        assert!(!served_alike(&one, b""));
        assert!(!served_alike(&one, &one[..5]));
    }

    #[test]
    fn a_serial_is_told_from_the_other_numbers_of_a_soa_record() {
        let soa = |serial: u32, minimum: u32, ttl| {
            let numbers = [serial, 10_800, 3_600, 604_800, minimum]
                .map(u32::to_be_bytes)
                .concat();
            record(&[&b"\x01a\x00\x01b\x00"[..], &numbers].concat(), ttl, [1, 0, 1])
        };
        assert!(only_the_serial_differs(&soa(1, 60, 60), &soa(2, 60, 60)));
        assert!(!only_the_serial_differs(&soa(1, 60, 60), &soa(2, 61, 60)));
        assert!(!only_the_serial_differs(&soa(1, 60, 60), &soa(2, 60, 61)));
        assert!(!only_the_serial_differs(b"", b""));
    }
}
