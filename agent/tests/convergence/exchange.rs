//! What servers give each other without the bucket.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};

use proptest::test_runner::TestCaseError;
use zonetide_agent::sync::SyncError;
use zonetide_agent::sync::peer::Told;

use super::fleet::Fleet;
use super::support::spooled;

impl Fleet {
    /// A message arrives at a server; `again`: one that it has heard before.
    pub(crate) async fn hear(
        &mut self,
        server: usize,
        number: usize,
        again: bool,
    ) -> Result<bool, TestCaseError> {
        let of = &self.servers[server];
        let message = if again {
            self.wire.again(&of.name, number)
        } else {
            self.wire.take(&of.name, number)
        };
        let Some((database, told)) = message else {
            return Ok(false);
        };
        let place = self.names.iter().position(|name| *name == database);
        if let Some(place) = place
            && let Some(replica) = self.replica(server, place)
        {
            let name = told.name.clone();
            let outcome = replica.take(told).await;
            self.heard.insert(server);
            let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
            self.log
                .push(format!("  {} hears {name}: {outcome}", self.servers[server].name));
            self.see(server, place)?;
        }
        Ok(true)
    }

    /// All that is on the way to a server arrives at once.
    pub(crate) async fn hear_all(&mut self, server: usize) -> Result<(), TestCaseError> {
        let mut waiting: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        while let Some((database, told)) = self.wire.take(&self.servers[server].name, 0) {
            waiting.entry(database).or_default().push(told);
        }
        for (database, all) in waiting {
            let place = self.names.iter().position(|name| *name == database);
            let Some(place) = place else { continue };
            let Some(replica) = self.replica(server, place) else {
                continue;
            };
            let fail = |error: SyncError| TestCaseError::fail(format!("{database}: {error}"));
            let together = replica.take_together(&all).await.map_err(fail)?;
            let count = all.len();
            for told in all.into_iter().filter(|_| !together) {
                replica.take(told).await.map_err(fail)?;
            }
            self.log.push(format!(
                "  {} hears {count} at once: {together}",
                self.servers[server].name
            ));
            self.heard.insert(server);
            self.see(server, place)?;
        }
        Ok(())
    }

    /// A server takes the whole database of another one, if both run.
    pub(crate) async fn hand_over(
        &mut self,
        from: usize,
        to: usize,
        database: usize,
    ) -> Result<(), TestCaseError> {
        let (Some(giver), Some(taker)) = (self.replica(from, database), self.replica(to, database)) else {
            return Ok(());
        };
        if from == to || self.servers[from].setup.receive_only {
            return Ok(());
        }
        let fail = |error: SyncError| TestCaseError::fail(format!("handing over: {error}"));
        let (word, mut dump) = giver.hand_over().await.map_err(fail)?;
        let mut object = Vec::new();
        dump.object.rewind().unwrap();
        dump.object.read_to_end(&mut object).unwrap();
        let name = &self.servers[from].name;
        let outcome = taker
            .take_over(name, &word, spooled(&object))
            .await
            .map_err(fail)?;
        self.log
            .push(format!("  {} takes over: {outcome:?}", self.servers[to].name));
        self.heard.insert(to);
        self.servers[from].databases[database]
            .said
            .lock()
            .unwrap()
            .push(object);
        self.see(from, database)?;
        self.see(to, database)
    }
}
