//! What a new zone costs the PowerDNS of another server, by the number of zones, with and without its list of zones, and what
//! its questions cost either way.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde::Serialize;
use zonetide_testbed::{Garage, Version};

use crate::answers::{Delays, millis, right_since, says};
use crate::many_zones::{ADDRESS, body, fill, host};
use crate::node::Node;
use crate::progress;
use crate::table::thousands;
use crate::watch::cpu;

/// As a DnsCluster has it.
pub(crate) const WITHOUT_LIST: &str = "zone-cache-refresh-interval=0";
/// So, and as PowerDNS has it by default.
const LISTS: [(bool, &str); 2] = [(false, WITHOUT_LIST), (true, "zone-cache-refresh-interval=300")];
/// Questions in one measurement, all for other zones where there are as many.
const QUESTIONS: u32 = 100_000;
/// Zones in the longest list of which that is measured.
const MOST_LISTED: u32 = 100_000;
/// Zones that are asked all the time.
const HOT: u32 = 1000;
/// Asked, and not answered yet.
const ON_THEIR_WAY: u32 = 50;
/// From one new zone to the next at least, so that what is flushed late counts.
const APART: Duration = Duration::from_secs(1);
/// Seconds before that without any.
const IDLE: u32 = 3;

/// At one number of zones.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Zones {
    number: u32,
    powerdns: String,
    with_list: bool,
    /// While the caches are nearly empty, and with the answers to all questions in them.
    fresh: New,
    full: New,
    /// Microseconds of processor time of a question.
    spread: f64,
    hot: f64,
}

#[derive(Debug, Clone, Serialize)]
struct New {
    delays: Delays,
    /// Milliseconds of processor time of PowerDNS, for one zone.
    cpu: f64,
}

/// Both ways at one number of zones; `new` zones are made for the delays of each measurement, and as many for the processor time.
pub(crate) async fn measure(zones: u32, new: u32) -> Vec<Zones> {
    let started = Instant::now();
    eprintln!("{} zones", thousands(zones));
    let garage = Garage::start().await;
    let bucket = garage.bucket("bench").await;
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &bucket));
    let ports = vec![a.settings.peer_port, b.settings.peer_port];
    a.settings.peers = ports.clone();
    b.settings.peers = ports;
    for node in [&mut a, &mut b] {
        // What a new DnsCluster runs.
        node.dns.change_version(Version::V5);
        node.dns.set(LISTS[0].1);
    }
    a.dns.start().await;
    let powerdns = a.dns.api().version().await.unwrap();
    fill(&a, zones).await;
    a.launch_agent();
    a.agent().ready().await;
    a.agent().stored().await;
    b.launch_agent();
    b.agent().ready().await;
    progress!("both have them after {:.1?}", started.elapsed());
    let mut all = Vec::new();
    let mut next = zones;
    // With more it takes PowerDNS 5 s to read the list, for each new zone.
    let lists = LISTS
        .into_iter()
        .filter(|(with_list, _)| !with_list || zones <= MOST_LISTED);
    for (with_list, setting) in lists {
        b.dns.set(setting);
        b.dns.start().await;
        for node in [&mut a, &mut b] {
            let what = "it is not in contact with its peer";
            node.agent()
                .until(what, "peer_in_contact", |peers| peers > 0.0)
                .await;
            node.agent().stored().await;
        }
        let server = b.dns.address();
        let fresh = make(&a, &b, next..next + 2 * new, with_list).await;
        // Numbers without any order.
        let spread = (0..QUESTIONS).map(|number| number.wrapping_mul(2_654_435_761) % zones);
        let spread = questions(&b, server, spread);
        let hot = (0..QUESTIONS).map(|number| number % HOT.min(zones));
        let hot = questions(&b, server, hot);
        let full = make(&a, &b, next + 2 * new..next + 4 * new, with_list).await;
        next += 4 * new;
        all.push(Zones {
            number: zones,
            powerdns: powerdns.clone(),
            with_list,
            fresh,
            full,
            spread,
            hot,
        });
        progress!(
            "after {:.1?}: {}",
            started.elapsed(),
            table(&all[all.len() - 1..])
        );
        b.dns.stop();
    }
    all
}

/// Has A's API make zones of which B has just been asked: until B answers with them, and then as many without a question
/// between, for what B's PowerDNS does for them: unless that takes so long that they would wait for each other.
async fn make(a: &Node, b: &Node, mut zones: impl ExactSizeIterator<Item = u32>, long: bool) -> New {
    let (api, client, address) = (a.dns.api(), b.dns.dns(), ADDRESS.parse().unwrap());
    let count = zones.len() / 2;
    let mut delays = Vec::new();
    for zone in zones.by_ref().take(count) {
        let next = tokio::time::Instant::now() + APART;
        assert!(!says(&client, &host(zone), address).await);
        api.create(&body(zone)).await.unwrap();
        delays.push(right_since(Instant::now(), &client, &host(zone), address).await);
        tokio::time::sleep_until(next).await;
    }
    let quiet = cpu(b.dns.pid());
    tokio::time::sleep(APART * IDLE).await;
    let (begin, before) = (Instant::now(), cpu(b.dns.pid()));
    let idle = before.saturating_sub(quiet) / IDLE;
    let mut made = Vec::new();
    for zone in zones {
        let next = tokio::time::Instant::now() + APART;
        assert!(!says(&client, &host(zone), address).await);
        api.create(&body(zone)).await.unwrap();
        made.push(zone);
        if long {
            right_since(Instant::now(), &client, &host(zone), address).await;
        }
        tokio::time::sleep_until(next).await;
    }
    let idle = idle.mul_f64(begin.elapsed().as_secs_f64());
    let used = cpu(b.dns.pid()).saturating_sub(before).saturating_sub(idle);
    for zone in &made {
        right_since(Instant::now(), &client, &host(*zone), address).await;
    }
    New {
        delays: Delays::of(delays),
        cpu: millis(used) / made.len() as f64,
    }
}

/// Asks for the hosts of zones, several at a time, and gives the processor time for each in microseconds.
fn questions(b: &Node, server: SocketAddr, zones: impl Iterator<Item = u32>) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let before = cpu(b.dns.pid());
    let (mut on_their_way, mut count) = (0, 0);
    let mut answer = [0; 1232];
    for zone in zones {
        socket.send(&question(&host(zone))).unwrap();
        on_their_way += 1;
        count += 1;
        if on_their_way == ON_THEIR_WAY {
            socket.recv(&mut answer).unwrap();
            on_their_way -= 1;
        }
    }
    for _ in 0..on_their_way {
        socket.recv(&mut answer).unwrap();
    }
    millis(cpu(b.dns.pid()).saturating_sub(before)) * 1e3 / f64::from(count)
}

/// For the address of a name.
pub(crate) fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split_terminator('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

pub(crate) fn table(all: &[Zones]) -> String {
    let mut text = String::from(
        "\n| for one new zone, by the number of zones | answered elsewhere after: median, p99 | CPU of PowerDNS there | the same with \
         100,000 answers in its caches | | a question, spread | hot |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in all {
        let list = if row.with_list { "with" } else { "without" };
        let delays = |new: &New| format!("{:.0} ms, {:.0} ms", new.delays.median, new.delays.p99);
        let _ = writeln!(
            text,
            "| {}, {list} a list | {} | {:.1} ms | {} | {:.1} ms | {:.0} µs | {:.0} µs |",
            thousands(row.number),
            delays(&row.fresh),
            row.fresh.cpu,
            delays(&row.full),
            row.full.cpu,
            row.spread,
            row.hot,
        );
    }
    if let Some(first) = all.first() {
        let _ = writeln!(
            text,
            "\nPowerDNS {}. The list of zones is what `zone-cache-refresh-interval` switches: 0, without, in a DnsCluster; 300, with, by \
             PowerDNS' default. Goal: ≤ 25 ms and ≤ 5 ms without.",
            first.powerdns
        );
    }
    text
}
