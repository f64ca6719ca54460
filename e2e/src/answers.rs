//! How long it takes until a server answers what was written on another.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::poll::{within, within_every};

use crate::handle::Handle;

/// Far more than agents in contact need, also where the machine is busy, and less than the minute for which PowerDNS remembers
/// that a name is not there, and the five for which it does not look for new zones.
pub const REPLICATED: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Seen {
    pub pod: String,
    pub answer: String,
    /// From `since` to the right answer.
    pub after: Duration,
    /// The last question and its answer alone.
    pub took: Duration,
}

/// Waits until each pod answers the A record of `name` with `address`.
pub async fn everywhere(cluster: &Handle, name: &str, address: &str, since: Instant) -> Result<Vec<Seen>> {
    let pods = cluster.pod_names().await?;
    let seen = try_join_all(pods.iter().map(|pod| on(cluster, pod, name, address, since))).await?;
    anyhow::ensure!(!seen.is_empty(), "DnsCluster {} has no pods", cluster.name);
    Ok(seen)
}

/// Waits until one pod does.
pub async fn on(cluster: &Handle, pod: &str, name: &str, address: &str, since: Instant) -> Result<Seen> {
    let dns = cluster.dns(pod);
    // Often, to see how long it takes.
    let right = within_every(Duration::from_millis(10), REPLICATED, async || {
        let answer = dns.ask(name, Type::A).await.map_err(|error| error.to_string())?;
        answer.expect(&[address]).map(|()| answer)
    })
    .await;
    let answer =
        right.map_err(|gave_up| anyhow::anyhow!("{pod} does not answer {name} with {address}: {gave_up}"))?;
    Ok(Seen {
        pod: pod.to_owned(),
        answer: answer.values().join(" "),
        after: since.elapsed(),
        took: answer.took,
    })
}

/// Waits until each pod answers that there is no `name`, and so remembers it.
pub async fn nowhere(cluster: &Handle, name: &str) -> Result<()> {
    for pod in cluster.pod_names().await? {
        let dns = cluster.dns(&pod);
        let right = within(REPLICATED, async || {
            let answer = dns.ask(name, Type::A).await.map_err(|error| error.to_string())?;
            answer.expect_code(Code::NXDomain)
        });
        right
            .await
            .map_err(|gave_up| anyhow::anyhow!("{pod} does not deny {name}: {gave_up}"))?;
    }
    Ok(())
}

/// Makes a zone on one pod with a number of A records, `r0`, `r1`, … with the addresses `192.0.2.0`, ….
pub async fn make_zone(cluster: &Handle, pod: &str, zone: &str, records: u8) -> Result<()> {
    let api = cluster.powerdns(pod).await?;
    api.create_zone(zone).await?;
    for number in 0..records {
        api.replace(zone, &format!("r{number}.{zone}"), "A", &[&address(number)])
            .await?;
    }
    Ok(())
}

pub fn address(number: u8) -> String {
    format!("192.0.2.{number}")
}
