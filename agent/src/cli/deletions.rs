//! `deletions`: zones whose deletion is held back, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use super::databases;
use super::output::{Output, Row, print_rows, say, time};
use super::restore;
use super::shards::mains;
use crate::config::Config;
use crate::content::names_of;
use crate::lmdb::Environment;
use crate::sync::HeldDeletions;

/// What `--help` says at its end.
const EXAMPLES: &str = "\
More than `protection.max_deleted_zones_per_minute` zones were deleted on this server within a minute: it answers without them, and the
other servers with them. What is written on this server is held back from the others until somebody decides:

  See which zones it is about:
    zonetide-agent deletions show

  It was a mistake: see what would come back, then bring it back:
    zonetide-agent deletions take-back --dry-run
    zonetide-agent deletions take-back

  It was meant: have them deleted everywhere:
    zonetide-agent deletions let-go";

/// A second before the first deletion: PowerDNS removes keys and metadata before the zone.
const BEFORE: u64 = 1_000_000_000;
const MINUTE: u64 = 60_000_000_000;

#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(super) enum Command {
    /// Show the zones whose deletion is held back.
    Show {
        /// A table for people, or JSON for programs.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Have them deleted everywhere, and tell the others what was held back.
    LetGo,
    /// Bring the zones of an avalanche back as they were a second before the first of them was deleted, by the history in the store.
    TakeBack {
        /// Only show what would change.
        #[arg(long)]
        dry_run: bool,
        /// Text for people, or a JSON object a line for programs.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// A zone that was deleted.
#[derive(Clone, Serialize)]
struct Zone {
    /// `None`: no database says it any more.
    #[serde(rename = "zone")]
    name: Option<String>,
    id: u32,
    /// Ns since the epoch.
    deleted: u64,
}

impl Row for Zone {
    const HEADERS: &'static [&'static str] = &["ZONE", "DELETED"];

    fn cells(&self) -> Vec<String> {
        let unnamed = || format!("(number {})", self.id);
        vec![self.name.clone().unwrap_or_else(unnamed), time(self.deleted)]
    }
}

/// What is held back of one PowerDNS.
struct Held {
    main: Environment,
    held: HeldDeletions,
}

impl Held {
    fn all(config: &Config) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for (name, lmdb) in mains(&config.lmdbs) {
            let main = databases::open(name, lmdb)?;
            let held = HeldDeletions::read(&main);
            let held =
                held.with_context(|| format!("cannot read which deletions are held back beside {name}"))?;
            all.extend(held.map(|held| Self { main, held }));
        }
        Ok(all)
    }

    /// The zones of each that are held back.
    fn avalanches(&self) -> anyhow::Result<Vec<Vec<Zone>>> {
        let zones = self.zones()?;
        let HeldDeletions { most, told, .. } = &self.held;
        let all: BTreeMap<u32, u64> = told
            .iter()
            .chain(&self.held.zones)
            .map(|(zone, time)| (*zone, *time))
            .collect();
        let of = |ids: BTreeSet<u32>| -> Vec<Zone> {
            zones
                .iter()
                .filter(|zone| ids.contains(&zone.id))
                .cloned()
                .collect()
        };
        let avalanches = avalanches(&all, *most).into_iter().map(of);
        Ok(avalanches.filter(|zones| !zones.is_empty()).collect())
    }

    fn zones(&self) -> anyhow::Result<Vec<Zone>> {
        let ids: BTreeSet<u32> = self.held.zones.keys().copied().collect();
        let names = names_of(&self.main, &ids)?;
        let zones = self.held.zones.iter().map(|(id, deleted)| Zone {
            name: names.get(id).cloned(),
            id: *id,
            deleted: *deleted,
        });
        Ok(zones.collect())
    }
}

const NOTHING: &str = "No deletion is held back.";

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let all = Held::all(config)?;
        let mut zones = Vec::new();
        for held in &all {
            zones.extend(held.zones()?);
        }
        zones.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        match self {
            Self::Show { output } => print_rows(output, &zones, NOTHING),
            Self::LetGo => {
                for held in &all {
                    held.held.let_go(&held.main).context("cannot let go")?;
                }
                print_rows(Output::Text, &zones, NOTHING)?;
                if zones.is_empty() {
                    return Ok(());
                }
                say(&format!(
                    "These {} are deleted everywhere as soon as the agent sees this: within seconds.",
                    zones.len()
                ))
            }
            Self::TakeBack { dry_run, output } => {
                let avalanches: Vec<Vec<Zone>> = all
                    .iter()
                    .map(Held::avalanches)
                    .collect::<Result<Vec<_>, _>>()?
                    .concat();
                // A database cannot be opened twice.
                drop(all);
                if avalanches.is_empty() {
                    return say(NOTHING);
                }
                for zones in avalanches {
                    let first = zones.iter().map(|zone| zone.deleted).min().unwrap_or_default();
                    let (named, unnamed): (Vec<_>, Vec<_>) =
                        zones.into_iter().partition(|zone| zone.name.is_some());
                    if !unnamed.is_empty() {
                        tracing::warn!(
                            zones = unnamed.len(),
                            "zones without a name, or of a view alone, are not brought back: `deletions let-go` has them deleted everywhere"
                        );
                    }
                    let back: Vec<_> = named.into_iter().filter_map(|zone| zone.name).collect();
                    if !back.is_empty() {
                        let flags =
                            restore::Flags::of_zones(back, first.saturating_sub(BEFORE), dry_run, output);
                        Box::pin(restore::restore(config, flags)).await?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The zones of each avalanche: more than `most` within a minute, and what is not farther than that from another. What was deleted
/// beside is none.
fn avalanches(zones: &BTreeMap<u32, u64>, most: u32) -> Vec<BTreeSet<u32>> {
    let mut by_time: Vec<(u64, u32)> = zones.iter().map(|(zone, time)| (*time, *zone)).collect();
    by_time.sort_unstable();
    let mut avalanches: Vec<(u64, BTreeSet<u32>)> = Vec::new();
    for (first, (start, _)) in by_time.iter().enumerate() {
        let rest = by_time.get(first..).unwrap_or_default();
        let within: Vec<_> = rest
            .iter()
            .take_while(|(time, _)| time - start <= MINUTE)
            .collect();
        let Some((end, _)) = within.last().filter(|_| within.len() > most as usize) else {
            continue;
        };
        let ids = within.iter().map(|(_, zone)| *zone);
        match avalanches.last_mut() {
            Some((last, zones)) if start.saturating_sub(*last) <= MINUTE => {
                *last = *end;
                zones.extend(ids);
            }
            _ => avalanches.push((*end, ids.collect())),
        }
    }
    avalanches.into_iter().map(|(_, zones)| zones).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_beside_an_avalanche_is_not_of_it() {
        let second = MINUTE / 60;
        let all = [
            (1, 0),
            (2, 3600),
            (3, 3610),
            (4, 3650),
            (5, 3700),
            (6, 9000),
            (7, 9001),
            (8, 9002),
        ];
        let zones: BTreeMap<u32, u64> = all.iter().map(|(zone, at)| (*zone, at * second)).collect();
        let found = avalanches(&zones, 2);
        assert_eq!(found, [BTreeSet::from([2, 3, 4]), BTreeSet::from([6, 7, 8])]);
        assert!(avalanches(&zones, 3).is_empty());
        assert_eq!(avalanches(&zones, 1).len(), 2);
    }
}
