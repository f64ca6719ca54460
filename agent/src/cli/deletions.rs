//! `deletions`: zones whose deletion is held back, and what becomes of them.

use std::collections::BTreeSet;

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
    /// Bring the zones back as they were a second before the first of them was deleted, by the history in the store.
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
#[derive(Serialize)]
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
                say(&match zones.len() {
                    0 => NOTHING.to_owned(),
                    zones => format!(
                        "{zones} zones are deleted everywhere as soon as the agent sees this: within seconds."
                    ),
                })
            }
            Self::TakeBack { dry_run, output } => {
                let Some(first) = zones.iter().map(|zone| zone.deleted).min() else {
                    return say(NOTHING);
                };
                let unnamed = zones.iter().filter(|zone| zone.name.is_none()).count();
                anyhow::ensure!(
                    unnamed == 0,
                    "{unnamed} of the zones have no name any more: `zonetide-agent restore --all --at TIME` brings everything back"
                );
                // A database cannot be opened twice.
                drop(all);
                let names = zones.into_iter().filter_map(|zone| zone.name);
                let flags = restore::Flags::of_zones(names, first.saturating_sub(BEFORE), dry_run, output);
                restore::restore(config, flags).await
            }
        }
    }
}
