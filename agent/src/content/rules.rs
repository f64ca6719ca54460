//! Which of PowerDNS' cached answers an entry of its database can change.
//!
//! PowerDNS keeps answers by the question (packet cache) and what its backend said by name and type (query cache). A
//! question's answer can come from other names: the ends of its CNAMEs, the addresses of its MX, SRV and NS records, a
//! wildcard, DNAME or delegation above it, the SOA of its zone and, in a signed zone, the neighbours that prove a denial.
//! Nothing tells which cached questions did, so one name alone is never enough for good: its zone is emptied too, as
//! PowerDNS' own API does after each write. [`Effect::Name`] means that this can wait a moment in a zone that changes
//! all the time ([`super::Settle`]); [`Effect::Zone`] that it cannot.

use super::keys::{IndexKey, RecordKey, SOA, object_id, presented};
use super::values::{only_the_serial_differs, same_zone, served_alike, zone_labels};

/// An entry that a merge has written: its live value before and after, `None` where there was none or a deletion mark.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    pub dbi: &'c str,
    pub key: &'c [u8],
    pub old: Option<&'c [u8]>,
    pub new: Option<&'c [u8]>,
}

/// A zone, by what the entry says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ZoneRef {
    Id(u32),
    Name(String),
}

/// What to flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answers do not depend on it.
    Nothing,
    /// A name, relative to the zone with this ID, without a final dot; empty for the zone itself.
    Name(u32, String),
    /// All answers of a zone.
    Zone(ZoneRef),
    /// The list of zones changed, and with it all answers of these.
    ZoneList(Vec<String>),
    /// Nobody knows what it changes.
    Everything,
}

/// Types that say something of other names, or of which names and types there are: ENT (PowerDNS' own type 0), NS, DNAME,
/// DS, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY.
const STRUCTURE: [u16; 11] = [0, 2, 39, 43, 46, 47, 48, 50, 51, 59, 60];

/// What a change means for the caches.
pub(crate) fn effect(change: &Change<'_>) -> Effect {
    // Merging again, or a newer mark on what was deleted already: the same to a reader.
    if change.old == change.new {
        return Effect::Nothing;
    }
    let existed_throughout = change.old.is_some() && change.new.is_some();
    match change.dbi {
        "records_v5" => record(change),
        "domains_v5" => domain(change),
        // The value of an index entry is empty: it is there or not.
        "domains_v5_0" if existed_throughout => Effect::Nothing,
        "domains_v5_0" => match plain_index(change.key) {
            Some(index) => Effect::ZoneList(vec![presented(index.labels())]),
            None => Effect::Everything,
        },
        "keydata_v5" | "metadata_v5" => {
            let labels = change.new.or(change.old).and_then(zone_labels);
            match labels {
                Some(labels) => Effect::Zone(ZoneRef::Name(presented(labels))),
                None => Effect::Everything,
            }
        }
        "keydata_v5_0" | "metadata_v5_0" => match plain_index(change.key) {
            Some(index) => Effect::Zone(ZoneRef::Name(presented(index.labels()))),
            None => Effect::Everything,
        },
        // Read at every use, or never by a question. In `domains_extra_v6` 5.1 keeps when a zone was last checked and which
        // serial was last notified, when its domains table is split.
        "tsig_v5" | "tsig_v5_0" | "comments_v7" | "domains_extra_v6" | "pdns" => Effect::Nothing,
        // Views and networks, which decide which zone answers whom, and tables of PowerDNS to come.
        _ => Effect::Everything,
    }
}

/// Not one of a variant: which keys and metadata PowerDNS keeps of it, it forgets with everything else only.
fn plain_index(key: &[u8]) -> Option<IndexKey<'_>> {
    IndexKey::parse(key).filter(|index| index.variant.is_empty())
}

fn record(change: &Change<'_>) -> Effect {
    let Some(key) = RecordKey::parse(change.key) else {
        return Effect::Everything;
    };
    let zone = Effect::Zone(ZoneRef::Id(key.zone));
    // An RRset that appears or vanishes can make a name appear or vanish: then wildcards and denials change.
    let (Some(old), Some(new)) = (change.old, change.new) else {
        return zone;
    };
    let plain = served_alike(old, new)
        && !STRUCTURE.contains(&key.kind)
        && (key.kind != SOA || only_the_serial_differs(old, new))
        && !key.labels().any(|label| label == b"*");
    if plain {
        let mut name = presented(key.labels());
        name.pop();
        Effect::Name(key.zone, name)
    } else {
        zone
    }
}

fn domain(change: &Change<'_>) -> Effect {
    let Some(id) = object_id(change.key) else {
        return Effect::Everything;
    };
    if let (Some(old), Some(new)) = (change.old, change.new)
        && same_zone(id, old, new)
    {
        return Effect::Nothing;
    }
    let names: Option<Vec<_>> = [change.old, change.new]
        .into_iter()
        .flatten()
        .map(|value| zone_labels(value).map(presented))
        .collect();
    match names.as_deref() {
        // A zone keeps its ID and name while its kind, account or catalog changes.
        Some([old, new]) if old == new => Effect::Zone(ZoneRef::Name(new.clone())),
        Some(names) => Effect::ZoneList(names.to_vec()),
        None => Effect::Everything,
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::tests::{record as rr, zone as zone_value};
    use super::*;

    const ID: u32 = 156_401_741;
    const WIRE: &[u8] = b"\x04zone\x07example\0";

    fn key(stored: &[u8], kind: u16) -> Vec<u8> {
        [&ID.to_be_bytes()[..], stored, &[0], &kind.to_be_bytes()].concat()
    }

    fn index() -> Vec<u8> {
        [&[0, 13][..], b"example\0zone\0", &ID.to_be_bytes()].concat()
    }

    fn effect_of(dbi: &str, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> Effect {
        effect(&Change { dbi, key, old, new })
    }

    fn zone() -> Effect {
        Effect::Zone(ZoneRef::Name("zone.example.".into()))
    }

    #[test]
    fn another_content_of_an_rrset_is_a_matter_of_its_name() {
        let (a, b) = (
            rr(&[192, 0, 2, 1], 60, [1, 0, 1]),
            rr(&[192, 0, 2, 2], 60, [1, 0, 1]),
        );
        let name = |stored: &[u8], kind| effect_of("records_v5", &key(stored, kind), Some(&a), Some(&b));
        assert_eq!(name(b"b\0a\0", 1), Effect::Name(ID, "a.b".into()));
        assert_eq!(name(b"\0", 16), Effect::Name(ID, String::new()));
        assert_eq!(
            effect_of("records_v5", &key(b"a\0", 1), Some(&a), Some(&a)),
            Effect::Nothing
        );
    }

    #[test]
    fn what_tells_of_other_names_is_a_matter_of_the_zone() {
        let (a, b) = (rr(b"a", 60, [1, 0, 1]), rr(b"b", 60, [1, 0, 1]));
        let whole = Effect::Zone(ZoneRef::Id(ID));
        for kind in STRUCTURE {
            assert_eq!(
                effect_of("records_v5", &key(b"a\0", kind), Some(&a), Some(&b)),
                whole,
                "type {kind}"
            );
        }
        for (what, stored, old, new) in [
            ("a new name", &b"a\0"[..], None, Some(&b[..])),
            ("a name that vanishes", b"a\0", Some(&a[..]), None),
            ("a wildcard", b"*\0", Some(&a), Some(&b)),
            ("something below a wildcard", b"*\0a\0", Some(&a), Some(&b)),
            ("a value of another form", b"a\0", Some(b"?"), Some(&b)),
        ] {
            assert_eq!(
                effect_of("records_v5", &key(stored, 1), old, new),
                whole,
                "{what}"
            );
        }
    }

    #[test]
    fn a_serial_is_a_matter_of_the_apex_and_other_numbers_of_a_soa_of_the_zone() {
        let soa = |serial: u32, minimum: u32| {
            let numbers = [serial, 1, 2, 3, minimum].map(u32::to_be_bytes).concat();
            rr(&[&b"\0\0"[..], &numbers].concat(), 60, [1, 0, 1])
        };
        let of = |new: &[u8]| effect_of("records_v5", &key(b"\0", SOA), Some(&soa(1, 60)), Some(new));
        assert_eq!(of(&soa(2, 60)), Effect::Name(ID, String::new()));
        assert_eq!(of(&soa(2, 61)), Effect::Zone(ZoneRef::Id(ID)));
    }

    #[test]
    fn zones_made_and_removed_change_the_list_of_zones_and_notified_ones_nothing() {
        let list = Effect::ZoneList(vec!["zone.example.".into()]);
        let value = zone_value(WIRE, ID, 0, 0, b"");
        let id = ID.to_be_bytes();
        assert_eq!(effect_of("domains_v5", &id, None, Some(&value)), list);
        assert_eq!(effect_of("domains_v5", &id, Some(&value), None), list);
        assert_eq!(effect_of("domains_v5_0", &index(), None, Some(b"")), list);
        assert_eq!(effect_of("domains_v5_0", &index(), Some(b""), None), list);
        assert_eq!(
            effect_of("domains_v5_0", &index(), Some(b""), Some(b"")),
            Effect::Nothing
        );
        let of = |new: &[u8]| effect_of("domains_v5", &id, Some(&value), Some(new));
        assert_eq!(of(&zone_value(WIRE, ID, 5, 6, b"")), Effect::Nothing);
        assert_eq!(of(&zone_value(WIRE, ID, 0, 0, b"account")), zone());
        assert_eq!(
            of(&zone_value(b"\x04zone\0", ID, 0, 0, b"")),
            Effect::ZoneList(vec!["zone.example.".into(), "zone.".into()])
        );
    }

    #[test]
    fn keys_and_metadata_are_a_matter_of_their_zone() {
        let value = zone_value(WIRE, 0, 0, 0, b"");
        for dbi in ["keydata_v5", "metadata_v5"] {
            let id = [0, 0, 0, 9];
            assert_eq!(effect_of(dbi, &id, None, Some(&value)), zone());
            assert_eq!(effect_of(dbi, &id, Some(&value), None), zone());
            assert_eq!(effect_of(&format!("{dbi}_0"), &index(), Some(b""), None), zone());
        }
    }

    #[test]
    fn what_is_not_understood_flushes_everything_and_what_no_answer_needs_nothing() {
        for dbi in [
            "records_v5",
            "domains_v5",
            "domains_v5_0",
            "keydata_v5",
            "views_v6",
            "of_later",
        ] {
            assert_eq!(
                effect_of(dbi, b"?", None, Some(b"?")),
                Effect::Everything,
                "{dbi}"
            );
        }
        for dbi in ["tsig_v5", "tsig_v5_0", "comments_v7", "domains_extra_v6", "pdns"] {
            assert_eq!(effect_of(dbi, b"?", None, Some(b"?")), Effect::Nothing, "{dbi}");
        }
        assert_eq!(effect_of("records_v5", b"?", None, None), Effect::Nothing);
    }
}
