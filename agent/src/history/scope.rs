//! Which entries a question is about.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::keys::{IndexKey, RecordKey, object_id, presented};

/// Tables of objects that have an index by the name of their zone.
const OF_ZONES: [&str; 3] = ["domains", "keydata", "metadata"];

/// All entries, or those of some zones: their records, comments, keys and metadata, whatever IDs they had in the course of time.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// None: everything. Names as [`presented`] gives them.
    zones: Option<BTreeSet<String>>,
    /// By table, the IDs of objects that belong to them.
    objects: BTreeMap<&'static str, BTreeSet<u32>>,
}

impl Scope {
    pub fn everything() -> Self {
        Self::default()
    }

    /// The zones of these names, in the form that [`presented`] gives, once [`Scope::learn`] has seen the keys of the main database.
    pub fn of_zones(zones: impl IntoIterator<Item = String>) -> Self {
        Self {
            zones: Some(zones.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Learns from a key which IDs are about.
    pub fn learn(&mut self, dbi: &str, key: &[u8]) {
        let Some(zones) = &self.zones else { return };
        let Some((table, true)) = table_of(dbi) else {
            return;
        };
        let Some(table) = OF_ZONES.into_iter().find(|of| *of == table) else {
            return;
        };
        if let Some(key) = IndexKey::parse(key)
            && is_one_of(zones, &key)
        {
            self.objects.entry(table).or_default().insert(key.id);
        }
    }

    /// The entry is about one of the zones.
    pub fn has(&self, dbi: &str, key: &[u8]) -> bool {
        let Some(zones) = &self.zones else { return true };
        let ids = |table: &str| self.objects.get(table);
        let has = |table: &str, id: Option<u32>| {
            id.is_some_and(|id| ids(table).is_some_and(|ids| ids.contains(&id)))
        };
        match table_of(dbi) {
            Some(("records", false)) => has("domains", RecordKey::parse(key).map(|key| key.zone)),
            Some(("comments", false)) => has("domains", RecordKey::parse_of_comment(key).map(|key| key.zone)),
            Some(("domains_extra", false)) => has("domains", object_id(key)),
            Some((table, false)) => has(table, object_id(key)),
            Some((table, true)) => {
                OF_ZONES.contains(&table) && IndexKey::parse(key).is_some_and(|key| is_one_of(zones, &key))
            }
            None => false,
        }
    }

    /// The IDs that the zones have had.
    pub fn zone_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.objects.get("domains").into_iter().flatten().copied()
    }
}

/// Variants of a zone have names of their own, `zone..variant`, which no question can be about yet.
fn is_one_of(zones: &BTreeSet<String>, key: &IndexKey<'_>) -> bool {
    key.variant.is_empty() && zones.contains(&presented(key.labels()))
}

/// The table that a DBI belongs to, as in `domains_v5`, and whether it is its index, as `domains_v5_0` is.
fn table_of(dbi: &str) -> Option<(&str, bool)> {
    let (table, rest) = dbi.rsplit_once("_v")?;
    Some((table, rest.ends_with("_0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &[u8], id: u32) -> Vec<u8> {
        let len = u16::try_from(name.len()).unwrap().to_be_bytes();
        [&len[..], name, &id.to_be_bytes()].concat()
    }

    #[test]
    fn a_zone_is_its_records_keys_and_metadata_under_all_ids_that_it_had() {
        let mut scope = Scope::of_zones(["zone.example.".to_owned()]);
        let zone = b"example\0zone\0";
        for (dbi, name, id) in [
            ("domains_v5_0", &zone[..], 7),
            ("domains_v5_0", zone, 8),
            ("domains_v5_0", b"example\0other\0", 9),
            ("keydata_v5_0", zone, 20),
            ("metadata_v5_0", zone, 30),
            ("tsig_v5_0", zone, 40),
            ("domains_v5_0", b"example\0zone\0\0inside", 10),
        ] {
            scope.learn(dbi, &index(name, id));
        }
        assert_eq!(scope.zone_ids().collect::<Vec<_>>(), [7, 8]);
        let record = |id: u32| [&id.to_be_bytes()[..], b"www\0", &[0, 0, 1]].concat();
        assert!(scope.has("records_v5", &record(7)));
        let comment = |id: u32| [&record(id)[..], &[0xd7; 32]].concat();
        assert!(scope.has("comments_v7", &comment(8)));
        assert!(!scope.has("comments_v7", &comment(9)));
        assert!(!scope.has("records_v5", &record(9)));
        assert!(scope.has("domains_v5", &8_u32.to_be_bytes()));
        assert!(scope.has("domains_extra_v6", &8_u32.to_be_bytes()));
        assert!(!scope.has("domains_v5", &20_u32.to_be_bytes()));
        assert!(scope.has("keydata_v5", &20_u32.to_be_bytes()));
        assert!(scope.has("metadata_v5_0", &index(zone, 31)));
        assert!(!scope.has("tsig_v5", &40_u32.to_be_bytes()));
        assert!(!scope.has("tsig_v5_0", &index(zone, 40)));
        assert!(!scope.has("domains_v5_0", &index(b"example\0zone\0\0inside", 10)));
        assert!(!scope.has("pdns", b"schemaversion"));
        assert!(Scope::everything().has("pdns", b"schemaversion"));
    }
}
