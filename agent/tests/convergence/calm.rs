//! Times in which nothing fails: all databases must become equal, and what the model says.
//!
//! What is promised of sweeps: a deletion mark that is old enough may be gone or not, and goes everywhere in the end; a
//! live entry is never lost by them, nor comes back. The latter needs that every database and every object in the bucket
//! has learnt of a deletion before its mark is old. So a long time passes only after a calm in which all agents ran, and
//! in which cleaners removed the snapshots of servers that are gone.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::clock::{MOST_SKEW, Turn};
use super::fleet::Fleet;
use super::model::Entries;
use super::server::{DAY, Op, Progress, SECOND, SWEEP};

/// Longer than an agent waits for the quiet of another one that wrote under its name, even if its clock is set back.
const ROUND: u64 = 400 * SECOND;
const MOST_ROUNDS: usize = 12;

impl Fleet {
    pub(crate) fn places(&self) -> Vec<(usize, usize)> {
        let servers = (0..self.servers.len()).filter(|server| !self.servers[*server].is_gone());
        servers
            .flat_map(|server| (0..self.names.len()).map(move |database| (server, database)))
            .collect()
    }

    /// A step that has no reason to fail.
    async fn must(&mut self, server: usize, database: usize, op: Op) -> Result<bool, TestCaseError> {
        match self.run(server, database, op).await? {
            Progress::Done(all) => Ok(all),
            // A receive-only agent does not do such things.
            Progress::None => Ok(true),
            Progress::Failed => Err(TestCaseError::fail(format!(
                "{op:?} of {} failed without a fault",
                self.servers[server].name
            ))),
        }
    }

    async fn receive_all(&mut self, server: usize, database: usize) -> Result<(), TestCaseError> {
        for _ in 0..MOST_ROUNDS {
            if self.must(server, database, Op::Receive).await? {
                return Ok(());
            }
        }
        Err(TestCaseError::fail("receiving does not come to an end"))
    }

    /// Everybody does everything with `send` first, until nobody stores anything more.
    async fn settle(&mut self, mut send: Op) -> Result<(), TestCaseError> {
        let (mut before, mut quiet) = (self.bucket.names(), 0);
        for _ in 0..MOST_ROUNDS {
            let mut all = true;
            for (server, database) in self.places() {
                self.receive_all(server, database).await?;
                all &= self.must(server, database, send).await?;
            }
            self.pass(ROUND);
            send = Op::Send;
            let names = self.bucket.names();
            // What peers told and nobody stored is stored by others only after a minute.
            quiet = if all && names == before { quiet + 1 } else { 0 };
            if quiet == 2 {
                return Ok(());
            }
            before = names;
        }
        Err(TestCaseError::fail("the fleet does not come to rest"))
    }

    /// The time before which marks may be gone.
    fn forgotten(&self) -> u64 {
        let age = u64::try_from(SWEEP.load_cutoff.as_nanos()).unwrap();
        if self.servers.iter().any(|server| server.setup.sweeps) {
            self.time.now() + MOST_SKEW - age
        } else {
            0
        }
    }

    /// The content of a database less marks that may be gone.
    fn lasting(&self, server: usize, database: usize) -> Entries {
        let forgotten = self.forgotten();
        let mut entries = self.entries(server, database);
        entries.retain(|_, (time, deleted, _)| !*deleted || *time >= forgotten);
        entries
    }

    /// Compares the keys of which only one outcome is right, and on servers that store the others, too.
    fn are_equal(&self) -> Result<(), TestCaseError> {
        for (server, database) in self.places() {
            let of = &self.servers[server];
            let compared = |server: usize| {
                let entries = self.lasting(server, database);
                if of.setup.receive_only {
                    self.models[database].certain(entries)
                } else {
                    entries
                }
            };
            let name = self.names[database];
            // The first server is never gone, and stores.
            prop_assert_eq!(
                compared(server),
                compared(0),
                "{} and server-0 differ in {}",
                &of.name,
                name
            );
        }
        Ok(())
    }

    /// All databases are equal and what the model says.
    fn check(&mut self) -> Result<(), TestCaseError> {
        self.are_equal()?;
        let forgotten = self.forgotten();
        let mut union = vec![Entries::new(); self.names.len()];
        for (server, database) in self.places() {
            let entries = self.entries(server, database);
            self.models[database].check(&entries, forgotten)?;
            // What a receive-only server alone was told nobody else ever knows.
            if !self.servers[server].setup.receive_only {
                union[database].extend(entries);
            }
        }
        for (model, entries) in self.models.iter_mut().zip(&union) {
            model.agree(entries);
        }
        for (server, database) in self.places() {
            let place = format!("{} {}", self.servers[server].name, self.names[database]);
            let replica = self.replica(server, database).unwrap();
            prop_assert!(replica.is_ready(), "{place} is not ready");
            prop_assert_eq!(replica.hold(), None, "{}", place);
            let stores = !self.servers[server].setup.receive_only;
            prop_assert!(!(stores && replica.has_changes()), "{place} would store again");
        }
        Ok(())
    }

    /// Some know the time and others do not: what is kept out by the ones is in the databases of the others.
    fn differs_on_the_time(&self) -> bool {
        let knows = |knows: bool| {
            let mut servers = self.servers.iter();
            servers.any(|server| server.setup.knows_the_time == knows)
        };
        knows(true) && knows(false)
    }

    /// All faults end, all agents run.
    pub(crate) async fn calm(&mut self) -> Result<(), TestCaseError> {
        self.log.push("calm".into());
        self.bucket.calm();
        self.wire.lose_all();
        for server in &self.servers {
            server.hushed.store(false, Ordering::Relaxed);
            server.cut.store(false, Ordering::Relaxed);
            server.clock.turn(Turn::Run);
        }
        for (server, database) in self.places() {
            self.finish_all(server, database).await?;
        }
        // Within seconds ...
        self.settle(Op::Send).await?;
        if !self.waits_for_hours && !self.differs_on_the_time() {
            self.are_equal()?;
        }
        self.forget_what_happened();
        // ... and for sure when everybody has stored once more, as all do every few hours.
        self.pass(4 * 3600 * SECOND);
        self.settle(Op::ForcedSend).await?;
        // Nothing is on the way for as long as it takes deletion marks to get old.
        self.wire.lose_all();
        self.check()
    }

    /// A long time passes. Marks get old only in here.
    pub(crate) async fn long_time(&mut self, days: u64) -> Result<(), TestCaseError> {
        self.calm().await?;
        self.log.push(format!("{days} days"));
        for _ in 0..4 {
            self.pass(4200 * SECOND);
            for op in [Op::ForcedSend, Op::Clean] {
                for (server, database) in self.places() {
                    self.receive_all(server, database).await?;
                    self.must(server, database, op).await?;
                }
            }
        }
        for server in self.servers.iter().filter(|server| server.is_gone()) {
            let has_left = |database: &&&str| self.bucket.has_readable(database, &server.name);
            let left = self.names.iter().find(has_left);
            prop_assert_eq!(left, None, "a snapshot of {} was not removed", &server.name);
        }
        self.settle(Op::Send).await?;
        self.check()?;
        self.pass(days * DAY);
        // None of them was silent for so long.
        for (server, database) in self.places() {
            self.receive_all(server, database).await?;
            self.must(server, database, Op::ForcedSend).await?;
        }
        Ok(())
    }

    /// Everybody sweeps, one after the other, and nobody brings back what another one removed.
    pub(crate) async fn sweep_all(&mut self) -> Result<(), TestCaseError> {
        for sweeper in 0..self.servers.len() {
            for (server, database) in self.places() {
                if server == sweeper {
                    // No mark goes that a snapshot in the store may need, as it was seen last.
                    self.receive_all(server, database).await?;
                    self.must(server, database, Op::Sweep).await?;
                }
            }
            // What a receive-only server swept may hide an older version that all others have, and that it reads again.
            self.pass(4 * 3600 * SECOND);
            self.settle(Op::ForcedSend).await?;
        }
        self.check()?;
        let age = u64::try_from(SWEEP.retention.as_nanos()).unwrap();
        for (server, database) in self.places() {
            if self.servers[server].setup.sweeps {
                let old = self.time.now() - age - DAY;
                let entries = self.entries(server, database);
                let mut marks = entries
                    .iter()
                    .filter(|(_, (time, deleted, _))| *deleted && *time < old);
                let left = marks.next();
                prop_assert!(
                    left.is_none(),
                    "{} keeps the mark {left:?}",
                    self.servers[server].name
                );
            }
        }
        Ok(())
    }
}
