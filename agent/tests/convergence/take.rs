//! What a step does.

use std::sync::atomic::Ordering;

use proptest::test_runner::TestCaseError;

use super::clock::Turn;
use super::fleet::Fleet;
use super::server::Op;
use super::steps::Step;
use super::store::PutFault;

/// Names of keys that PowerDNS' DBIs could have.
fn key(dbi: usize, key: u8) -> (String, Vec<u8>) {
    (["domains", "records"][dbi].to_owned(), vec![key])
}

impl Fleet {
    /// A value as nobody wrote it before, or an empty one: PowerDNS' indexes have those. Equally old ones win in no order.
    fn value(&mut self, value: u8) -> Vec<u8> {
        self.writes += 1;
        if value == 0 {
            return Vec::new();
        }
        let [low, high, ..] = self.writes.to_le_bytes();
        vec![low.wrapping_mul(167), high]
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (servers, databases) = (self.servers.len(), self.names.len());
        let place = |server: usize, database: usize| (server % servers, database % databases);
        self.log.push(format!("{step:?}"));
        match step {
            Step::Write {
                server,
                database,
                dbi,
                key: number,
                value: written,
            } => {
                let (server, database) = place(server, database);
                let value = written.map(|value| self.value(value));
                self.write(server, database, &key(dbi, number), value);
            }
            Step::Run(server, database, op) => {
                let (server, database) = place(server, database);
                if matches!(op, Op::Clean) {
                    self.end_long_silences().await?;
                }
                self.run(server, database, op).await?;
            }
            Step::RunAll(op) => {
                if matches!(op, Op::Clean) {
                    self.end_long_silences().await?;
                }
                for (server, database) in self.places() {
                    self.run(server, database, op).await?;
                }
            }
            Step::Begin(server, database, op) => {
                let (server, database) = place(server, database);
                self.begin(server, database, op).await?;
            }
            Step::Advance(server, database, lane) => {
                let (server, database) = place(server, database);
                self.advance(server, database, lane).await?;
            }
            Step::Hear(server, number) => {
                self.hear(server % servers, number, false).await?;
            }
            Step::HearAgain(server, number) => {
                self.hear(server % servers, number, true).await?;
            }
            Step::HandOver(from, to, database) => {
                self.hand_over(from % servers, to % servers, database % databases)
                    .await?;
            }
            Step::HearAll => {
                for server in 0..servers {
                    self.hear_all(server).await?;
                }
            }
            Step::Bereave(server) => self.bereave(server % servers).await?,
            Step::Mislay(server) => self.wire.lose(&self.servers[server % servers].name),
            Step::Hush(server, hushed) => {
                self.servers[server % servers]
                    .hushed
                    .store(hushed, Ordering::Relaxed);
            }
            Step::Remember(server) => self.servers[server % servers].remember(),
            Step::Forget(server) => self.servers[server % servers].forget(),
            Step::Kill(server) => self.kill(server % servers),
            Step::Wipe(server) => self.wipe(server % servers),
            Step::WipeAll => {
                self.end_long_silences().await?;
                (0..servers).for_each(|server| self.wipe(server));
            }
            Step::Retire(server) => {
                let server = server % servers;
                if server != 0 && self.is_judged(server) {
                    self.retire(server);
                }
            }
            Step::Revive(server) => self.revive(server % servers),
            Step::Cut(server, cut) => self.servers[server % servers].cut.store(cut, Ordering::Relaxed),
            Step::Fault(fault) => {
                self.torn |= matches!(fault, PutFault::Torn(_));
                self.bucket.set_fault(Some(fault));
            }
            Step::Land(number) => self.bucket.land(number),
            Step::Lose(number) => self.bucket.lose(number),
            Step::Clock(server, turn) => self.turn_clock(server % servers, turn),
            Step::Pass(time) => self.pass(time),
            Step::Calm => self.calm().await?,
            Step::Empty => {
                self.calm().await?;
                self.bucket.empty();
                self.calm().await?;
            }
            Step::LongTime(days) => self.long_time(days).await?,
        }
        Ok(())
    }

    /// A server is lost after it told of its changes and before it stored them.
    async fn bereave(&mut self, server: usize) -> Result<(), TestCaseError> {
        let (servers, databases) = (self.servers.len(), self.names.len());
        if server == 0 || !self.is_judged(server) {
            return Ok(());
        }
        self.introduce().await?;
        for database in 0..databases {
            let value = self.value(2);
            self.write(server, database, &key(1, 2), Some(value));
            self.run(server, database, Op::Tell).await?;
        }
        for other in (0..servers).filter(|other| *other != server) {
            self.hear_all(other).await?;
        }
        self.retire(server);
        Ok(())
    }

    /// Who was silent for so long that a cleaner took it for gone sees within seconds that its snapshot is. Agents store one every few
    /// hours, and cleaners wait for days.
    async fn end_long_silences(&mut self) -> Result<(), TestCaseError> {
        for (server, database) in self.places() {
            let (name, of) = (self.names[database], self.servers[server].name.clone());
            if self.bucket.has_deltas_alone(name, &of) {
                // What fails is tried again, within seconds as well.
                self.bucket.set_fault(None);
                for op in [Op::Receive, Op::Send] {
                    self.run(server, database, op).await?;
                }
            }
        }
        Ok(())
    }

    fn turn_clock(&mut self, server: usize, turn: Turn) {
        let most = self.clocks.most;
        let turn = match turn {
            Turn::Set(offset) => Turn::Set(offset.clamp(-most, most)),
            turn => turn,
        };
        if most > 0 {
            let of = &mut self.servers[server];
            of.shown = of.shown.max(of.clock.now());
            of.clock.turn(turn);
        }
    }

    /// All that can be have stored something, and know each other.
    async fn introduce(&mut self) -> Result<(), TestCaseError> {
        for (server, database) in self.places() {
            let value = self.value(1);
            self.write(server, database, &key(1, 3), Some(value));
        }
        for op in [Op::Receive, Op::Send, Op::Receive] {
            for (server, database) in self.places() {
                self.run(server, database, op).await?;
            }
        }
        Ok(())
    }

    fn wipe(&mut self, server: usize) {
        if !self.servers[server].is_gone() && self.is_judged(server) {
            self.retire(server);
            self.revive(server);
        }
    }

    /// Whether a server's other databases are of any use without it: agents merge them once they know PowerDNS' schema from
    /// a sound snapshot of its first one.
    fn is_judged(&self, server: usize) -> bool {
        let name = &self.servers[server].name;
        let of_server = |object: &String| object.contains(&format!("__{name}__"));
        self.bucket.has_readable(self.names[0], name) || !self.bucket.names().iter().any(of_server)
    }

    pub(crate) async fn play(&mut self, introduced: bool, steps: Vec<Step>) -> Result<(), TestCaseError> {
        if introduced {
            self.introduce().await?;
        }
        for step in steps {
            self.take(step).await?;
        }
        self.long_time(101).await?;
        self.sweep_all().await
    }
}
