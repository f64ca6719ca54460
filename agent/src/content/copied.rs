//! A zone's entry for a copy of it under another name. Pure.

use super::values::{Zone, string_at};

/// `Native`: nobody is told of it, and it is fetched from nowhere.
const NATIVE: u32 = 2;
/// The last kind that there is.
const LAST: u32 = 5;

/// The value of `domains_v5` that a copy of a zone has: with another name (as DNS has it on the wire, in lower case) and ID, of kind
/// Native, in no catalog, never checked and never announced. `None` when the value is not as expected.
pub fn copied_zone(value: &[u8], id: u32, name: &[u8], to: u32) -> Option<Vec<u8>> {
    let zone = Zone::of(value)?;
    if !zone.variant.is_empty() {
        return None;
    }
    let (start, end) = (zone.end_of_name - zone.name.len() - 8, zone.end);
    // When it was checked, then the account. The primaries between that and the ID have no fixed length.
    let account = string_at(value, end + 8)?;
    let primaries = end + 8 + 8 + account.len();
    let mut found = (primaries..value.len()).filter_map(|at| Some((at, strings_after(value, id, at)?)));
    let (at, strings) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let mut copy = value[..start].to_vec();
    copy.extend((name.len() as u64).to_le_bytes());
    copy.extend(name);
    copy.extend(&value[zone.end_of_name..end]);
    copy.extend([0; 8]);
    copy.extend(&value[end + 8..at]);
    copy.extend(to.to_le_bytes());
    copy.extend([0; 4]);
    copy.extend(NATIVE.to_le_bytes());
    copy.extend(std::iter::repeat_n(0, strings * 8));
    Some(copy)
}

/// How many strings, options and catalog among them, follow the ID if it stands here: to the end of the value.
fn strings_after(value: &[u8], id: u32, at: usize) -> Option<usize> {
    let rest = value.get(at..)?.strip_prefix(&id.to_le_bytes()[..])?;
    let kind = rest.get(4..)?.first_chunk::<4>()?;
    if u32::from_le_bytes(*kind) > LAST {
        return None;
    }
    let (mut at, mut strings) = (at + 12, 0);
    while at < value.len() {
        at += 8 + string_at(value, at)?.len();
        strings += 1;
    }
    Some(strings)
}

#[cfg(test)]
mod tests {
    use super::super::samples::zone;
    use super::super::zone_labels;
    use super::*;
    use crate::content::keys::presented;

    const NAME: &[u8] = b"\x05plain\x07example\0";
    const OTHER: &[u8] = b"\x03old\x04test\0";

    #[test]
    fn a_copy_has_another_name_and_id_and_the_same_account() {
        let copy = copied_zone(&zone(NAME, 77_000, 5, 6, b"me"), 77_000, OTHER, 99_000).unwrap();
        assert_eq!(copy, zone(OTHER, 99_000, 0, 0, b"me"));
        assert_eq!(presented(zone_labels(&copy).unwrap()), "old.test.");
        // An account that looks like an ID.
        let account = 77_000_u32.to_le_bytes();
        let copy = copied_zone(&zone(NAME, 77_000, 5, 6, &account), 77_000, OTHER, 99_000).unwrap();
        assert_eq!(copy, zone(OTHER, 99_000, 0, 0, &account));
    }

    #[test]
    fn a_copy_of_powerdns_5_keeps_its_form() {
        let newer = |name: &[u8], id: u32| {
            let old = zone(name, id, 0, 0, b"");
            let versions = [&[0, 2, 0, 0, 0, 0, 1][..], &[0; 8]].concat();
            let (zone, rest) = old[10..].split_at(8 + name.len());
            [&versions, zone, &[0; 8], rest, &[0; 8]].concat()
        };
        let copy = copied_zone(&newer(NAME, 77_000), 77_000, OTHER, 99_000);
        assert_eq!(copy, Some(newer(OTHER, 99_000)));
    }

    #[test]
    fn a_copy_is_native_and_in_no_catalog() {
        let mut value = zone(NAME, 77_000, 0, 0, b"");
        let kind = value.len() - 20;
        value[kind] = 1;
        value.truncate(kind + 4);
        for text in [&b"{\"consumer\":{}}"[..], b"\x07catalog\0"] {
            value.extend((text.len() as u64).to_le_bytes());
            value.extend(text);
        }
        let copy = copied_zone(&value, 77_000, OTHER, 99_000);
        assert_eq!(copy, Some(zone(OTHER, 99_000, 0, 0, b"")));
    }

    #[test]
    fn what_is_not_as_expected_is_not_copied() {
        let value = zone(NAME, 77_000, 0, 0, b"");
        assert_eq!(copied_zone(&value, 77_001, OTHER, 99_000), None);
        assert_eq!(
            copied_zone(&value[..value.len() - 1], 77_000, OTHER, 99_000),
            None
        );
        assert_eq!(copied_zone(b"", 77_000, OTHER, 99_000), None);
    }
}
