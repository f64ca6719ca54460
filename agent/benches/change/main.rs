//! What one changed record costs, from commit to answer, by the size of the database: real PowerDNS processes with all caches
//! at their defaults, a real S3 server, and agents with all intervals at their defaults, on loopback.
//!
//! `make bench`, with `BENCH_SIZES="10000 100000"` for other sizes and `BENCH_ZONES="1000 100000"` for other numbers of zones (`-`
//! for none), `BENCH_SERVERS="2 4 7"` for other numbers of servers, `BENCH_QUICK=1` for shorter phases, `BENCH_OUT=DIR` for a
//! directory that gets the table, the figures as JSON and the plot, and `BENCH_DOCS=1` to put them into docs/performance.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod agent;
mod answers;
mod burst;
mod cold;
mod figures;
mod many_zones;
mod node;
mod output;
mod plot;
mod records;
mod servers;
mod steady;
mod store;
mod table;
mod watch;
mod zones;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonetide_testbed::Garage;

use crate::figures::Figures;
use crate::node::Node;
use crate::output::Output;
use crate::records::Records;
use crate::steady::Pair;
use crate::store::Requests;
use crate::watch::{Memory, load};

/// Says on standard error how far it is.
macro_rules! progress {
    ($($text:tt)*) => { eprintln!("    {}", format_args!($($text)*)) };
}
pub(crate) use progress;

/// How long the phases last.
struct Plan {
    /// The store is looked at every 30 s while peers are in contact: a multiple of it.
    idle: Duration,
    idle_alone: Duration,
    changes: u32,
    changes_alone: u32,
    hundred: Duration,
    new_zones: u32,
}

impl Plan {
    fn new(quick: bool) -> Self {
        let seconds = Duration::from_secs;
        if quick {
            Self {
                idle: seconds(30),
                idle_alone: seconds(10),
                changes: 15,
                changes_alone: 10,
                hundred: seconds(10),
                new_zones: 5,
            }
        } else {
            Self {
                idle: seconds(90),
                idle_alone: seconds(20),
                changes: 60,
                changes_alone: 40,
                hundred: seconds(60),
                new_zones: 15,
            }
        }
    }
}

async fn measure(records: u32, plan: &Plan, largest: bool) -> Figures {
    let started = Instant::now();
    let load_before = load();
    eprintln!("{} records", table::thousands(records));
    let garage = Garage::start().await;
    let (requests, bucket) = (Requests::of(&garage), garage.bucket("bench").await);
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &bucket));
    let ports = vec![a.settings.peer_port, b.settings.peer_port];
    a.settings.peers = ports.clone();
    b.settings.peers = ports;

    a.dns.start().await;
    let powerdns = a.dns.api().version().await.unwrap();
    let all = Records::fill(&a, records).await;
    progress!("filled after {:.1?}", started.elapsed());
    a.launch_agent();
    let a_memory = Memory::watch(a.pid());
    a.agent().ready().await;
    a.agent().stored().await;
    let cold = cold::start(&mut b, &all, &bucket).await;
    let b_memory = Memory::watch(b.pid());
    progress!("a cold start after {:.1?}", started.elapsed());
    for node in [&mut a, &mut b] {
        let what = "it is not in contact with its peer";
        node.agent()
            .until(what, "peer_in_contact", |peers| peers > 0.0)
            .await;
        node.agent()
            .until(what, "peer_reached", |peers| peers > 0.0)
            .await;
        node.agent().stored().await;
    }
    let (a_records, b_records) = (a.open_records(), Arc::new(b.open_records()));
    let mut pair = Pair {
        a: &mut a,
        b: &mut b,
        requests: &requests,
        records: &all,
        a_records: &a_records,
        b_records,
    };
    let peers = pair.steady(plan.idle, plan.changes, Duration::ZERO, 0).await;
    progress!("changes with peers after {:.1?}", started.elapsed());
    let mut memory = (a_memory.most(), b_memory.most());
    let hundred = if largest {
        Some(pair.hundred(plan.hundred).await)
    } else {
        None
    };
    let burst = pair.burst().await;
    progress!("a burst after {:.1?}", started.elapsed());
    memory = (memory.0.max(a_memory.finish()), memory.1.max(b_memory.finish()));

    for node in [&mut *pair.a, &mut *pair.b] {
        node.stop_agent();
        node.settings.peers.clear();
        node.launch_agent();
    }
    for node in [&mut *pair.a, &mut *pair.b] {
        node.agent().ready().await;
        node.agent().stored().await;
    }
    let spread = Duration::from_secs(1);
    let alone = pair
        .steady(plan.idle_alone, plan.changes_alone, spread, 500)
        .await;
    progress!("changes through the bucket after {:.1?}", started.elapsed());
    Figures {
        records,
        powerdns,
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        load_before,
        load_after: load(),
        cold,
        peers,
        bucket: alone,
        burst,
        hundred,
        memory_sender: memory.0,
        memory_receiver: memory.1,
    }
}

fn main() {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let numbers = |name: &str, default: &str| -> Vec<u32> {
        let numbers = set(name).unwrap_or_else(|| default.into());
        let numbers = numbers.split_whitespace().filter(|number| *number != "-");
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let sizes = numbers("BENCH_SIZES", "10000 100000 1000000");
    let counts = numbers("BENCH_ZONES", "1000 100000 1000000");
    let quick = set("BENCH_QUICK").is_some();
    let servers = numbers("BENCH_SERVERS", "2 4 7");
    let plan = Plan::new(quick);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let largest = sizes.iter().copied().max();
    let all: Vec<_> = sizes
        .iter()
        .map(|size| runtime.block_on(measure(*size, &plan, Some(*size) == largest)))
        .collect();
    let zones: Vec<_> = counts
        .iter()
        .flat_map(|count| runtime.block_on(zones::measure(*count, plan.new_zones)))
        .collect();
    let servers: Vec<_> = servers
        .iter()
        .flat_map(|number| runtime.block_on(servers::measure(*number, quick)))
        .collect();
    let figures = Output {
        all: &all,
        zones: &zones,
        servers: &servers,
    };
    println!("{}", figures.text());
    if let Some(dir) = set("BENCH_OUT") {
        figures.write(Path::new(&dir)).unwrap();
    }
    if set("BENCH_DOCS").is_some() {
        figures.document().unwrap();
    }
}
