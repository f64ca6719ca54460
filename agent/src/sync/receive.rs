//! Receiving: a look at the store, and merging what is new.

use std::collections::BTreeSet;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use super::SyncError;
use super::dump::TransferError;
use super::load::{Merged, merge};
use super::plan::{Listing, sort_listing};
use super::replica::{Received, Replica};
use super::schema::{Verdict, schema_of_database, schema_of_snapshot};
use crate::snapshot::{DecodeError, Snapshot, SnapshotName};
use crate::status::Level;
use crate::store::spool;

/// Loads in a row before local changes get their turn.
const MAX_LOADS_IN_A_ROW: usize = 10;
/// How far ahead of the own clock an entry may be before it is worth a warning, ns: NTP keeps clocks much closer.
const FUTURE: u64 = 2_000_000_000;

enum Loaded {
    Merged(Merged),
    /// The snapshot has this newer schema.
    Refused(u32),
}

impl Replica {
    /// Lists the store and merges what is new: of each instance its newest readable snapshot.
    ///
    /// # Errors
    /// [`SyncError`] when the store or the database fails; everything merged before stays merged. A snapshot that
    /// does not decode is no error: it is reported, and the one before it counts again.
    pub async fn receive(&mut self) -> Result<Received, SyncError> {
        let objects = self.store.list(&format!("{}__", self.database())).await?;
        let listing = sort_listing(self.database(), &objects);
        let newest = |names: &BTreeSet<SnapshotName>| names.last().map_or(0, SnapshotName::timestamp);
        self.status.listed(
            listing
                .iter()
                .map(|(own, names)| (own.clone(), newest(names)))
                .collect(),
        );
        self.make_good(&listing);
        if self.awaited.is_none() {
            self.awaited = Some(listing.keys().cloned().collect());
        }
        let mut failure = self.merge_a_namesake(&listing).await.err();
        self.look_at_schemas(&listing).await?;
        // Names that cannot be had now: vanished ones, and those whose transfer failed.
        let mut passed_over = BTreeSet::new();
        let mut loads = 0;
        let received = loop {
            let plan = self.known.to_load(&listing, &self.own);
            let Some(name) = plan.into_iter().find(|name| !passed_over.contains(name)) else {
                break Received::All;
            };
            if loads == MAX_LOADS_IN_A_ROW && self.own_merged {
                break Received::More;
            }
            loads += 1;
            if !self.schemas.main {
                match self.schemas.guard.verdict(name.instance()) {
                    Verdict::Merge => {}
                    Verdict::Refuse(schema) => {
                        self.refuse(name, schema);
                        continue;
                    }
                    Verdict::Unknown => {
                        passed_over.insert(name);
                        continue;
                    }
                }
            }
            // One instance's trouble must not keep the others' changes away.
            if let Err(error) = self.fetch(&name).await {
                failure.get_or_insert(error);
                passed_over.insert(name);
            } else if !self.known.has_judged(&name) {
                // The cleaner of another instance was faster; the next listing shows what replaced it.
                passed_over.insert(name);
            }
        };
        let own_left = self
            .known
            .to_load(&listing, &self.own)
            .iter()
            .any(|name| name.instance() == self.own);
        if let Some(newest) = listing.get(&self.own).and_then(|own| own.last()) {
            self.last_own_time = self.last_own_time.max(newest.timestamp());
        }
        self.own_merged = !own_left;
        if !self.ready
            && let Some(awaited) = &self.awaited
            && self.known.has_all_of(awaited, &listing)
        {
            self.ready = true;
            self.status.set_ready();
            tracing::info!(database = %self.database(), instances = awaited.len(), "all instances are merged");
        }
        match failure {
            Some(error) => Err(error),
            None => {
                self.status.loaded();
                Ok(received)
            }
        }
    }

    /// When a snapshot vanishes, what it said may be in this database alone: an emptied bucket fills again by this.
    fn make_good(&mut self, listing: &Listing) {
        for instance in self.known.vanished(listing) {
            if let Some(name) = self.known.merged.remove(&instance) {
                tracing::warn!(database = %self.database(), %name, "a snapshot is gone: this database is stored again");
            }
            self.synced_txn = 0;
        }
    }

    async fn fetch(&mut self, name: &SnapshotName) -> Result<(), SyncError> {
        match self.store.get(name.as_str(), spool(self.env.folder())).await? {
            Some(object) => self.load(name.clone(), object).await,
            None => Ok(()),
        }
    }

    async fn load(&mut self, name: SnapshotName, object: SpooledTempFile) -> Result<(), SyncError> {
        let started = std::time::Instant::now();
        let env = self.env.clone();
        let oldest_mark = self.sweep.map_or(0, |sweep| sweep.oldest_mark(self.now_ns()));
        let schemas = self.schemas.clone();
        let instance = name.instance().to_owned();
        let newest = self
            .known
            .refused
            .keys()
            .all(|refused| refused.instance() != instance || *refused < name);
        let outcome = spawn_blocking(move || -> Result<Loaded, TransferError> {
            let mut snapshot = Snapshot::open(object)?;
            if !schemas.main {
                return Ok(Loaded::Merged(merge(&env, &mut snapshot, oldest_mark)?));
            }
            let schema = schema_of_snapshot(&mut snapshot)?;
            schemas.guard.judge(&instance, schema, newest);
            let own = schema_of_database(&env)?;
            if let (Some(schema), Some(own)) = (schema, own)
                && schema > own
            {
                return Ok(Loaded::Refused(schema));
            }
            let merged = merge(&env, &mut snapshot, oldest_mark)?;
            // An empty database has the schema of the first snapshot that is merged into it.
            schemas.guard.set_own(schema_of_database(&env)?);
            Ok(Loaded::Merged(merged))
        })
        .await
        .map_err(|_| SyncError::Crashed("merging a snapshot"))?;
        match outcome {
            Ok(Loaded::Refused(schema)) => {
                self.refuse(name, schema);
                Ok(())
            }
            Ok(Loaded::Merged(merged)) => {
                self.warn_of_the_future(&name, merged.newest);
                self.absorb(&merged.txn_ids);
                self.status.merged(&name, merged.written);
                tracing::info!(
                    database = %self.database(), %name, entries = merged.entries, written = merged.written,
                    elapsed = ?started.elapsed(), "merged a snapshot"
                );
                self.known.merged(name);
                Ok(())
            }
            Err(TransferError::Decode(error)) if !matches!(error, DecodeError::Spool(_)) => {
                tracing::error!(
                    database = %self.database(), %name, %error,
                    "a snapshot is corrupt and ignored; the one before it counts again"
                );
                self.status.corrupt(&name, &error.to_string());
                self.known.corrupt.insert(name);
                Ok(())
            }
            Err(error) => Err(SyncError::Merge {
                name: name.to_string(),
                error,
            }),
        }
    }

    /// Merges what another agent stored under this instance's name, old or new: readers may not see it any more.
    async fn merge_a_namesake(&mut self, listing: &Listing) -> Result<(), SyncError> {
        let none = BTreeSet::new();
        let own = listing.get(&self.own).unwrap_or(&none);
        for name in self.namesake.look(own, self.now_ns()) {
            tracing::error!(
                database = %self.database(), %name,
                "another agent writes under this instance's name: give each its own `instance`"
            );
            self.status
                .raise("namesake", Level::Error, &format!("another agent stored {name}"));
        }
        for name in self.namesake.pending() {
            self.fetch(&name).await?;
            self.namesake.has_merged(&name);
        }
        Ok(())
    }

    async fn look_at_schemas(&mut self, listing: &Listing) -> Result<(), SyncError> {
        let guard = self.schemas.guard.clone();
        if self.schemas.main {
            let env = self.env.clone();
            let own = spawn_blocking(move || schema_of_database(&env))
                .await
                .map_err(|_| SyncError::Crashed("reading the schema"))?
                .map_err(|error| SyncError::Dump(error.into()))?;
            guard.set_own(own);
            guard.listed(listing.keys());
        }
        // Once PowerDNS is upgraded here, what was refused is welcome.
        self.known
            .refused
            .retain(|name, _| matches!(guard.verdict(name.instance()), Verdict::Refuse(_)));
        if self.known.refused.is_empty() {
            self.status.clear("newer_schema");
        }
        Ok(())
    }

    fn refuse(&mut self, name: SnapshotName, schema: u32) {
        tracing::error!(
            database = %self.database(), %name, schema,
            "a snapshot of a newer PowerDNS schema is not merged: it would destroy this database. Instances of both \
             schemas must not share a prefix in the bucket"
        );
        let text =
            format!("{name} has PowerDNS' newer schema {schema} and is not merged: it needs another prefix");
        self.status.raise("newer_schema", Level::Warning, &text);
        self.known.refused.insert(name, schema);
    }

    fn warn_of_the_future(&self, name: &SnapshotName, newest: u64) {
        let ahead = newest.saturating_sub(self.now_ns());
        if ahead <= FUTURE {
            self.status.clear("clock");
        } else {
            let text = format!(
                "an entry in {name} is {} ms ahead of this clock",
                ahead / 1_000_000
            );
            self.status.raise("clock", Level::Warning, &text);
            tracing::warn!(
                database = %self.database(), %name, ahead_ms = ahead / 1_000_000,
                "an entry is from the future and wins over everything written until then: are all clocks right?"
            );
        }
    }
}
