//! Servers that share a bucket, of which every step is taken by hand, with a model for each of their databases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prop_assert;
use proptest::test_runner::TestCaseError;
use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::snapshot::Snapshot;
use zonetide_agent::sync::{Limits, MAX_AHEAD, Replica, SyncError};

use super::history::show;
use super::model::{Entries, Key, Model};
use super::server::{Job, Op, Process, Progress, SECOND, Server, Setup, Time};
use super::steps::Clocks;
use super::store::{Bucket, LANES};
use super::support::{Content, Version, database_content, snapshot_content, spooled};
use super::wire::Wire;

/// Writes of one PowerDNS while no time passes, ns: a clock that shows less was set back.
const MOST_AT_A_TIME: u64 = 1000;

/// Time that agents take to start, ns: far more than a nanosecond for each state that they gave a time before.
const STARTING: u64 = 1_000_000;

pub(crate) struct Fleet {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) wire: Arc<Wire>,
    limits: Limits,
    /// Something happened that the others make good only when they read snapshots again:
    /// - An agent that told of a state began anew when its clock had not come to the time of that state yet, and may give
    ///   the time to another state.
    /// - A server was lost that had heard of a change, and maybe alone: only its last snapshot may have that.
    /// - An agent whose clock is far off began anew and did not know what of its database it had told or stored.
    /// - A server was lost that had told of a change of which a torn object is in the store: who heard it does not read that.
    pub(crate) waits_for_hours: bool,
    /// An upload was torn since the last calm.
    pub(crate) torn: bool,
    /// Servers that heard of changes since the last calm.
    pub(crate) heard: BTreeSet<usize>,
    pub(crate) time: Time,
    pub(crate) clocks: Clocks,
    /// How many there were.
    pub(crate) writes: u32,
    pub(crate) servers: Vec<Server>,
    pub(crate) models: Vec<Model>,
    pub(crate) names: &'static [&'static str],
    /// What was done and what came of it, for people.
    pub(crate) log: Vec<String>,
}

impl Fleet {
    pub(crate) fn new(
        setups: &[Setup],
        limits: Limits,
        clocks: Clocks,
        names: &'static [&'static str],
    ) -> Self {
        let (servers, time) = (setups.iter().enumerate(), Time::default());
        let corrected = setups.iter().any(|setup| setup.knows_the_time);
        Self {
            servers: servers
                .map(|(i, setup)| Server::new(format!("server-{i}"), *setup, time.clone(), clocks, names))
                .collect(),
            bucket: Arc::default(),
            wire: Arc::default(),
            limits,
            waits_for_hours: false,
            torn: false,
            heard: BTreeSet::new(),
            time,
            clocks,
            writes: 0,
            models: names.iter().map(|_| Model::new(corrected)).collect(),
            names,
            log: Vec::new(),
        }
    }

    pub(crate) fn pass(&self, time: u64) {
        self.time.pass(time);
    }

    /// PowerDNS writes one entry in one transaction, with its own clock; `None` is a deletion, of what is there.
    pub(crate) fn write(&mut self, server: usize, database: usize, key: &Key, value: Option<Vec<u8>>) {
        let of = &mut self.servers[server];
        if of.is_gone() || of.setup.receive_only {
            return;
        }
        let place = &mut of.databases[database];
        let is_there = place.seen.get(key).is_some_and(|(_, deleted, _)| !deleted);
        if value.is_none() && !is_there {
            self.log.push("  there is nothing to delete".into());
            return;
        }
        let now = of.clock.now();
        if matches!(place.process, Process::Down) && now <= of.shown {
            self.log
                .push("  a PowerDNS with a clock that was set back waits for its agent".into());
            return;
        }
        // A write takes time, also by a clock that stands.
        let takes = of
            .written
            .checked_sub(now)
            .filter(|since| *since < MOST_AT_A_TIME);
        let now = match takes {
            Some(since) => {
                self.time.pass(since + 1);
                of.clock.now().max(of.written + 1)
            }
            None => now,
        };
        if matches!(place.process, Process::Running(..)) && now <= of.shown {
            of.set_back.insert(database);
        }
        of.written = now;
        of.shown = of.shown.max(now);
        let new: Version = (now, value.is_none(), value.unwrap_or_default());
        place
            .env
            .write::<(), LmdbError>(|writer| {
                let dbi = writer.dbi(&key.0)?;
                writer.put(&dbi, &key.1, new.0, new.1, &new.2)
            })
            .unwrap();
        self.log
            .push(format!("  PowerDNS of {} writes {}", of.name, show(&new)));
        place.seen.insert(key.clone(), new.clone());
        self.models[database].write(server, key, new, self.time.now());
    }

    /// Tells the model what an agent has made of a database, and what it showed others.
    pub(crate) fn see(&mut self, server: usize, database: usize) -> Result<(), TestCaseError> {
        if self.servers[server].is_gone() {
            return Ok(());
        }
        let now = self.entries(server, database);
        let of = &mut self.servers[server];
        let place = &mut of.databases[database];
        if of.setup.knows_the_time {
            // The own clock counts as well as the store's.
            let time = of.clock.now().max(self.time.now());
            is_contained(time, &place.seen, &now)?;
        }
        let model = &mut self.models[database];
        let seen = model.see(server, &place.seen, &now, !of.setup.receive_only);
        place.seen = now;
        self.log.extend(seen?.into_iter().map(|line| format!("  {line}")));
        for object in place.said.lock().unwrap().drain(..) {
            let mut object = Snapshot::open(spooled(&object)).unwrap();
            model.tell(server, &flat(snapshot_content(&mut object)))?;
        }
        Ok(())
    }

    pub(crate) fn entries(&self, server: usize, database: usize) -> Entries {
        flat(database_content(&self.servers[server].databases[database].env))
    }

    /// The agents of a server are killed, in the middle of what they do. They have looked at what PowerDNS wrote after its clock was
    /// set back, which takes them milliseconds.
    pub(crate) fn kill(&mut self, server: usize) {
        if !self.servers[server].set_back.is_empty() {
            self.log.push("  its agents have not looked yet".into());
            return;
        }
        for database in &mut self.servers[server].databases {
            database.process = Process::Down;
        }
    }

    /// All know all.
    pub(crate) fn forget_what_happened(&mut self) {
        self.waits_for_hours = false;
        self.torn = false;
        self.heard.clear();
    }

    /// The server is lost with its databases.
    pub(crate) fn retire(&mut self, server: usize) {
        self.waits_for_hours |= self.torn && self.servers[server].setup.tells;
        if self.heard.remove(&server) {
            self.waits_for_hours = true;
        }
        self.servers[server].lose_databases();
        self.servers[server].set_back.clear();
        for model in &mut self.models {
            model.lose(server);
        }
    }

    /// A server that is gone comes back, empty.
    pub(crate) fn revive(&mut self, server: usize) {
        let of = &mut self.servers[server];
        if of.is_gone() {
            of.new_databases(self.names);
        }
    }

    /// Begins a step, up to the agent's first request to the store. An earlier one is brought to its end.
    pub(crate) async fn begin(
        &mut self,
        server: usize,
        database: usize,
        op: Op,
    ) -> Result<Progress, TestCaseError> {
        let lane = op.lane();
        self.finish(server, database, lane).await?;
        let of = &self.servers[server];
        if !of.does(op) {
            return Ok(Progress::None);
        }
        if matches!(of.databases[database].process, Process::Down) {
            let others = (0..self.servers.len()).filter(|other| *other != server);
            let others = others.filter(|other| self.servers[*other].setup.tells);
            let others: Vec<_> = others.map(|other| self.servers[other].name.clone()).collect();
            self.pass(STARTING);
            let clock = self.servers[server].clock.now();
            self.waits_for_hours |= clock <= self.wire.newest(&self.servers[server].name);
            self.waits_for_hours |= self.has_forgotten(server, database);
            self.servers[server]
                .start(&self.bucket, &self.wire, &others, self.limits)
                .await;
        }
        let of = &mut self.servers[server];
        let clock = of.clock.now();
        let monotonic = self.time.monotonic();
        let place = &mut of.databases[database];
        if let Process::Running(agent, jobs) = &mut place.process {
            let agent = agent.clone();
            jobs[lane] = Some(Job {
                op,
                future: Box::pin(agent.run(op, clock, monotonic)),
                own: self.models[database].own(server),
                stored: place.stored.load(Ordering::Relaxed),
            });
        }
        self.drive(server, database, lane).await
    }

    /// A server goes by the fleet's time, and does not know what it told by a clock that may be wrong. Nor does one that was wiped:
    /// what it stored may be in what PowerDNS has written since.
    fn has_forgotten(&self, server: usize, database: usize) -> bool {
        let of = &self.servers[server];
        let place = &of.databases[database];
        let is_of_the_bucket = |time| self.bucket.has_state(self.names[database], &of.name, time);
        let remembers = of.setup.remembers && place.memory_is_of().is_some_and(is_of_the_bucket);
        let most = i64::try_from(MAX_AHEAD.as_nanos()).unwrap();
        // One that runs too fast or too slow gets farther off than it is ever set.
        of.setup.knows_the_time
            && (!place.seen.is_empty() || self.bucket.has_readable(self.names[database], &of.name))
            && !remembers
            && self.clocks.most.max(of.clock.ahead().abs()) > most
    }

    /// Lets one request through, up to the next one.
    pub(crate) async fn advance(
        &mut self,
        server: usize,
        database: usize,
        lane: usize,
    ) -> Result<Progress, TestCaseError> {
        let Some(place) = self.servers[server].databases.get(database) else {
            return Ok(Progress::None);
        };
        if place.is_busy(lane) {
            place.gates[lane].let_one_through();
        }
        self.drive(server, database, lane).await
    }

    /// Brings a step to its end.
    pub(crate) async fn finish(
        &mut self,
        server: usize,
        database: usize,
        lane: usize,
    ) -> Result<Progress, TestCaseError> {
        let Some(place) = self.servers[server].databases.get(database) else {
            return Ok(Progress::None);
        };
        let gates = place.gates.clone();
        if place.is_busy(lane) {
            gates[lane].set_open(true);
            gates[lane].let_one_through();
        }
        let progress = self.drive(server, database, lane).await;
        gates[lane].set_open(false);
        progress
    }

    /// Brings all steps of a database to their ends.
    pub(crate) async fn finish_all(&mut self, server: usize, database: usize) -> Result<(), TestCaseError> {
        for lane in 0..LANES {
            self.finish(server, database, lane).await?;
        }
        Ok(())
    }

    /// A step from its beginning to its end.
    pub(crate) async fn run(
        &mut self,
        server: usize,
        database: usize,
        op: Op,
    ) -> Result<Progress, TestCaseError> {
        match self.begin(server, database, op).await? {
            Progress::None => self.finish(server, database, op.lane()).await,
            ended => Ok(ended),
        }
    }

    /// Goes on with a step until it ends or stands at the gate, and tells the model what its agent reported.
    async fn drive(
        &mut self,
        server: usize,
        database: usize,
        lane: usize,
    ) -> Result<Progress, TestCaseError> {
        let of = &mut self.servers[server];
        let Some(place) = of.databases.get_mut(database) else {
            return Ok(Progress::None);
        };
        let Process::Running(_, jobs) = &mut place.process else {
            return Ok(Progress::None);
        };
        let Some(mut job) = jobs[lane].take() else {
            return Ok(Progress::None);
        };
        place.lane.store(lane, Ordering::Relaxed);
        let outcome = tokio::select! {
            biased;
            ended = &mut job.future => Some(ended),
            () = place.gates[lane].arrived() => None,
        };
        let Some(outcome) = outcome else {
            jobs[lane] = Some(job);
            self.see(server, database)?;
            return Ok(Progress::None);
        };
        let is_send = matches!(job.op, Op::Send | Op::ForcedSend);
        if outcome.is_ok() && is_send {
            of.set_back.remove(&database);
        }
        let has_stored = place.stored.load(Ordering::Relaxed) > job.stored;
        self.log
            .push(format!("  {} {} {:?}: {outcome:?}", of.name, place.name, job.op));
        self.see(server, database)?;
        let model = &mut self.models[database];
        if is_send && has_stored && outcome.is_ok() {
            model.stored(server, &job.own);
        }
        match outcome {
            Ok(all) => {
                if all && is_send {
                    model.stored(server, &model.own(server));
                }
                Ok(Progress::Done(all))
            }
            Err(SyncError::Store(_)) => Ok(Progress::Failed),
            Err(error) => Err(TestCaseError::fail(format!(
                "{} {}: {error}",
                self.servers[server].name, self.names[database]
            ))),
        }
    }

    /// The replica of a running agent.
    pub(crate) fn replica(&self, server: usize, database: usize) -> Option<&Replica> {
        match &self.servers[server].databases.get(database)?.process {
            Process::Running(agent, _) => Some(&agent.replica),
            Process::Down => None,
        }
    }
}

/// Nothing has come from a time too far ahead, unless it took the place of something that was.
fn is_contained(time: u64, before: &Entries, now: &Entries) -> Result<(), TestCaseError> {
    // How well they know the time, and what was put over something of that time.
    let most = time + u64::try_from(MAX_AHEAD.as_nanos()).unwrap() + 2 * SECOND;
    for (key, version) in now.iter().filter(|(_, (time, ..))| *time > most) {
        let was_ahead = before.get(key).is_some_and(|(before, ..)| *before > most);
        prop_assert!(was_ahead, "{key:?} is from the future: {}", show(version));
    }
    Ok(())
}

fn flat(content: Content) -> Entries {
    content
        .into_iter()
        .flat_map(|(dbi, entries)| entries.into_iter().map(move |(key, v)| ((dbi.clone(), key), v)))
        .collect()
}
