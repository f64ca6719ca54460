//! What is shown of the entries that are kept out of the zones, because their time is yet to come.

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::When;
use crate::report::Quarantined;

#[derive(Debug, Serialize)]
pub(super) struct QuarantineReport {
    entries: u64,
    bytes: u64,
    instances: BTreeMap<String, u64>,
    no_room: Vec<String>,
    some: Vec<EntryReport>,
}

#[derive(Debug, Serialize)]
struct EntryReport {
    table: String,
    zone: Option<String>,
    name: Option<String>,
    instance: String,
    time: When,
}

impl From<&Quarantined> for QuarantineReport {
    fn from(kept: &Quarantined) -> Self {
        let some = kept.some.iter().cloned().map(|entry| EntryReport {
            table: entry.table,
            zone: entry.zone,
            name: entry.name,
            instance: entry.instance,
            time: When(entry.time),
        });
        Self {
            entries: kept.entries,
            bytes: kept.bytes,
            instances: kept.instances.clone(),
            no_room: kept.no_room.clone(),
            some: some.collect(),
        }
    }
}
