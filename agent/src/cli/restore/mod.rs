//! `restore`: zones as they were, written as new changes. What is said of it is in `tell`.

mod renamed;
mod tell;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context as _;
use clap::Args;

use self::tell::Teller;
use super::databases;
use super::output::{Output, time};
use super::past::{Pasts, When, ZoneName};
use super::refused::Refused;
use super::sync::now;
use crate::config::Config;
use crate::content::keys::object_id;
use crate::content::{comes_from_a_primary, metadata_kind};
use crate::history::restore::{
    Back, Restored, Serials, Wanted, Write, Zone, coming_back, difference, steps, write,
};
use crate::history::{Scope, Timeline};
use crate::lmdb::{Environment, LmdbError};
use crate::show;

/// What `--help` says at its end.
const EXAMPLES: &str = "\
Examples:
  See what would change, then take it back:
    zonetide-agent restore --zone example.org --at 2h --dry-run
    zonetide-agent restore --zone example.org --at 2h

  Bring a zone back that was deleted, as it was at a time in UTC:
    zonetide-agent restore --zone example.org --at '2026-11-30 10:20'

  Look at the zone of then beside that of now; delete the copy when you have seen it:
    zonetide-agent restore --zone example.org --at 2h --as old.example.net

  Everything as it was; zones that were made since go:
    zonetide-agent restore --all --at 2026-11-30T10:20:00Z --dry-run

`zonetide-agent history --zone example.org` shows what changed when. What a restore writes is a change as any other: every
server gets it, and it can be taken back itself.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Flags {
    /// As it was then: a time such as 2026-11-30T10:00:00Z, or 90m for so long ago.
    #[arg(long, value_name = "TIME")]
    at: When,
    /// The zone to restore, with its DNSSEC keys and metadata; can be given several times.
    #[arg(
        long = "zone",
        value_name = "ZONE",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    zones: Vec<ZoneName>,
    /// Restore everything: zones that were made since are removed.
    #[arg(long)]
    all: bool,
    /// Write the zone under this name, which no zone may have, and leave the zone itself alone.
    ///
    /// The copy has the records that the zone had at TIME, with the serial of then, and is of kind Native. Names in the zone move
    /// with it: its own, and those that records such as CNAME, MX, NS, SRV and SOA lead to, so that the copy does not lead to the
    /// zone of now. Names elsewhere and in texts (TXT, LUA) stay. DNSSEC keys, what signing made, and metadata are left out: the
    /// copy is not signed, announced, handed out or updated as the zone is. Needs exactly one --zone.
    #[arg(long = "as", value_name = "OTHER", conflicts_with = "all")]
    renamed: Option<ZoneName>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Go on though something is missing in the history: what is missing is taken back as well.
    #[arg(long)]
    despite_gaps: bool,
    /// Text for people, or a JSON object a line for programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Flags {
    /// Of these zones, in the form that [`presented`](crate::content::keys::presented) gives, at a time in ns since the epoch.
    pub(super) fn of_zones(
        zones: impl IntoIterator<Item = String>,
        at: u64,
        dry_run: bool,
        output: Output,
    ) -> Self {
        Self {
            at: When(at),
            zones: zones.into_iter().map(ZoneName).collect(),
            all: false,
            renamed: None,
            dry_run,
            despite_gaps: false,
            output,
        }
    }
}

pub(super) async fn restore(config: &Config, flags: Flags) -> anyhow::Result<()> {
    let teller = Teller::new(flags.output, flags.at.0);
    let restored = match &flags.renamed {
        Some(other) => renamed::carry_out(config, &flags, other, &teller).await,
        None => carry_out(config, &flags, &teller).await,
    };
    if let Err(error) = &restored {
        teller.failed(error)?;
    }
    restored
}

async fn carry_out(config: &Config, flags: &Flags, teller: &Teller) -> anyhow::Result<()> {
    let at = flags.at.0;
    anyhow::ensure!(at < now(), Refused::NotPast);
    let mut scope = Scope::everything();
    if !flags.all {
        scope = Scope::of_zones(flags.zones.iter().map(|zone| zone.0.clone()));
    }
    let envs = open(config)?;
    let mut zones = HashMap::new();
    for env in envs.values() {
        learn(env, &mut scope, &mut zones)?;
    }
    // To now: what was written since says which serials secondaries may have.
    let mut pasts = Pasts::fetch(config, scope, (at, u64::MAX)).await?;
    pasts.reach_back_to(at)?;
    zones.extend(pasts.zones.clone());
    let timelines = pasts.replay(at, |_, _| Ok(()))?;
    teller.notes(&pasts)?;
    let mut serials = Serials::default();
    for past in pasts.all.values_mut() {
        serials.learn(past, &pasts.scope)?;
    }
    let compare = |again: Scope| -> anyhow::Result<BTreeMap<String, Vec<Write>>> {
        let wanted = Wanted {
            scope: pasts.scope.clone(),
            again,
        };
        let mut plan = BTreeMap::new();
        for (database, env) in &envs {
            let Some(timeline) = timelines.get(database) else {
                continue;
            };
            let writes = difference(env, timeline, &wanted)
                .with_context(|| format!("cannot compare {database} with its past"))?;
            plan.insert(database.clone(), writes);
        }
        Ok(plan)
    };
    let mut plan = compare(Scope::of_zones([]))?;
    let back = plan.values().flat_map(|writes| coming_back(writes));
    let back = back.filter_map(|back| match back {
        Back::Id(id) => zones.get(&id).cloned(),
        Back::Named(name) => Some(name),
    });
    let names: BTreeSet<String> = back.collect();
    if !names.is_empty() {
        let mut again = Scope::of_zones(names);
        for env in envs.values() {
            learn(env, &mut again, &mut HashMap::new())?;
        }
        for timeline in timelines.values() {
            learn(timeline.env(), &mut again, &mut HashMap::new())?;
        }
        drop(plan);
        plan = compare(again)?;
    }
    let foreign = foreign_serials(envs.values().chain(timelines.values().map(Timeline::env)))?;
    let about = |id: u32| Zone {
        name: zones.get(&id).cloned(),
        keeps_serial: foreign.0.contains(&id) || zones.get(&id).is_some_and(|name| foreign.1.contains(name)),
    };
    for (database, writes) in &mut plan {
        serials.move_on(&envs[database], writes, &about)?;
    }
    let known: BTreeSet<_> = zones.values().collect();
    for zone in &flags.zones {
        let (zone, at) = (zone.0.clone(), time(at));
        anyhow::ensure!(known.contains(&zone), Refused::UnknownZone { zone, at });
    }
    if !flags.dry_run && !flags.despite_gaps && plan.values().any(|writes| !writes.is_empty()) {
        pasts.is_whole()?;
    }
    teller.plan(&zones, plan.values().flatten())?;
    if flags.dry_run || plan.values().all(Vec::is_empty) {
        return teller.nothing_written();
    }
    let restored = apply(&envs, plan)?;
    teller.restored(&restored)?;
    let left = restored.left;
    anyhow::ensure!(left == 0, Refused::Left(left));
    Ok(())
}

fn open(config: &Config) -> anyhow::Result<BTreeMap<String, Environment>> {
    let lmdbs = config.lmdbs.iter();
    lmdbs
        .map(|(name, lmdb)| Ok((name.clone(), databases::open(name, lmdb)?)))
        .collect()
}

/// Writes step by step.
fn apply(
    envs: &BTreeMap<String, Environment>,
    plan: BTreeMap<String, Vec<Write>>,
) -> anyhow::Result<Restored> {
    let mut restored = Restored::default();
    for (database, writes) in steps(plan).into_iter().flatten() {
        let done = write(&envs[&database], &writes, now())
            .with_context(|| format!("cannot write to {database}; what was written stays: run this again"))?;
        restored.written += done.written;
        restored.left += done.left;
    }
    Ok(restored)
}

/// Zones whose serials are not ours to give: the IDs of those that come from a primary, and the names of those that are signed elsewhere.
fn foreign_serials<'e>(
    envs: impl Iterator<Item = &'e Environment>,
) -> Result<(BTreeSet<u32>, BTreeSet<String>), LmdbError> {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for env in envs {
        env.read(|reader| {
            if let Some(domains) = reader.dbi("domains_v5")? {
                reader.for_each(&domains, |key, _, value| {
                    let id = object_id(key);
                    ids.extend(id.filter(|id| comes_from_a_primary(*id, value)));
                    Ok::<(), LmdbError>(())
                })?;
            }
            if let Some(metadata) = reader.dbi("metadata_v5")? {
                reader.for_each(&metadata, |_, _, value| {
                    if metadata_kind(value) == Some("PRESIGNED") {
                        names.extend(show::zone_of_value("metadata_v5", value));
                    }
                    Ok::<(), LmdbError>(())
                })?;
            }
            Ok::<(), LmdbError>(())
        })?;
    }
    Ok((ids, names))
}

/// The IDs that zones have now.
fn learn(env: &Environment, scope: &mut Scope, zones: &mut HashMap<u32, String>) -> Result<(), LmdbError> {
    env.read(|reader| {
        for dbi in reader.dbis()?.into_iter().filter(|dbi| dbi.name.ends_with("_0")) {
            reader.for_each(&dbi, |key, _, _| {
                scope.learn(&dbi.name, key);
                if dbi.name.starts_with("domains_v")
                    && scope.has(&dbi.name, key)
                    && let Some((name, id)) = show::zone_of_index(key)
                {
                    zones.insert(id, name);
                }
                Ok::<(), LmdbError>(())
            })?;
        }
        Ok(())
    })
}
