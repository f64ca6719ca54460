//! Changes at a steady pace, and none at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zonetide_agent::lmdb::Environment;

use crate::answers::{Delays, millis, right_since, says};
use crate::figures::{Hundred, Steady};
use crate::node::Node;
use crate::records::{Records, address};
use crate::store::Requests;
use crate::watch::{OtherWriter, cpu};

/// Instances, times databases.
const REPLICAS: f64 = 4.0;

/// A sender, a receiver and their bucket.
pub(crate) struct Pair<'p> {
    pub(crate) a: &'p mut Node,
    pub(crate) b: &'p mut Node,
    pub(crate) requests: &'p Requests,
    pub(crate) records: &'p Records,
    pub(crate) a_records: &'p Environment,
    pub(crate) b_records: Arc<Environment>,
}

/// Counts at one moment.
struct Counts {
    at: Instant,
    cpu: (Duration, Duration),
    bytes: f64,
    requests: f64,
}

impl Pair<'_> {
    async fn counts(&self) -> Counts {
        Counts {
            at: Instant::now(),
            cpu: (cpu(self.a.pid()), cpu(self.b.pid())),
            bytes: self.a.metric("stored_bytes_total").await + self.b.metric("stored_bytes_total").await,
            requests: self.requests.count().await,
        }
    }

    /// Nothing for a while, then changes through PowerDNS' API, each of a record that B has just been asked for. From one to
    /// the next it is a second and a share of `spread`, another one each time, so that polls are met at all of their phases.
    pub(crate) async fn steady(
        &mut self,
        idle: Duration,
        changes: u32,
        spread: Duration,
        first: u32,
    ) -> Steady {
        // What was before shall be over: flushes that come late, memory that is written down.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let writer = OtherWriter::start(self.b_records.clone());
        let start = self.counts().await;
        tokio::time::sleep(idle).await;
        let quiet = self.counts().await;
        let longest_idle = writer.longest_wait();

        let (api, client) = (self.a.dns.api(), self.b.dns.dns());
        let writer = OtherWriter::start(self.b_records.clone());
        let mut delays = Vec::new();
        let begin = self.counts().await;
        for number in first..first + changes {
            let next = tokio::time::Instant::now() + pause(number, spread);
            let (record, address) = (self.records.pick(number), address(1_000_000 + number));
            assert!(!says(&client, &record.name, address).await);
            let change = api
                .replace(&record.zone, &record.name, "A", &[&address.to_string()])
                .await;
            let committed = Instant::now();
            change.unwrap();
            delays.push(right_since(committed, &client, &record.name, address).await);
            tokio::time::sleep_until(next).await;
        }
        // The last delta is stored by then.
        self.a.agent().stored().await;
        let end = self.counts().await;
        let longest_lock = millis(writer.longest_wait());

        let seconds = (end.at - begin.at).as_secs_f64();
        let idle = (quiet.at - start.at).as_secs_f64();
        let used = |from: &Counts, to: &Counts| {
            (
                millis(to.cpu.0.saturating_sub(from.cpu.0)),
                millis(to.cpu.1.saturating_sub(from.cpu.1)),
            )
        };
        let (busy, unused) = (used(&begin, &end), used(&start, &quiet));
        Steady {
            changes,
            seconds,
            delays: Delays::of(delays),
            bytes: end.bytes - begin.bytes,
            requests: end.requests - begin.requests,
            cpu_sender: busy.0,
            cpu_receiver: busy.1,
            idle_cpu_sender: unused.0 * seconds / idle,
            idle_cpu_receiver: unused.1 * seconds / idle,
            idle_requests_an_hour: (quiet.requests - start.requests) / idle * 3600.0 / REPLICAS,
            longest_lock,
            longest_lock_idle: millis(longest_idle),
        }
    }

    /// 100 changes a second beside PowerDNS, each in a transaction of its own.
    pub(crate) async fn hundred(&mut self, duration: Duration) -> Hundred {
        let mut changes = 0;
        let begin = self.counts().await;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let (record, value, committed) = loop {
            ticks.tick().await;
            let (record, value) = (self.records.pick(changes), address(2_000_000 + changes));
            tokio::task::block_in_place(|| self.records.change(self.a_records, &record, value));
            changes += 1;
            if begin.at.elapsed() >= duration {
                break (record, value, Instant::now());
            }
        };
        let lag = right_since(committed, &self.b.dns.dns(), &record.name, value).await;
        let end = self.counts().await;
        let seconds = (end.at - begin.at).as_secs_f64();
        let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / seconds;
        Hundred {
            changes,
            seconds,
            lag: millis(lag),
            bytes: end.bytes - begin.bytes,
            requests: end.requests - begin.requests,
            cpu_sender: share(begin.cpu.0, end.cpu.0),
            cpu_receiver: share(begin.cpu.1, end.cpu.1),
        }
    }
}

fn pause(number: u32, spread: Duration) -> Duration {
    Duration::from_secs(1) + spread.mul_f64(f64::from(number * 37 % 101) / 101.0)
}
