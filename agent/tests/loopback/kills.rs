//! `kill -9` of agent and PowerDNS at random moments while both servers are written to: both start again, every
//! acknowledged write is answered by both, and in the end both databases are the same.
//!
//! `ZONETIDE_KILLS` says how many kills, `ZONETIDE_SEED` which ones.

mod model;
mod moments;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use zonetide_agent::compare::compare;
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::http::HttpError;
use zonetide_testbed::powerdns::MAP_SIZE_MB;
use zonetide_testbed::{DnsClient, Garage, PowerDnsApi, Version, eventually};

use self::model::{Ledger, Value, Write, history, may_say};
use self::moments::{Uploads, WriteLock};
use crate::node::{Node, ZONE};

const NAMES: [&str; 2] = ["a", "b"];
/// Names that one server's writer has for itself, and names that both write.
const OWN_LABELS: u32 = 20;
const SHARED_LABELS: u32 = 10;
/// A merge or an upload comes every 200 ms; the rest is room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Agent,
    PowerDns,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Whatever it is doing.
    Any,
    /// Inside a write transaction.
    Writing,
    /// With half of a snapshot on its way.
    Uploading,
}

/// One kill.
#[derive(Debug)]
struct Kill {
    node: usize,
    victim: Victim,
    moment: Moment,
    /// Time before it, and until the victim is started again.
    before: Duration,
    away: Duration,
}

impl Kill {
    fn choose(random: &mut StdRng) -> Self {
        let victim = [Victim::Agent, Victim::PowerDns, Victim::Both][random.random_range(0..3)];
        let moments: &[Moment] = if victim == Victim::PowerDns {
            &[Moment::Any, Moment::Any, Moment::Writing]
        } else {
            &[Moment::Any, Moment::Any, Moment::Writing, Moment::Uploading]
        };
        Self {
            node: random.random_range(0..2),
            victim,
            moment: moments[random.random_range(0..moments.len())],
            before: Duration::from_millis(random.random_range(0..500)),
            away: Duration::from_millis(random.random_range(0..400)),
        }
    }

    /// Kills, and says whether the lock of the writers was left behind.
    async fn strike(&self, node: &mut Node, uploads: &Uploads) -> bool {
        let records = WriteLock::of(&node.file("pdns.lmdb-0"));
        let (records, mut orphaned) = match self.moment {
            Moment::Any => (records, false),
            Moment::Uploading => {
                assert!(
                    uploads.hold_next(PATIENCE).await,
                    "nothing is uploaded:\n{}",
                    node.agent.log()
                );
                (records, false)
            }
            Moment::Writing => {
                let pid = match self.victim {
                    Victim::PowerDns => node.dns.pid(),
                    Victim::Agent | Victim::Both => node.agent.pid(),
                };
                let waiting = move || {
                    let stopped = records.stop_holder(pid, PATIENCE);
                    (records, stopped)
                };
                let (records, stopped) = tokio::task::spawn_blocking(waiting).await.unwrap();
                assert!(stopped, "nothing is written:\n{}", node.agent.log());
                (records, true)
            }
        };
        if matches!(self.victim, Victim::Agent | Victim::Both) {
            node.agent.kill();
        }
        orphaned |= records.is_orphaned();
        if matches!(self.victim, Victim::PowerDns | Victim::Both) {
            node.dns.kill();
        }
        orphaned | records.is_orphaned()
    }

    /// In the order of a pod.
    async fn revive(&self, node: &mut Node) {
        if matches!(self.victim, Victim::Agent | Victim::Both) {
            node.agent.start().await;
        }
        if matches!(self.victim, Victim::PowerDns | Victim::Both) {
            node.dns.start().await;
        }
    }
}

/// Writes to one server until it is told to stop.
struct Writer {
    server: &'static str,
    api: PowerDnsApi,
    dns: DnsClient,
    random: StdRng,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    /// No two writes have the same address.
    next: Arc<AtomicU32>,
}

impl Writer {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let label = match self.random.random_range(0..OWN_LABELS + SHARED_LABELS) {
                own if own < OWN_LABELS => format!("{}{own}", self.server),
                shared => format!("both{shared}"),
            };
            let value = (self.random.random_range(0..8) > 0)
                .then(|| Ipv4Addr::from_bits(0x0a00_0000 + self.next.fetch_add(1, Ordering::Relaxed)));
            let name = format!("{label}.{ZONE}");
            // Once it is seen to be there, a deletion says so.
            let may_be_void = value.is_none() && !matches!(answer(&self.dns, &label).await, Ok(Some(_)));
            let began = Instant::now();
            let answer = match value {
                Some(address) => self.api.replace(ZONE, &name, "A", &[&address.to_string()]).await,
                None => self.api.delete(ZONE, &name, "A").await,
            };
            match &answer {
                Err(HttpError::Status { .. }) => panic!("{} refuses a write: {answer:?}", self.server),
                // Nobody has taken it: the server is down.
                Err(HttpError::Connect { .. }) => {}
                _ => self.ledger.remember(
                    &label,
                    Write {
                        server: self.server,
                        value,
                        may_be_void,
                        began,
                        ended: Instant::now(),
                        acknowledged: answer.is_ok(),
                    },
                ),
            }
            // A steady load, and room for the agents on a small machine.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn answer(dns: &DnsClient, label: &str) -> Result<Value, String> {
    let answer = dns.ask(&format!("{label}.{ZONE}"), Type::A).await;
    let answer = answer.map_err(|error| error.to_string())?;
    match (answer.code, answer.values().as_slice()) {
        (Code::NoError, [address]) => Ok(Some(address.parse().map_err(|_| address.clone())?)),
        (Code::NoError | Code::NXDomain, []) => Ok(None),
        (code, values) => Err(format!("{label}: {code} {values:?}")),
    }
}

/// How many entries differ between the databases, with the first few of them.
pub(crate) fn differences(nodes: [&Node; 2], file: &str) -> Result<(), String> {
    let options = OpenOptions {
        map_size: (MAP_SIZE_MB as usize) << 20,
        max_dbs: 64,
        create: false,
        no_subdir: true,
    };
    let [a, b] = nodes.map(|node| Environment::open(&node.file(file), &options).unwrap());
    let (mut count, mut text) = (0, String::new());
    compare(&a, &b, |difference| {
        count += 1;
        if count <= 5 {
            let key = String::from_utf8_lossy(difference.key);
            let (old, new) = (
                difference.old.map(|old| old.timestamp),
                difference.new.map(|new| new.timestamp),
            );
            let _ = writeln!(text, "{} {key:?}: {old:?}, {new:?}", difference.dbi);
        }
        Ok::<(), LmdbError>(())
    })
    .unwrap();
    if count == 0 {
        Ok(())
    } else {
        Err(format!("{count} entries of {file} differ:\n{text}"))
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

on_both_versions!(nothing_that_was_acknowledged_is_lost_when_agents_and_servers_are_killed_under_load);

async fn nothing_that_was_acknowledged_is_lost_when_agents_and_servers_are_killed_under_load(
    version: Version,
) {
    let kills = number("ZONETIDE_KILLS").unwrap_or(10);
    let seed = number("ZONETIDE_SEED").unwrap_or_else(rand::random);
    println!("ZONETIDE_SEED={seed} ZONETIDE_KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);

    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let uploads = [Arc::new(Uploads::default()), Arc::new(Uploads::default())];
    let mut nodes = [
        Node::of(version, NAMES[0], &uploads[0].before(&bucket).await),
        Node::of(version, NAMES[1], &uploads[1].before(&bucket).await),
    ];
    for node in &mut nodes {
        node.start().await;
    }
    nodes[0].api().create_zone(ZONE).await.unwrap();
    nodes[0].write("ready", "192.0.2.1").await;
    nodes[1].comes_to_say("ready", "192.0.2.1").await;

    let ledger = Arc::new(Ledger::default());
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(1)));
    let writers = [0, 1].map(|at| {
        let writer = Writer {
            server: NAMES[at],
            api: nodes[at].api(),
            dns: nodes[at].dns.dns(),
            random: StdRng::seed_from_u64(random.random()),
            ledger: ledger.clone(),
            stop: stop.clone(),
            next: next.clone(),
        };
        tokio::spawn(writer.run())
    });

    let started = Instant::now();
    let (mut orphaned, mut halved) = (0, 0);
    for count in 1..=kills {
        let kill = Kill::choose(&mut random);
        tokio::time::sleep(kill.before).await;
        orphaned += u32::from(kill.strike(&mut nodes[kill.node], &uploads[kill.node]).await);
        halved += u32::from(kill.moment == Moment::Uploading);
        tokio::time::sleep(kill.away).await;
        kill.revive(&mut nodes[kill.node]).await;
        println!("{:8.3} s: {count} {kill:?}", started.elapsed().as_secs_f64());
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let (acknowledged, unknown) = ledger.counts();
    println!(
        "{kills} kills in {:?}: {orphaned} inside a write transaction, {halved} inside an upload; \
         {acknowledged} writes acknowledged, {unknown} unknown",
        started.elapsed()
    );
    assert!(acknowledged > 0);

    for (label, writes) in ledger.names() {
        let allowed = may_say(&writes);
        let what = format!(
            "both servers say one of {allowed:?} at {label}, after\n{}",
            history(&writes, started)
        );
        eventually(PATIENCE, &what, async || {
            let a = answer(&nodes[0].dns.dns(), &label).await?;
            let b = answer(&nodes[1].dns.dns(), &label).await?;
            if a == b && allowed.contains(&a) {
                Ok(())
            } else {
                Err(format!("a: {a:?}, b: {b:?}"))
            }
        })
        .await;
    }
    for file in ["pdns.lmdb", "pdns.lmdb-0"] {
        eventually(PATIENCE, "both databases are the same", async || {
            differences(nodes.each_ref(), file)
        })
        .await;
    }
}
