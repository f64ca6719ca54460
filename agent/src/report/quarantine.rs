//! What a replica tells of the entries that are kept out of the zones, because their time is yet to come.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::human::{count, span};

/// All that is kept of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quarantined {
    pub entries: u64,
    pub bytes: u64,
    /// How many of which instance.
    pub instances: BTreeMap<String, u64>,
    /// Instances that had more than there was room for: their snapshots are read again when it is time.
    pub no_room: Vec<String>,
    pub some: Vec<QuarantinedEntry>,
}

/// One entry of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedEntry {
    /// PowerDNS' table.
    pub table: String,
    pub zone: Option<String>,
    pub name: Option<String>,
    pub instance: String,
    /// Ns since the epoch.
    pub time: u64,
}

impl Quarantined {
    /// What to do about it; `None`: nothing is kept.
    pub(crate) fn text(&self, max_ahead: Duration) -> Option<String> {
        if self.entries == 0 && self.no_room.is_empty() {
            return None;
        }
        let instances: std::collections::BTreeSet<_> = self.instances.keys().chain(&self.no_room).collect();
        let instances: Vec<_> = instances.into_iter().map(String::as_str).collect();
        let such = self.some.iter().find_map(|entry| {
            let name = entry.name.as_deref().or(entry.zone.as_deref())?;
            Some(match entry.zone.as_deref().filter(|zone| *zone != name) {
                Some(zone) => format!(", such as {name} in the zone {zone}"),
                None => format!(", such as {name}"),
            })
        });
        let more = if self.no_room.is_empty() {
            ""
        } else {
            " and more than there is room for"
        };
        Some(format!(
            "{} entries{more} are more than {} ahead of the time and not merged until then{}: set the clock of {} right, with NTP",
            count(self.entries),
            span(max_ahead),
            such.unwrap_or_default(),
            instances.join(", "),
        ))
    }
}
