//! `snapshots`: what is in the store.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tempfile::SpooledTempFile;

use super::databases::Shown;
use super::output::{Output, Row, age, ignore_closed_pipe, print_rows, say, size};
use super::store::open_store;
use super::{Format, differences, sync::now, transfer};
use crate::config::Config;
use crate::snapshot::{DecodeError, DeltaName, Snapshot, SnapshotName};
use crate::store::{Store, spool};
use crate::sync::deltas::Deltas;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the snapshots, or the deltas between them, newest last.
    List {
        /// Only those of this database.
        #[arg(long)]
        database: Option<String>,
        /// Only those of this instance.
        #[arg(long = "of")]
        instance: Option<String>,
        /// The deltas of the configured databases, which say what changed since the snapshots.
        #[arg(long)]
        deltas: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Copy a snapshot from the store to a file.
    Get {
        name: String,
        /// Default: the snapshot's name, in this directory.
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Copy a file to the store, under its own name. A file that is no sound snapshot is refused.
    Put { file: PathBuf },
    /// Show every entry of a snapshot or delta in the store, or in a file.
    Dump {
        /// A name in the store, or the path of a file.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Read snapshots and deltas from end to end and say which are sound; ends with 1 if one is not.
    Verify {
        /// Default: all in the store.
        names: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show what PowerDNS would see change from one to the other, zone by zone.
    Diff {
        /// The older side: a snapshot in the store, the path of a file, or a configured database such as main.
        old: String,
        /// The newer side, likewise.
        new: String,
        #[command(flatten)]
        format: Format,
    },
    /// Remove snapshots or deltas from the store.
    Remove {
        #[arg(required = true)]
        names: Vec<String>,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let store = open_store(&config.storage)?;
        match self {
            Self::List {
                database,
                instance,
                deltas,
                format,
            } => {
                let (mut found, none) = if deltas {
                    (deltas_in(config, &store).await?, "There are no deltas.")
                } else {
                    (snapshots_in(&store).await?, "There are no snapshots.")
                };
                found.retain(|found| database.as_ref().is_none_or(|only| found.database == *only));
                found.retain(|found| instance.as_ref().is_none_or(|only| found.instance == *only));
                print_rows(format.output, &found, none)
            }
            Self::Get { name, to } => get(&store, &name, to).await,
            Self::Put { file } => put(&store, &file).await,
            Self::Dump { name, format } => dump(open_snapshot(&store, &name).await?, format.output),
            Self::Verify { names, format } => verify(config, &store, names, format.output).await,
            Self::Diff { old, new, format } => {
                differences::diff(config, &store, &old, &new, format.output).await
            }
            Self::Remove { names, dry_run } => remove(config, &store, &names, dry_run).await,
        }
    }
}

#[derive(Serialize)]
struct Found {
    database: String,
    instance: String,
    timestamp: u64,
    size: u64,
    name: String,
}

impl Row for Found {
    const HEADERS: &'static [&'static str] = &["DATABASE", "INSTANCE", "AGE", "SIZE", "NAME"];

    fn cells(&self) -> Vec<String> {
        let age = age(self.timestamp, now());
        vec![
            self.database.clone(),
            self.instance.clone(),
            age,
            size(self.size),
            self.name.clone(),
        ]
    }
}

async fn snapshots_in(store: &Arc<dyn Store>) -> anyhow::Result<Vec<Found>> {
    let listed = store.list("").await?;
    let names = listed
        .iter()
        .filter_map(|object| Some((SnapshotName::parse(&object.name).ok()?, object.size)));
    let mut found: Vec<_> = names
        .map(|(name, size)| Found {
            database: name.database().to_owned(),
            instance: name.instance().to_owned(),
            timestamp: name.timestamp(),
            size,
            name: name.to_string(),
        })
        .collect();
    found.sort_by_key(|found| (found.database.clone(), found.timestamp));
    Ok(found)
}

async fn deltas_in(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for database in config.lmdbs.keys() {
        let deltas = Deltas::sort(database, &store.list(&DeltaName::folder(database)).await?);
        let of = deltas.instances().flat_map(|instance| deltas.of(instance));
        let mut of: Vec<_> = of
            .map(|(name, size)| Found {
                database: database.clone(),
                instance: name.instance().to_owned(),
                timestamp: name.time(),
                size,
                name: name.to_string(),
            })
            .collect();
        of.sort_by_key(|found| found.timestamp);
        found.extend(of);
    }
    Ok(found)
}

async fn fetch(store: &Arc<dyn Store>, name: &str) -> anyhow::Result<SpooledTempFile> {
    there(name, transfer::get(store, name).await?)
}

fn there(name: &str, object: Option<SpooledTempFile>) -> anyhow::Result<SpooledTempFile> {
    object.with_context(|| format!("there is no snapshot {name:?}: `snapshots list` shows what there is"))
}

/// A snapshot from the store, or from a file when there is one of that path.
pub(super) async fn open_snapshot(store: &Arc<dyn Store>, name: &str) -> anyhow::Result<Snapshot> {
    let path = Path::new(name);
    let object = if path.is_file() {
        read_file(path)?
    } else {
        fetch(store, name).await?
    };
    Snapshot::open(object).with_context(|| format!("{name} is not a sound snapshot"))
}

fn read_file(path: &Path) -> anyhow::Result<SpooledTempFile> {
    let mut object = spool(&std::env::temp_dir());
    let copied = File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut object));
    copied
        .and_then(|_| object.rewind())
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(object)
}

async fn get(store: &Arc<dyn Store>, name: &str, to: Option<PathBuf>) -> anyhow::Result<()> {
    let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
    let to = to.unwrap_or_else(|| PathBuf::from(file));
    let mut object = fetch(store, name).await?;
    // A file that is there may be somebody's only copy.
    let file = File::options().write(true).create_new(true).open(&to);
    let mut file = file.with_context(|| format!("cannot make {}", to.display()))?;
    let bytes = std::io::copy(&mut object, &mut file).and_then(|bytes| file.sync_all().map(|()| bytes));
    let bytes = bytes.with_context(|| format!("cannot write {}", to.display()))?;
    say(&format!("{}: {}", to.display(), size(bytes)))
}

async fn put(store: &Arc<dyn Store>, file: &Path) -> anyhow::Result<()> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .context("the file has no name")?;
    let parsed =
        SnapshotName::parse(name).with_context(|| format!("{name} is not the name of a snapshot"))?;
    let snapshot = Snapshot::open(read_file(file)?);
    let snapshot = snapshot.with_context(|| format!("{name} is not a sound snapshot"))?;
    let meta = &snapshot.outline().meta;
    anyhow::ensure!(
        meta.database == parsed.database(),
        "{name} holds the database {:?}: it would be merged into the wrong one",
        meta.database
    );
    anyhow::ensure!(
        store.list(name).await?.is_empty(),
        "there is a snapshot {name} already: it is not replaced"
    );
    transfer::put(store, name, read_file(file)?).await?;
    say(&format!(
        "{name} is in the store; agents merge it at their next look"
    ))
}

fn dump(mut snapshot: Snapshot, output: Output) -> anyhow::Result<()> {
    enum Stop {
        Decode(DecodeError),
        Output(std::io::Error),
    }
    impl From<DecodeError> for Stop {
        fn from(error: DecodeError) -> Self {
            Self::Decode(error)
        }
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if output == Output::Text {
        ignore_closed_pipe(writeln!(out, "{:#?}", snapshot.outline().meta))?;
    }
    let written = snapshot.for_each_entry(|dbi, entry| {
        let shown = Shown::new(
            &dbi.header.name,
            entry.key,
            entry.value,
            entry.timestamp,
            entry.deleted,
        );
        shown.write(&mut out, output, entry.value).map_err(Stop::Output)
    });
    match written.and_then(|()| out.flush().map_err(Stop::Output)) {
        Ok(()) => Ok(()),
        Err(Stop::Decode(error)) => Err(error.into()),
        Err(Stop::Output(error)) => ignore_closed_pipe(Err(error)),
    }
}

#[derive(Serialize)]
struct Verdict {
    name: String,
    entries: Option<u64>,
    error: Option<String>,
}

impl Row for Verdict {
    const HEADERS: &'static [&'static str] = &["OBJECT", "ENTRIES", "VERDICT"];

    fn cells(&self) -> Vec<String> {
        let entries = self
            .entries
            .map_or_else(|| "-".to_owned(), |entries| entries.to_string());
        let verdict = self
            .error
            .as_ref()
            .map_or_else(|| "sound".to_owned(), |error| format!("corrupt: {error}"));
        vec![self.name.clone(), entries, verdict]
    }
}

/// The names of all that agents read.
async fn all_names(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Vec<String>> {
    let (snapshots, deltas) = (snapshots_in(store).await?, deltas_in(config, store).await?);
    Ok(snapshots
        .into_iter()
        .chain(deltas)
        .map(|found| found.name)
        .collect())
}

async fn verify(
    config: &Config,
    store: &Arc<dyn Store>,
    names: Vec<String>,
    output: Output,
) -> anyhow::Result<()> {
    let names = if names.is_empty() {
        all_names(config, store).await?
    } else {
        names
    };
    let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}")?;
    // Drawn on a terminal only.
    let progress = ProgressBar::new(names.len() as u64).with_style(style);
    let mut verdicts = Vec::new();
    for name in names {
        progress.set_message(name.clone());
        let object = there(&name, store.get(&name, spool(&std::env::temp_dir())).await?)?;
        let verdict = match Snapshot::open(object) {
            Ok(snapshot) => {
                let entries = snapshot.outline().dbis.iter().map(|dbi| dbi.entries).sum();
                Verdict {
                    name,
                    entries: Some(entries),
                    error: None,
                }
            }
            Err(error) => Verdict {
                name,
                entries: None,
                error: Some(error.to_string()),
            },
        };
        verdicts.push(verdict);
        progress.inc(1);
    }
    progress.finish_and_clear();
    print_rows(output, &verdicts, "There are no snapshots.")?;
    let corrupt = verdicts.iter().filter(|verdict| verdict.error.is_some()).count();
    anyhow::ensure!(
        corrupt == 0,
        "{corrupt} of {} objects are corrupt",
        verdicts.len()
    );
    Ok(())
}

async fn remove(
    config: &Config,
    store: &Arc<dyn Store>,
    names: &[String],
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut there: Vec<_> = store
        .list("")
        .await?
        .into_iter()
        .map(|object| object.name)
        .collect();
    there.extend(
        deltas_in(config, store)
            .await?
            .into_iter()
            .map(|found| found.name),
    );
    // All or none: a slip in one name must not remove the others.
    for name in names {
        anyhow::ensure!(there.contains(name), "there is no snapshot {name:?}");
    }
    for name in names {
        if dry_run {
            say(&format!("would remove {name}"))?;
        } else {
            store.delete(name).await?;
            say(&format!("removed {name}"))?;
        }
    }
    Ok(())
}
