//! When a change is answered by all of several servers that share two cores, and what it costs each kind of process.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::Serialize;
use tokio::net::UdpSocket;
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, Version};

use crate::answers::{PATIENCE, PAUSE, Spread, millis};
use crate::node::Node;
use crate::progress;
use crate::records::address;
use crate::watch::{cpu, load};
use crate::zones::{WITHOUT_LIST, question};

const ZONE: &str = "zone.example.";
/// Records of the zone besides those that PowerDNS makes; changes take turns with them.
const HOSTS: u32 = 100;
/// Servers write in turn.
const CHANGES: u32 = 100;
const QUICK_CHANGES: u32 = 28;
/// Changes before the first that counts.
const WARM_UP: u32 = 14;
/// An answer that was lost is asked for again.
const LOST: Duration = Duration::from_millis(250);

/// From one change's last answer to the next change.
const PACES: [(Duration, &str); 2] = [
    (Duration::ZERO, "one after the other"),
    // Longer than what a change leaves to do later: storing, and the second flush.
    (Duration::from_millis(300), "0.3 s apart"),
];

/// With one number of servers, at one pace.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Servers {
    number: usize,
    pace: &'static str,
    changes: u32,
    powerdns: String,
    cores: usize,
    /// From the request to the API until its answer, milliseconds as all that follow.
    api: Spread,
    /// From there until one of the others answers with the change, and until all of them do.
    first: Spread,
    all: Spread,
    /// From the request until all do.
    whole: Spread,
    /// Processor time for one change, of all processes of a kind.
    cpu: Cpu,
    load_before: String,
    load_after: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Cpu {
    agents: f64,
    powerdns: f64,
    store: f64,
    bench: f64,
}

impl Cpu {
    fn now(nodes: &[Node], garage: &Garage) -> Self {
        let sum = |pid: fn(&Node) -> u32| nodes.iter().map(|node| millis(cpu(pid(node)))).sum();
        Self {
            agents: sum(Node::pid),
            powerdns: sum(|node| node.dns.pid()),
            store: millis(cpu(garage.pid())),
            bench: millis(cpu(std::process::id())),
        }
    }

    fn each_since(self, before: Self, changes: u32) -> Self {
        let each = |now: f64, before: f64| (now - before) / f64::from(changes);
        Self {
            agents: each(self.agents, before.agents),
            powerdns: each(self.powerdns, before.powerdns),
            store: each(self.store, before.store),
            bench: each(self.bench, before.bench),
        }
    }
}

/// A server that is asked for changes.
struct Asked {
    socket: UdpSocket,
}

impl Asked {
    async fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        Self { socket }
    }

    async fn says(&self, question: &[u8], address: Ipv4Addr) -> bool {
        let mut answer = [0; 1232];
        self.socket.send(question).await.unwrap();
        let Ok(received) = tokio::time::timeout(LOST, self.socket.recv(&mut answer)).await else {
            return false;
        };
        let answer = &answer[..received.unwrap()];
        // The last data of the only answer.
        answer.ends_with(&address.octets())
    }

    /// Asks until it answers with this.
    async fn comes_to_say(&self, question: &[u8], address: Ipv4Addr) -> Instant {
        let started = Instant::now();
        while !self.says(question, address).await {
            assert!(started.elapsed() < PATIENCE, "a change is not answered");
            tokio::time::sleep(PAUSE).await;
        }
        Instant::now()
    }
}

/// Times of changes.
#[derive(Default)]
struct Times {
    api: Vec<Duration>,
    first: Vec<Duration>,
    all: Vec<Duration>,
    whole: Vec<Duration>,
}

/// With so many servers, at each pace.
pub(crate) async fn measure(number: u32, quick: bool) -> Vec<Servers> {
    let started = Instant::now();
    eprintln!("{number} servers");
    let garage = Garage::start().await;
    let bucket = garage.bucket("bench").await;
    let nodes = start(number, &bucket).await;
    let powerdns = nodes[0].dns.api().version().await.unwrap();
    progress!("all in contact after {:.1?}", started.elapsed());
    let asked = join_all(nodes.iter().map(|node| Asked::new(node.dns.address()))).await;
    let changes = if quick { QUICK_CHANGES } else { CHANGES };
    let mut next = 0;
    let mut rows = Vec::new();
    for (pause, pace) in PACES {
        let load_before = load();
        change(&nodes, &asked, next..next + WARM_UP, pause).await;
        next += WARM_UP;
        let before = Cpu::now(&nodes, &garage);
        let times = change(&nodes, &asked, next..next + changes, pause).await;
        next += changes;
        let cpu = Cpu::now(&nodes, &garage).each_since(before, changes);
        rows.push(Servers {
            number: nodes.len(),
            pace,
            changes,
            powerdns: powerdns.clone(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            api: Spread::of(times.api),
            first: Spread::of(times.first),
            all: Spread::of(times.all),
            whole: Spread::of(times.whole),
            cpu,
            load_before,
            load_after: load(),
        });
        progress!("changes {pace} after {:.1?}", started.elapsed());
    }
    rows
}

/// Servers that have one zone, with their agents in contact and everything stored.
async fn start(number: u32, bucket: &Bucket) -> Vec<Node> {
    let mut nodes: Vec<_> = (0..number)
        .map(|number| Node::new(&format!("server-{number}"), bucket))
        .collect();
    let ports: Vec<_> = nodes.iter().map(|node| node.settings.peer_port).collect();
    for (number, node) in nodes.iter_mut().enumerate() {
        node.settings.peers.clone_from(&ports);
        // What a new DnsCluster runs.
        node.dns.change_version(Version::V5);
        node.dns.set(WITHOUT_LIST);
        if number == 0 {
            node.dns.start().await;
            let api = node.dns.api();
            api.create_zone(ZONE).await.unwrap();
            let hosts = (0..HOSTS).map(|host| (name(host), "192.0.2.1".to_owned()));
            api.replace_many(ZONE, &hosts.collect::<Vec<_>>()).await.unwrap();
        }
        node.launch_agent();
        node.agent().ready().await;
        if number > 0 {
            node.dns.start().await;
        }
        node.agent().stored().await;
    }
    let others = f64::from(number - 1);
    for node in &mut nodes {
        for metric in ["peer_in_contact", "peer_reached"] {
            let what = "it is not in contact with its peers";
            node.agent().until(what, metric, |peers| peers >= others).await;
        }
        node.agent().stored().await;
    }
    nodes
}

fn name(host: u32) -> String {
    format!("host{host:03}.{ZONE}")
}

/// Each is written on the next server by its API, with the old answer in the caches of the others.
async fn change(nodes: &[Node], asked: &[Asked], changes: std::ops::Range<u32>, pause: Duration) -> Times {
    let mut times = Times::default();
    for number in changes {
        let (name, address) = (name(number % HOSTS), address(number));
        let question = question(&name);
        let writer = number as usize % nodes.len();
        let others = || {
            let others = asked.iter().enumerate().filter(|(server, _)| *server != writer);
            others.map(|(_, asked)| asked)
        };
        for other in others() {
            assert!(!other.says(&question, address).await);
        }
        let api = nodes[writer].dns.api();
        let began = Instant::now();
        let change = api.replace(ZONE, &name, "A", &[&address.to_string()]).await;
        let committed = Instant::now();
        change.unwrap();
        let answered = join_all(others().map(|other| other.comes_to_say(&question, address))).await;
        let (first, last) = (answered.iter().min().unwrap(), answered.iter().max().unwrap());
        times.api.push(committed - began);
        times.first.push(*first - committed);
        times.all.push(*last - committed);
        times.whole.push(*last - began);
        tokio::time::sleep(pause).await;
    }
    times
}

pub(crate) fn table(all: &[Servers]) -> String {
    let mut text = String::from(
        "| for one change, by the number of servers | the API of PowerDNS: median | from there until the first other answers: median | \
         until all do: median, 95 %, longest | from the request until all do | CPU: agents | PowerDNS | store | the bench |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in all {
        let spread = |spread: &Spread| {
            format!(
                "{:.0} ms, {:.0} ms, {:.0} ms",
                spread.median, spread.p95, spread.longest
            )
        };
        let is_met = row.all.median <= 30.0 && row.all.longest <= 100.0;
        let _ = writeln!(
            text,
            "| {}, {} | {:.0} ms | {:.0} ms | {}{} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms |",
            row.number,
            row.pace,
            row.api.median,
            row.first.median,
            spread(&row.all),
            if is_met { "" } else { " ✗" },
            spread(&row.whole),
            row.cpu.agents,
            row.cpu.powerdns,
            row.cpu.store,
            row.cpu.bench,
        );
    }
    if let (Some(first), Some(last)) = (all.first(), all.last()) {
        let _ = writeln!(
            text,
            "\n{} changes each, PowerDNS {}, {} cores. Goal: ≤ 30 ms, at most 100 ms until all answer; ✗: not met. CPU is that of all \
             processes of a kind together. Load of the machine before, after: {}; {}.",
            first.changes, first.powerdns, first.cores, first.load_before, last.load_after,
        );
    }
    text
}
