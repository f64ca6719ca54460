//! When a server gives the right answer.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde::Serialize;
use zonetide_testbed::DnsClient;
use zonetide_testbed::dns::Type;

const PATIENCE: Duration = Duration::from_secs(60);
/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(1);

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
        // Of 60 the 99th percentile is the longest but none: nearest rank.
        let rank = |share: f64| ((delays.len() as f64 * share).ceil() as usize).clamp(1, delays.len()) - 1;
        Self {
            median: millis(delays[rank(0.5)]),
            p99: millis(delays[rank(0.99)]),
        }
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
