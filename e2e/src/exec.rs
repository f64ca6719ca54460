//! Commands inside a pod, and DNS as clients in the cluster ask it: by UDP to the Service's address.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt;

use crate::handle::Handle;
use crate::names::{POWERDNS_CONTAINER, dns_service};

/// For a command to start, run and end.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a command in the PowerDNS container of `pod` printed.
pub async fn run(cluster: &Handle, pod: &str, command: &[&str]) -> Result<String> {
    let output = tokio::time::timeout(TIMEOUT, run_for_ever(cluster, pod, command)).await;
    output.with_context(|| format!("{command:?} in {pod} does not end"))?
}

async fn run_for_ever(cluster: &Handle, pod: &str, command: &[&str]) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let params = AttachParams::default()
        .container(POWERDNS_CONTAINER)
        .stdout(true)
        .stderr(true);
    let mut process = pods.exec(pod, command.iter().copied(), &params).await?;
    let status = process.take_status().context("an exec without a status")?;
    let (mut out, mut err) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (
        process.stdout().context("no stdout")?,
        process.stderr().context("no stderr")?,
    );
    tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err))?;
    let status = status.await.and_then(|status| status.status).unwrap_or_default();
    if status != "Success" {
        bail!("{command:?} in {pod}: {status}: {out}{err}");
    }
    Ok(out)
}

/// The cluster IP of the DNS Service.
pub async fn service_ip(cluster: &Handle) -> Result<String> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let service = services.get(&dns_service(&cluster.name)).await?;
    service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("the DNS Service has no cluster IP")
}

/// Asks the DNS Service by UDP from inside `pod`: the code and the data of the answer, as `sdig` shows them.
pub async fn ask_service(cluster: &Handle, pod: &str, name: &str, kind: &str) -> Result<ServiceAnswer> {
    let address = service_ip(cluster).await?;
    // sdig alone waits for ten seconds when a datagram is lost, and none is sent again.
    let answer = run(
        cluster,
        pod,
        &["timeout", "2", "sdig", &address, "53", name, kind],
    )
    .await?;
    Ok(ServiceAnswer::parse(&answer, kind))
}

#[derive(Debug, PartialEq, Eq)]
pub struct ServiceAnswer {
    /// `No Error`, `Non-Existent domain`, …
    pub code: String,
    pub values: Vec<String>,
}

impl ServiceAnswer {
    fn parse(text: &str, kind: &str) -> Self {
        let code = text
            .lines()
            .find_map(|line| line.strip_prefix("Rcode: "))
            .and_then(|line| Some(line.split_once('(')?.1.split_once(')')?.0.to_owned()))
            .unwrap_or_else(|| text.to_owned());
        // section, name, TTL, class, type, data; section 0 is the answer.
        let values = text
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|fields| fields.len() >= 6 && fields[0] == "0" && fields[4] == kind)
            .map(|fields| fields[5].to_owned())
            .collect();
        Self { code, values }
    }
}

#[cfg(test)]
mod tests {
    use super::ServiceAnswer;

    #[test]
    fn the_output_of_sdig_is_understood() {
        let text = "Reply to question for qname='www.zone.example.', qtype=A\n\
                    Rcode: 0 (No Error), RD: 0, QR: 1, TC: 0, AA: 1, opcode: 0\n\
                    0\twww.zone.example.\t60\tIN\tA\t192.0.2.1\n";
        let answer = ServiceAnswer::parse(text, "A");
        assert_eq!(
            answer,
            ServiceAnswer {
                code: "No Error".to_owned(),
                values: vec!["192.0.2.1".to_owned()]
            }
        );
    }
}
