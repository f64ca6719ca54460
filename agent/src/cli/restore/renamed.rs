//! `restore --as`: a zone as it was, under another name beside what there is.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr as _;

use anyhow::Context as _;
use domain::base::Name;

use super::super::output::time;
use super::super::past::{Pasts, ZoneName};
use super::super::refused::Refused;
use super::super::sync::now;
use super::tell::Teller;
use super::{Flags, apply, open};
use crate::config::Config;
use crate::content::{Move, zone_id};
use crate::history::restore::{Copy, LeftOut, copy, copy_id};
use crate::history::{Scope, Timeline};
use crate::lmdb::{Environment, LmdbError};

pub(super) async fn carry_out(
    config: &Config,
    flags: &Flags,
    other: &ZoneName,
    teller: &Teller,
) -> anyhow::Result<()> {
    let (at, other) = (flags.at.0, other.0.as_str());
    let [ZoneName(zone)] = flags.zones.as_slice() else {
        return Err(Refused::NotOneZone.into());
    };
    anyhow::ensure!(at < now(), Refused::NotPast);
    anyhow::ensure!(other != ".", "the root cannot be the name of a copy");
    let envs = open(config)?;
    is_new(&envs, other)?;
    let scope = Scope::of_zones([zone.clone()]);
    let mut pasts = Pasts::fetch(config, scope, (at, at)).await?;
    pasts.reach_back_to(at)?;
    let timelines = pasts.replay(at, |_, _| Ok(()))?;
    teller.notes(&pasts)?;
    let from = timelines
        .values()
        .find_map(|timeline| zone_id(timeline.env(), zone).transpose());
    let from = from.transpose()?.ok_or_else(|| Refused::NoZoneThen {
        zone: zone.clone(),
        at: time(at),
    })?;
    let is_free = |id: u32| envs.values().all(|env| !has_been(env, id).unwrap_or(true));
    let to =
        copy_id((zone, other), from, shards(&envs)?, is_free).context("there is no free ID for a zone")?;
    let (zone_labels, labels) = (labels(zone)?, labels(other)?);
    let name: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
    let names = Move::new(zone_labels.iter().map(Vec::as_slice), name.iter().copied());
    let (mut plan, mut left_out) = (BTreeMap::new(), LeftOut::default());
    for (database, env) in &envs {
        let Some(timeline) = timelines.get(database).map(Timeline::env) else {
            continue;
        };
        let of = Copy {
            from,
            to,
            name: &name,
            names: &names,
            scope: &pasts.scope,
        };
        let writes = copy(env, timeline, &of, &mut left_out)
            .with_context(|| format!("cannot copy the zone from the past of {database}"))?;
        plan.insert(database.clone(), writes);
    }
    if !flags.dry_run && !flags.despite_gaps {
        pasts.is_whole()?;
    }
    teller.copy((zone, other), &left_out)?;
    let zones = HashMap::from([(to, other.to_owned())]);
    teller.plan(&zones, plan.values().flatten())?;
    if flags.dry_run {
        return teller.nothing_written();
    }
    is_new(&envs, other)?;
    let restored = apply(&envs, plan)?;
    teller.restored(&restored)?;
    let left = restored.left;
    anyhow::ensure!(left == 0, Refused::Left(left));
    Ok(())
}

/// # Errors
/// That there is a zone of this name.
fn is_new(envs: &BTreeMap<String, Environment>, zone: &str) -> anyhow::Result<()> {
    for env in envs.values() {
        anyhow::ensure!(zone_id(env, zone)?.is_none(), Refused::Exists(zone.to_owned()));
    }
    Ok(())
}

/// A zone has this ID, or had it and was deleted.
fn has_been(env: &Environment, id: u32) -> Result<bool, LmdbError> {
    env.read(|reader| {
        let domains = reader.dbi("domains_v5")?;
        let entry = domains.map(|dbi| Ok::<_, LmdbError>(reader.get(&dbi, &id.to_be_bytes())?.is_some()));
        Ok(entry.transpose()?.unwrap_or(false))
    })
}

/// Over how many databases PowerDNS spreads the records of zones, by their IDs.
fn shards(envs: &BTreeMap<String, Environment>) -> Result<u32, LmdbError> {
    for env in envs.values() {
        let shards = env.read(|reader| {
            let Some(dbi) = reader.dbi("pdns")? else {
                return Ok(None);
            };
            let shards = reader.get(&dbi, b"shards")?;
            Ok::<_, LmdbError>(shards.and_then(|(_, value)| value.try_into().ok().map(u32::from_be_bytes)))
        })?;
        if let Some(shards) = shards {
            return Ok(shards);
        }
    }
    Ok(1)
}

/// The labels of a name, the leftmost first.
fn labels(name: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let name = Name::<Vec<u8>>::from_str(name)?;
    let labels = name.iter().filter(|label| !label.is_root());
    Ok(labels.map(|label| label.as_slice().to_vec()).collect())
}
