//! `snapshots diff` and `check`: what differs, in the words of DNS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use tempfile::TempDir;

use super::databases;
use super::output::{Output, print_json, say};
use super::past::scratch;
use super::snapshots::open_snapshot;
use crate::compare::{Change, Difference, compare};
use crate::config::Config;
use crate::history::{directory, leave_room};
use crate::lmdb::{Environment, LmdbError, OpenOptions};
use crate::show;
use crate::snapshot::{DeltaName, Snapshot};
use crate::store::Store;
use crate::sync::deltas::Deltas;
use crate::sync::merge;
use crate::sync::plan::{Knowledge, Next, sort_listing};

/// A database to compare: the real one, or one made of snapshots for this purpose.
struct Side {
    env: Environment,
    _dir: Option<TempDir>,
}

impl Side {
    /// In a temporary file.
    fn empty(config: &Config) -> anyhow::Result<Self> {
        let dir = directory(&scratch(config))?;
        let options = OpenOptions::of_a_new_file(64 << 30);
        let env = Environment::open(&dir.path().join("lmdb"), &options)?;
        Ok(Self { env, _dir: Some(dir) })
    }

    fn merge(&self, mut snapshot: Snapshot) -> anyhow::Result<()> {
        leave_room(self.env.folder())?;
        merge(&self.env, &mut snapshot, 0)?;
        Ok(())
    }

    /// A snapshot in the store or in a file, or a configured database.
    async fn open(config: &Config, store: &Arc<dyn Store>, name: &str) -> anyhow::Result<Self> {
        if let Some(lmdb) = config.lmdbs.get(name) {
            return Ok(Self {
                env: databases::open(name, lmdb)?,
                _dir: None,
            });
        }
        let side = Self::empty(config)?;
        side.merge(open_snapshot(store, name).await?)?;
        Ok(side)
    }
}

/// Names of zones by their IDs, from the index of the main database.
#[derive(Default)]
struct Zones(HashMap<u32, String>);

impl Zones {
    fn learn(&mut self, env: &Environment) -> Result<(), LmdbError> {
        env.read(|reader| {
            let Some(index) = reader.dbi("domains_v5_0")? else {
                return Ok(());
            };
            reader.for_each(&index, |key, _, _| {
                if let Some((name, id)) = show::zone_of_index(key) {
                    self.0.insert(id, name);
                }
                Ok(())
            })
        })
    }

    /// From the sides, and from whatever configured database can be opened: a shard has no names.
    fn of(config: &Config, sides: [&Side; 2]) -> Result<Self, LmdbError> {
        let mut zones = Self::default();
        for (name, lmdb) in &config.lmdbs {
            if let Ok(env) = databases::open(name, lmdb) {
                zones.learn(&env)?;
            }
        }
        for side in sides {
            zones.learn(&side.env)?;
        }
        Ok(zones)
    }

    fn name(&self, dbi: &str, key: &[u8]) -> String {
        let id = show::zone_of_record(dbi, key);
        id.map_or_else(String::new, |id| {
            self.0.get(&id).cloned().unwrap_or_else(|| format!("zone {id}"))
        })
    }
}

#[derive(Serialize)]
struct Line {
    zone: String,
    dbi: String,
    key: String,
    change: Change,
    old: Option<String>,
    new: Option<String>,
}

impl Line {
    fn new(zones: &Zones, difference: &Difference<'_>, change: Change) -> Self {
        let Difference { dbi, key, old, new } = difference;
        let value = |entry: crate::snapshot::Entry<'_>| (!entry.deleted).then(|| show::value(entry.value));
        Self {
            zone: zones.name(dbi, key),
            dbi: (*dbi).to_owned(),
            key: show::key(dbi, key),
            change,
            old: old.and_then(value),
            new: new.and_then(value),
        }
    }

    fn text(&self) -> String {
        let Self {
            dbi,
            key,
            change,
            old,
            new,
            ..
        } = self;
        let of = |value: &Option<String>| value.clone().unwrap_or_default();
        match change {
            Change::Added => format!("  + {dbi}  {key}  {}", of(new)),
            Change::Removed => format!("  - {dbi}  {key}  {}", of(old)),
            Change::Changed => format!("  ~ {dbi}  {key}  {}  ->  {}", of(old), of(new)),
        }
    }
}

/// Prints what PowerDNS would see change on the way from `old` to `new`, zone by zone.
pub(super) async fn diff(
    config: &Config,
    store: &Arc<dyn Store>,
    old: &str,
    new: &str,
    output: Output,
) -> anyhow::Result<()> {
    let (old, new) = (
        Side::open(config, store, old).await?,
        Side::open(config, store, new).await?,
    );
    let zones = Zones::of(config, [&old, &new])?;
    let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    compare(&old.env, &new.env, |difference| {
        if let Some(change) = difference.change() {
            let line = Line::new(&zones, difference, change);
            lines.entry(line.zone.clone()).or_default().push(line);
        }
        Ok::<(), LmdbError>(())
    })?;
    if output == Output::Json {
        return print_json(&lines.into_values().flatten().collect::<Vec<_>>());
    }
    if lines.is_empty() {
        return say("PowerDNS sees no difference.");
    }
    for (zone, lines) in lines {
        let count = |change| lines.iter().filter(|line| line.change == change).count();
        let (added, changed, removed) = (
            count(Change::Added),
            count(Change::Changed),
            count(Change::Removed),
        );
        let zone = if zone.is_empty() {
            "zones, keys and metadata"
        } else {
            &zone
        };
        say(&format!(
            "{zone}: {added} added, {changed} changed, {removed} removed"
        ))?;
        for line in &lines {
            say(&line.text())?;
        }
    }
    Ok(())
}

#[derive(Default, Serialize)]
struct Checked {
    database: String,
    snapshots: usize,
    deltas: usize,
    /// Entries that the bucket knows newer, or at all.
    missing_here: u64,
    /// Entries that the database has newer, or at all.
    missing_in_bucket: u64,
    examples: Vec<String>,
}

/// Says whether each database has everything that the newest snapshots say, and the other way round.
pub(super) async fn check(config: &Config, store: &Arc<dyn Store>, output: Output) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for (name, lmdb) in &config.lmdbs {
        let database = Side {
            env: databases::open(name, lmdb)?,
            _dir: None,
        };
        let bucket = Side::empty(config)?;
        let deltas = Deltas::sort(name, &store.list(&DeltaName::folder(name)).await?);
        let listing = sort_listing(name, &store.list(&format!("{name}__")).await?);
        let mut known = Knowledge::default();
        let mut checked = Checked {
            database: name.clone(),
            ..Checked::default()
        };
        loop {
            let ways = known.to_load(&listing, &deltas, "", |_| false);
            if ways.is_empty() {
                break;
            }
            for next in ways.into_iter().flatten() {
                match next {
                    Next::Snapshot(name) => {
                        bucket.merge(open_snapshot(store, name.as_str()).await?)?;
                        known.merged(&name);
                        checked.snapshots += 1;
                    }
                    Next::Delta(name) => {
                        bucket.merge(open_snapshot(store, name.as_str()).await?)?;
                        known.merged_delta(&name);
                        checked.deltas += 1;
                    }
                }
            }
        }
        let zones = Zones::of(config, [&database, &bucket])?;
        compare(&database.env, &bucket.env, |difference| {
            let side = if difference.new_wins() {
                checked.missing_here += 1;
                "only in the bucket"
            } else {
                checked.missing_in_bucket += 1;
                "only in the database"
            };
            if checked.examples.len() < 10 {
                let Difference { dbi, key, .. } = difference;
                let zone = zones.name(dbi, key);
                checked
                    .examples
                    .push(format!("{side}: {dbi} {zone} {}", show::key(dbi, key)));
            }
            Ok::<(), LmdbError>(())
        })
        .with_context(|| format!("cannot compare {name}"))?;
        all.push(checked);
    }
    let differ = all
        .iter()
        .filter(|checked| checked.missing_here + checked.missing_in_bucket > 0)
        .count();
    if output == Output::Json {
        print_json(&all)?;
    } else {
        for checked in &all {
            let Checked {
                database,
                snapshots,
                deltas,
                missing_here,
                missing_in_bucket,
                examples,
            } = checked;
            say(&format!(
                "{database}: {snapshots} newest snapshots, {deltas} deltas since; {missing_here} entries are missing or older in the database, \
                 {missing_in_bucket} in the bucket"
            ))?;
            for example in examples {
                say(&format!("  {example}"))?;
            }
        }
    }
    anyhow::ensure!(
        differ == 0,
        "{differ} of {} databases differ from the bucket; beside a running agent, changes of the last seconds do",
        all.len()
    );
    Ok(())
}
