//! When a server gives the right answer.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde::Serialize;
use zonetide_testbed::DnsClient;
use zonetide_testbed::dns::Type;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between an answer and the next question.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

pub(crate) async fn says(client: &DnsClient, name: &str, address: Ipv4Addr) -> bool {
    let answer = client.ask(name, Type::A).await;
    answer.is_ok_and(|answer| answer.expect(&[&address.to_string()]).is_ok())
}

/// Asks until the answer is right, and gives the time since `from`.
pub(crate) async fn right_since(
    from: Instant,
    client: &DnsClient,
    name: &str,
    address: Ipv4Addr,
) -> Duration {
    while !says(client, name, address).await {
        assert!(
            from.elapsed() < PATIENCE,
            "{name} is not answered with {address} after {PATIENCE:?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
    from.elapsed()
}

/// Milliseconds that some changes took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Delays {
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

impl Delays {
    pub(crate) fn of(mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        Self {
            median: rank(&delays, 0.5),
            p99: rank(&delays, 0.99),
        }
    }
}

/// The same of more of them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) longest: f64,
}

impl Spread {
    pub(crate) fn of(mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        Self {
            median: rank(&delays, 0.5),
            p95: rank(&delays, 0.95),
            longest: rank(&delays, 1.0),
        }
    }
}

/// Of 60 the 99th percentile is the longest but none: nearest rank.
fn rank(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    millis(sorted[rank.clamp(1, sorted.len()) - 1])
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
