//! Zones, keys and metadata in words. What is secret in them is not shown.

use crate::content::metadata_kind;

/// What an entry of a table of objects is.
pub fn object(dbi: &str, key: &[u8], value: &[u8]) -> String {
    let zone = super::zone_of_value(dbi, value).unwrap_or_else(|| "?".to_owned());
    let table = dbi.rsplit_once("_v").map_or(dbi, |(table, _)| table);
    let key = super::key(dbi, key);
    match table {
        "domains" => format!("zone {zone} ({key})"),
        "keydata" => format!("DNSSEC key of {zone} ({key})"),
        "metadata" => match metadata_kind(value) {
            Some(kind) => format!("metadata {kind} of {zone} ({key})"),
            None => format!("metadata of {zone} ({key})"),
        },
        "tsig" => format!("TSIG key ({key})"),
        _ => format!("{dbi} {key}"),
    }
}
