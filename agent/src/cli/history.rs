//! `history`: what changed, when, on which server, before and after.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Format;
use super::output::{Output, ignore_closed_pipe, say, time};
use super::past::{Pasts, When, ZoneName};
use super::sync::now;
use crate::config::Config;
use crate::content::{is_same_zone, without_order};
use crate::history::{HistoryError, Scope, Written};
use crate::show;

#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Only changes of this zone; can be given several times.
    #[arg(long = "zone", value_name = "ZONE")]
    zones: Vec<ZoneName>,
    /// Only changes of this name, such as www.example.org.
    #[arg(long, value_name = "NAME")]
    name: Option<ZoneName>,
    /// From when on: a time such as 2026-11-30T10:00:00Z, or 90m for so long ago.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: When,
    /// Until when; default: now.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    #[command(flatten)]
    format: Format,
}

/// A change for people, or as a line of JSON.
#[derive(Serialize, Deserialize)]
struct Change {
    time: String,
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    zone: Option<String>,
    /// What was there, as a zone file has it.
    before: Vec<String>,
    after: Vec<String>,
}

pub(super) async fn history(config: &Config, flags: Flags) -> anyhow::Result<()> {
    let until = flags.until.map_or_else(now, |until| until.0);
    let since = flags.since.0;
    anyhow::ensure!(since < until, "--since is not before --until");
    let mut scope = Scope::everything();
    if !flags.zones.is_empty() {
        scope = Scope::of_zones(flags.zones.iter().map(|zone| zone.0.clone()));
    }
    let mut pasts = Pasts::fetch(config, scope, (since, until)).await?;
    let mut found = Found::new(&pasts.folder)?;
    pasts.replay(until, |zones, written| {
        if written.moment < since {
            return Ok(());
        }
        match describe(zones, written, flags.name.as_ref()) {
            Some(change) => found.add(written.moment, &change).map_err(HistoryError::Stash),
            None => Ok(()),
        }
    })?;
    pasts.tell_notes();
    if found.places.is_empty() && flags.format.output == Output::Text {
        let (from, to) = (time(since), time(until));
        return say(&format!("Nothing changed between {from} and {to}."));
    }
    ignore_closed_pipe(found.print(flags.format.output))
}

/// None for what says nothing to people: indexes, what is not in a zone file, and when PowerDNS did something.
fn describe(zones: &HashMap<u32, String>, written: &Written<'_>, only: Option<&ZoneName>) -> Option<Change> {
    let Written {
        dbi,
        key,
        before,
        after,
        ..
    } = *written;
    if dbi.ends_with("_0") || dbi.starts_with("domains_extra") {
        return None;
    }
    let after = Some(after).filter(|after| !after.deleted);
    let id = show::zone_of_record(dbi, key);
    let value = after.or(before).map(|entry| entry.value).unwrap_or_default();
    let zone = match id {
        Some(id) => Some(zones.get(&id).cloned().unwrap_or_else(|| format!("zone {id}."))),
        None => show::zone_of_value(dbi, value),
    };
    if let Some(only) = only {
        let name = show::record_name(zone.as_deref().filter(|_| id.is_some())?, key)?;
        if name != only.0 {
            return None;
        }
    }
    let is_record = dbi.starts_with("records");
    let lines = |value: &[u8]| -> Option<Vec<String>> {
        if is_record {
            show::record_lines(zone.as_deref()?, key, value)
        } else {
            Some(vec![show::object(dbi, key, value)])
        }
    };
    let of = |entry: Option<crate::snapshot::Entry<'_>>| entry.and_then(|entry| lines(entry.value));
    let (mut old, mut new) = (of(before).unwrap_or_default(), of(after).unwrap_or_default());
    if old == new {
        let is_same = match (before, after) {
            (Some(old), Some(new)) if is_record => without_order(old.value) == without_order(new.value),
            (Some(old), Some(new)) => old.value == new.value || is_same_zone(dbi, key, old.value, new.value),
            _ => true,
        };
        if is_same {
            return None;
        }
    } else {
        // Of an RRset the records that stay are no change.
        let both: Vec<_> = old.iter().filter(|line| new.contains(line)).cloned().collect();
        old.retain(|line| !both.contains(line));
        new.retain(|line| !both.contains(line));
    }
    Some(Change {
        time: time(written.moment),
        instance: written.instance.to_owned(),
        zone,
        before: old,
        after: new,
    })
}

/// Changes in a temporary file, for there may be millions; they come database by database, and are printed by time.
struct Found {
    file: BufWriter<File>,
    len: u64,
    /// When, where in the file, and how long.
    places: Vec<(u64, u64, u32)>,
}

impl Found {
    fn new(folder: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile_in(folder)?),
            len: 0,
            places: Vec::new(),
        })
    }

    fn add(&mut self, moment: u64, change: &Change) -> std::io::Result<()> {
        let line = serde_json::to_vec(change)?;
        self.file.write_all(&line)?;
        self.places
            .push((moment, self.len, u32::try_from(line.len()).unwrap_or(u32::MAX)));
        self.len += line.len() as u64;
        Ok(())
    }

    fn print(mut self, output: Output) -> std::io::Result<()> {
        self.places.sort_unstable();
        let mut file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut line, mut header) = (Vec::new(), String::new());
        for (_, at, len) in self.places {
            file.seek(SeekFrom::Start(at))?;
            line.clear();
            (&file).take(len.into()).read_to_end(&mut line)?;
            if output == Output::Json {
                out.write_all(&line)?;
                writeln!(out)?;
                continue;
            }
            let Change {
                time,
                instance,
                zone,
                before,
                after,
            } = serde_json::from_slice(&line)?;
            let zone = zone.map(|zone| format!("  {zone}")).unwrap_or_default();
            let of = format!("{time}  {instance}{zone}");
            if of != header {
                let gap = if header.is_empty() { "" } else { "\n" };
                writeln!(out, "{gap}{of}")?;
                header = of;
            }
            if before == after {
                before.iter().try_for_each(|line| writeln!(out, "  ~ {line}"))?;
            } else {
                before.iter().try_for_each(|line| writeln!(out, "  - {line}"))?;
                after.iter().try_for_each(|line| writeln!(out, "  + {line}"))?;
            }
        }
        out.flush()
    }
}
