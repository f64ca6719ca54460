//! What follows for a replica from the schemas of the others' databases and of its own.

use tokio::task::spawn_blocking;

use crate::report::Level;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::sync::error::SyncError;
use crate::sync::known::schema::Verdict;
use crate::sync::state::replica::Replica;

impl Replica {
    /// PowerDNS may have been upgraded meanwhile.
    pub(in crate::sync) async fn look_at_the_own_schema(&self) -> Result<(), SyncError> {
        let guard = self.schemas.guard.clone();
        if !guard.must_look_again() {
            return Ok(());
        }
        spawn_blocking(move || guard.look_again())
            .await
            .map_err(|_| SyncError::Crashed("reading the schema"))?
            .map_err(|error| SyncError::Dump(error.into()))
    }

    pub(in crate::sync) async fn look_at_schemas(&self) -> Result<(), SyncError> {
        let guard = self.schemas.guard.clone();
        if self.schemas.main {
            self.look_at_the_own_schema().await?;
            guard.listed(self.state().listing.keys());
        }
        self.judge_those_that_came_back();
        // Once PowerDNS is upgraded here, what was refused is welcome.
        let mut state = self.state();
        state
            .known
            .refused
            .retain(|name, _| matches!(guard.verdict(name.instance()), Verdict::Refuse(_)));
        let state = &mut *state;
        let (deltas, listed) = (&mut state.known.refused_deltas, &state.deltas);
        deltas.retain(|name| {
            matches!(guard.verdict(name.instance()), Verdict::Refuse(_))
                && listed.of(name.instance()).any(|(other, _)| other == name)
        });
        if state.known.refused.is_empty() && !guard.refuses_any() {
            self.status.clear("newer_schema");
        }
        Ok(())
    }

    /// Of instances that have snapshots again, and nothing that is to be read, what was known before holds.
    pub(in crate::sync) fn judge_those_that_came_back(&self) {
        if !self.schemas.main {
            return;
        }
        for instance in self.schemas.guard.came_back() {
            let has_all = {
                let state = self.state();
                let (listing, deltas) = (&state.listing, &state.deltas);
                state.known.has_all_readable_of(&instance, listing, deltas)
            };
            if has_all {
                self.schemas.guard.judge_as_before(&instance);
            }
        }
    }

    pub(in crate::sync) fn refuse(&self, name: SnapshotName, schema: u32) {
        self.say_newer_schema(name.as_str(), schema);
        self.state().known.refused.insert(name, schema);
    }

    /// Once, as a snapshot: what is refused is not fetched again, and nobody waits for it.
    pub(in crate::sync) fn refuse_delta(&self, name: DeltaName, schema: u32) {
        self.say_newer_schema(name.as_str(), schema);
        self.state().known.refused_deltas.insert(name);
    }

    pub(in crate::sync) fn say_newer_schema(&self, name: &str, schema: u32) {
        tracing::error!(
            database = %self.database(), %name, schema,
            "an object of a newer PowerDNS schema is not merged: it would destroy this database. Instances of both \
             schemas must not share a prefix in the bucket"
        );
        let text =
            format!("{name} has PowerDNS' newer schema {schema} and is not merged: it needs another prefix");
        self.status.raise("newer_schema", Level::Warning, &text);
    }

    /// The main database has not judged yet whether the schema of a peer fits.
    pub(in crate::sync) fn must_ask_main(&self, peer: &str) -> bool {
        !self.schemas.main && self.schemas.guard.verdict(peer) == Verdict::Unknown
    }
}
