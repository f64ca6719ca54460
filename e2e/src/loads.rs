//! The two loads that faults are measured with: questions and writes through the Services, as clients send them. Each comes by a
//! connection of its own, so that kube-proxy chooses a server for it anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use zonetide_testbed::dns::{DnsError, Type};
use zonetide_testbed::http::HttpError;
use zonetide_testbed::poll::within;
use zonetide_testbed::{DnsClient, PowerDnsApi};

use crate::answers::{self, REPLICATED};
use crate::handle::Handle;
use crate::load::{Load, Pace};
use crate::report::Report;
use crate::witness::Question;
use crate::{exec, names};

/// A hundred questions a second, each for as long as resolvers wait before they ask another server.
const QUESTIONS: Pace = Pace {
    every: Duration::from_millis(10),
    patience: Duration::from_secs(2),
    at_once: 1000,
};
/// Twenty writes a second, and fewer where the disk takes fewer.
const WRITES: Pace = Pace {
    every: Duration::from_millis(50),
    patience: Duration::from_secs(2),
    at_once: 8,
};
/// For kube-proxy to know a new Service.
const REACHED: Duration = Duration::from_secs(30);
const FROM_HERE: &str = "Services have to be reached from the machine that runs this, as from the node of the one-node cluster; \
     with kind, route the Services' network to its node";

/// The zone that is asked for, and the one that is written to.
const ASKED: &str = "asked.example.";
const WRITTEN: &str = "written.example.";

/// What is asked.
fn question() -> Question {
    Question {
        name: format!("r0.{ASKED}"),
        address: answers::address(0),
    }
}

/// Makes the zones that the loads need, and waits until each server has them.
pub async fn make_zones(cluster: &Handle) -> Result<()> {
    for zone in [ASKED, WRITTEN] {
        answers::make_zone(cluster, &cluster.pod_name(0), zone, 1).await?;
        answers::everywhere(
            cluster,
            &format!("r0.{zone}"),
            &answers::address(0),
            Instant::now(),
        )
        .await?;
    }
    Ok(())
}

/// Waits until the server in `pod` answers what is asked.
pub async fn answered_by(cluster: &Handle, pod: &str) -> Result<()> {
    let question = question();
    answers::on(cluster, pod, &question.name, &question.address, Instant::now()).await?;
    Ok(())
}

/// Questions to the DNS Service by UDP, a hundred a second.
pub async fn questions(cluster: &Handle) -> Result<Load> {
    let question = question();
    let service = exec::service_address(cluster, &names::dns_service(&cluster.name)).await?;
    let dns = DnsClient::udp(service);
    within(REACHED, async || ask(&dns, &question).await)
        .await
        .with_context(|| format!("{service} does not answer rightly. {FROM_HERE}"))?;
    Ok(questions_to(service, question))
}

fn questions_to(server: SocketAddr, question: Question) -> Load {
    let question = Arc::new(question);
    Load::start(QUESTIONS, move |_| {
        let (dns, question) = (DnsClient::udp(server), question.clone());
        async move { ask(&dns, &question).await }
    })
}

async fn ask(dns: &DnsClient, question: &Question) -> Result<(), String> {
    match dns.ask(&question.name, Type::A).await {
        Ok(answer) => answer.expect(&[&question.address]),
        Err(DnsError::Io { source, .. }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes through the API Service, twenty a second, each of a name of its own.
pub struct Writes {
    cluster: Handle,
    load: Load,
}

impl Writes {
    /// Begins, once the zone is there.
    pub async fn start(cluster: &Handle) -> Result<Self> {
        let api = through_service(cluster).await?;
        let known = within(REACHED, async || match api.zone_exists(WRITTEN).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("there is no zone {WRITTEN}")),
            Err(error) => Err(error.to_string()),
        });
        known
            .await
            .with_context(|| format!("the API Service does not answer. {FROM_HERE}"))?;
        let load = Load::start(WRITES, move |number| {
            let api = api.clone();
            async move {
                let (name, address) = (name(number), address(number));
                let written = api.replace(WRITTEN, &name, "A", &[&address]).await;
                written.map_err(|error| why(&error))
            }
        });
        Ok(Self {
            cluster: cluster.clone(),
            load,
        })
    }

    /// Waits for so many more attempts.
    pub async fn goes_on(&self, times: u32) -> Result<()> {
        self.load.goes_on(times).await
    }

    /// Ends it.
    pub async fn finish(self) -> Result<Written> {
        Ok(Written {
            report: self.load.finish().await?,
            cluster: self.cluster,
        })
    }
}

/// What became of the writes.
pub struct Written {
    pub report: Report,
    cluster: Handle,
}

impl Written {
    /// Waits until each server that there is now has every change that was acknowledged.
    pub async fn is_everywhere(&self) -> Result<()> {
        let taken = self.report.succeeded();
        ensure!(!taken.is_empty(), "not one write was taken");
        for pod in self.cluster.pod_names().await? {
            let api = self.cluster.powerdns(&pod).await?;
            let has = within(REPLICATED, async || {
                let zone = api.zone(WRITTEN).await.map_err(|error| error.to_string())?;
                lacking(&zone, &taken)
            });
            has.await.with_context(|| format!("{pod} lacks changes"))?;
        }
        Ok(())
    }
}

/// The API of whichever server the Service leads to.
pub async fn through_service(cluster: &Handle) -> Result<PowerDnsApi> {
    let service = exec::service_address(cluster, &names::api_service(&cluster.name)).await?;
    let key = cluster
        .secret_value(&names::api_key_secret(&cluster.name), "api-key")
        .await?;
    Ok(PowerDnsApi::new(Arc::new(service), &key))
}

/// `Ok` when the zone, as the API shows it, has all these changes.
fn lacking(shown: &Value, taken: &[usize]) -> Result<(), String> {
    let rrsets = shown["rrsets"].as_array().into_iter().flatten();
    let held: std::collections::BTreeMap<&str, &str> = rrsets
        .filter_map(|rrset| Some((rrset["name"].as_str()?, rrset["records"][0]["content"].as_str()?)))
        .collect();
    let lacks = |number: &&usize| held.get(name(**number).as_str()) != Some(&address(**number).as_str());
    match taken.iter().filter(lacks).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        lacking => Err(format!(
            "{} of {} are not there: {lacking:?}",
            lacking.len(),
            taken.len()
        )),
    }
}

/// Without what differs from one request to the next, so that kinds can be counted.
fn why(error: &HttpError) -> String {
    match error {
        HttpError::Connect { source, .. } => source.to_string(),
        HttpError::Transport { source, .. } => source.to_string(),
        HttpError::Status { status, body, .. } => format!("status {status}: {body}"),
        other => other.to_string(),
    }
}

fn name(number: usize) -> String {
    format!("w{number}.{WRITTEN}")
}

fn address(number: usize) -> String {
    format!("192.0.2.{}", number % 250 + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zonetide_testbed::PowerDns;

    use super::*;

    async fn server() -> (tempfile::TempDir, PowerDns) {
        let dir = tempfile::tempdir().unwrap();
        let mut server = PowerDns::new("pdns", &dir.path().join("pdns.lmdb"));
        server.start().await;
        server.api().create_zone(ASKED).await.unwrap();
        set(&server, &answers::address(0)).await;
        (dir, server)
    }

    async fn set(server: &PowerDns, address: &str) {
        let api = server.api();
        api.replace(ASKED, &question().name, "A", &[address])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_server_that_answers_rightly_loses_nothing() {
        let (_dir, server) = server().await;
        let load = questions_to(server.address(), question());
        load.goes_on(50).await.unwrap();
        load.finish().await.unwrap().expect_none_lost().unwrap();
    }

    #[tokio::test]
    async fn what_nobody_answers_and_what_is_answered_wrongly_is_lost() {
        let (_dir, mut server) = server().await;
        let load = questions_to(server.address(), question());
        load.goes_on(20).await.unwrap();
        set(&server, "192.0.2.2").await;
        load.goes_on(20).await.unwrap();
        server.stop();
        load.goes_on(20).await.unwrap();
        let report = load.finish().await.unwrap();
        let summary = report.summary();
        assert!(
            summary.contains("192.0.2.2") && summary.contains("refused"),
            "{summary}"
        );
        assert!(!report.succeeded().is_empty(), "{summary}");
    }

    #[test]
    fn a_change_that_is_missing_or_has_another_value_is_named() {
        let rrset = |name: &str, content: &str| json!({"name": name, "records": [{"content": content}]});
        let shown = json!({"rrsets": [rrset(&name(0), "192.0.2.1"), rrset(&name(1), "192.0.2.9")]});
        assert_eq!(lacking(&shown, &[0]), Ok(()));
        let lacks = lacking(&shown, &[0, 1, 2]).unwrap_err();
        assert_eq!(lacks, "2 of 3 are not there: [1, 2]");
    }
}
