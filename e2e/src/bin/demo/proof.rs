//! The proof: a record that did not have this value before is written on one server and answered by all.

use std::time::Instant;

use anyhow::{Context, Result};
use zonetide_crds::DnsCluster;
use zonetide_e2e::Handle;
use zonetide_e2e::answers::{self, Seen};
use zonetide_testbed::dns::Type;

use crate::wait::Clock;

const ZONE: &str = "example.org.";
const NAME: &str = "www.example.org.";

pub(crate) struct Proof {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) written_on: String,
    pub(crate) seen: Vec<Seen>,
}

pub(crate) async fn give(cluster: &Handle, ready: &DnsCluster, clock: &Clock) -> Result<Proof> {
    let status = ready.status.as_ref();
    let pod = status
        .and_then(|status| status.api_pod.clone())
        .context("the status names no API pod")?;
    let api = cluster.powerdns(&pod).await?;
    if api.zone_exists(ZONE).await? {
        clock.say(&format!("the zone {ZONE} is there from a run before"));
    } else {
        api.create_zone(ZONE).await?;
        clock.say(&format!("made the zone {ZONE} through the PowerDNS API of {pod}"));
    }
    let pods = cluster.pod_names().await?;
    let before = cluster.dns(&pod).ask(NAME, Type::A).await?.values();
    // All remember what they answer now, and have to be told to forget it.
    for pod in &pods {
        cluster.dns(pod).ask(NAME, Type::A).await?;
    }
    let address = another(before.first().map(String::as_str));
    let since = Instant::now();
    api.replace(ZONE, NAME, "A", &[&address]).await?;
    clock.say(&format!(
        "wrote {NAME} A {address} through the PowerDNS API of {pod}, and ask each server now"
    ));

    let asked = pods
        .iter()
        .map(|pod| answers::on(cluster, pod, NAME, &address, since));
    let seen = futures::future::try_join_all(asked).await?;
    Ok(Proof {
        name: NAME,
        address,
        written_on: pod,
        seen,
    })
}

/// An address for documentation (RFC 5737) other than `before`.
fn another(before: Option<&str>) -> String {
    let last = before
        .and_then(|address| address.rsplit('.').next()?.parse::<u8>().ok())
        .unwrap_or(0);
    format!("192.0.2.{}", last % 254 + 1)
}

#[cfg(test)]
mod tests {
    use super::another;

    #[test]
    fn each_run_writes_another_address() {
        assert_eq!(another(None), "192.0.2.1");
        assert_eq!(another(Some("192.0.2.1")), "192.0.2.2");
        assert_eq!(another(Some("192.0.2.254")), "192.0.2.1");
    }
}
