//! `dump` and `stats`: what is in the databases. They only read, beside a running PowerDNS and agent.

use std::io::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use super::output::{Output, Row, ignore_closed_pipe, print_rows, size, time};
use crate::config::{Config, Lmdb};
use crate::lmdb::{Environment, LmdbError};
use crate::show;

/// Opens a database that must be there.
pub(super) fn open(name: &str, lmdb: &Lmdb) -> anyhow::Result<Environment> {
    let mut options = lmdb.open_options();
    options.create = false;
    Environment::open(&lmdb.path, &options).with_context(|| format!("cannot open database {name}"))
}

/// One entry for people or as a line of JSON.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    pub dbi: &'a str,
    pub key: String,
    pub key_hex: String,
    pub value_hex: String,
    pub timestamp: u64,
    pub deleted: bool,
}

impl<'a> Shown<'a> {
    pub(super) fn new(dbi: &'a str, key: &[u8], value: &[u8], timestamp: u64, deleted: bool) -> Self {
        let (key, key_hex) = (show::key(dbi, key), show::hex(key));
        Self {
            dbi,
            key,
            key_hex,
            value_hex: show::hex(value),
            timestamp,
            deleted,
        }
    }

    /// Writes the entry as one line.
    pub(super) fn write(
        &self,
        out: &mut impl std::io::Write,
        output: Output,
        value: &[u8],
    ) -> std::io::Result<()> {
        match output {
            Output::Json => {
                serde_json::to_writer(&mut *out, self)?;
                writeln!(out)
            }
            Output::Text => {
                let what = if self.deleted {
                    "deleted".to_owned()
                } else {
                    show::value(value)
                };
                writeln!(
                    out,
                    "{}  {}  {what}  [{}]",
                    self.dbi,
                    self.key,
                    time(self.timestamp)
                )
            }
        }
    }
}

/// Why a listing of entries ended early.
enum Stop {
    Lmdb(LmdbError),
    Output(std::io::Error),
}

impl From<LmdbError> for Stop {
    fn from(error: LmdbError) -> Self {
        Self::Lmdb(error)
    }
}

pub(super) fn dump(config: &Config, name: &str, output: Output) -> anyhow::Result<()> {
    let known = || config.lmdbs.keys().cloned().collect::<Vec<_>>().join(", ");
    let lmdb = config
        .lmdbs
        .get(name)
        .with_context(|| format!("no database {name:?}: there are {}", known()))?;
    let env = open(name, lmdb)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = env.read(|reader| {
        for dbi in reader.dbis()? {
            reader.for_each(&dbi, |key, header, value| {
                let shown = Shown::new(&dbi.name, key, value, header.timestamp, header.deleted);
                shown.write(&mut out, output, value).map_err(Stop::Output)
            })?;
        }
        out.flush().map_err(Stop::Output)
    });
    match written {
        Ok(()) => Ok(()),
        Err(Stop::Lmdb(error)) => Err(error.into()),
        Err(Stop::Output(error)) => ignore_closed_pipe(Err(error)),
    }
}

#[derive(Serialize)]
struct Stats {
    database: String,
    dbi: String,
    entries: u64,
    deleted: u64,
    bytes: u64,
}

impl Row for Stats {
    const HEADERS: &'static [&'static str] = &["DATABASE", "DBI", "ENTRIES", "DELETED", "KEYS AND VALUES"];

    fn cells(&self) -> Vec<String> {
        let (entries, deleted) = (self.entries.to_string(), self.deleted.to_string());
        vec![
            self.database.clone(),
            self.dbi.clone(),
            entries,
            deleted,
            size(self.bytes),
        ]
    }
}

pub(super) fn stats(config: &Config, output: Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (name, lmdb) in &config.lmdbs {
        open(name, lmdb)?.read(|reader| {
            for dbi in reader.dbis()? {
                let (mut entries, mut deleted, mut bytes) = (0, 0, 0);
                reader.for_each(&dbi, |key, header, value| {
                    entries += u64::from(!header.deleted);
                    deleted += u64::from(header.deleted);
                    bytes += (key.len() + value.len()) as u64;
                    Ok::<(), LmdbError>(())
                })?;
                rows.push(Stats {
                    database: name.clone(),
                    dbi: dbi.name,
                    entries,
                    deleted,
                    bytes,
                });
            }
            Ok::<(), LmdbError>(())
        })?;
    }
    print_rows(output, &rows, "The databases are empty.")
}
