//! Which keys PowerDNS can have meant, schemas 5 and 6.
//!
//! PowerDNS 4.9.18 overwrites keys with other bytes when it signs or rectifies a zone that has an RRset of more than some 2 kB.
//! Only what can certainly be no key is told from one: tables and forms that are not known here are let pass.

use super::keys::IndexKey;

/// A zone's ID before a name, and behind it a zero byte and a type.
const ZONE: usize = 4;
const TAIL: usize = 3;
/// A name in DNS' own form has 255 bytes at most, with a length before each label and a zero at the end.
const LONGEST_NAME: usize = 254;
const LONGEST_LABEL: usize = 63;

/// False for a key that PowerDNS never makes in this DBI.
pub fn is_possible(dbi: &str, key: &[u8]) -> bool {
    match dbi {
        "records_v5" => is_record(key),
        "domains_v5" | "keydata_v5" | "metadata_v5" | "tsig_v5" => key.len() == ZONE,
        "domains_v5_0" | "keydata_v5_0" | "metadata_v5_0" | "tsig_v5_0" => IndexKey::parse(key).is_some(),
        _ => true,
    }
}

fn is_record(key: &[u8]) -> bool {
    let Some((zone, rest)) = key.split_at_checked(ZONE) else {
        return false;
    };
    let Some((name, tail)) = rest
        .len()
        .checked_sub(TAIL)
        .and_then(|at| rest.split_at_checked(at))
    else {
        return false;
    };
    // A label may have zero bytes in it, so that more than these cannot be asked of a name.
    zone != [0; ZONE]
        && tail.first() == Some(&0)
        && name.last().is_none_or(|last| *last == 0)
        && name.len() <= LONGEST_NAME
        && name
            .split(|byte| *byte == 0)
            .all(|part| part.len() <= LONGEST_LABEL)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As PowerDNS makes it of a name relative to its zone, its labels from the left.
    fn record(zone: u32, labels: &[Vec<u8>], kind: u16) -> Vec<u8> {
        let mut key = zone.to_be_bytes().to_vec();
        for label in labels.iter().rev() {
            key.extend(label);
            key.push(0);
        }
        key.push(0);
        key.extend(kind.to_be_bytes());
        key
    }

    fn name() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let label = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..=63),
            proptest::collection::vec(0..2_u8, 1..=63),
            "[a-z0-9-]{1,12}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(label, 0..8).prop_map(|labels| {
            let mut room = LONGEST_NAME;
            labels
                .into_iter()
                .take_while(|label| {
                    let fits = label.len() < room;
                    room = room.saturating_sub(label.len() + 1);
                    fits
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_name_that_dns_allows_makes_a_possible_key(zone in 1_u32.., labels in name(), kind: u16) {
            prop_assert!(is_possible("records_v5", &record(zone, &labels, kind)));
        }

        #[test]
        fn tables_and_forms_that_are_not_known_are_let_pass(key in proptest::collection::vec(any::<u8>(), 1..40)) {
            for dbi in ["comments_v7", "views_v6", "networks_v6", "domains_extra_v6", "pdns", "records_v9"] {
                prop_assert!(is_possible(dbi, &key));
            }
        }
    }

    #[test]
    fn what_4_9_18_made_of_keys_is_none() {
        let made: [&[u8]; 3] = [
            b"\x00\x00\x00\x00\x00\x00\x04\x00\xc63d",
            b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"1\x00\x00\x00\x01\x18\xe2\x1f\x27\x55\x0b",
        ];
        for key in made {
            assert!(!is_possible("records_v5", key), "{key:?}");
        }
        assert!(!is_possible("records_v5", b"\x00\x00\x00\x01\x00\x00"));
        assert!(!is_possible("domains_v5", b"\x00\x00\x01"));
        assert!(!is_possible("domains_v5_0", b"\x00\x03a\x00\x00\x00\x00\x07"));
    }
}
