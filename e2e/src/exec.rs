//! Commands inside a pod, and DNS as clients in the cluster ask it: by UDP to the Service's address.

use std::net::SocketAddr;
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
    run_in(cluster, pod, POWERDNS_CONTAINER, command).await
}

/// What a command in a container of `pod` printed.
pub async fn run_in(cluster: &Handle, pod: &str, container: &str, command: &[&str]) -> Result<String> {
    let output = tokio::time::timeout(TIMEOUT, run_for_ever(cluster, pod, container, command)).await;
    output.with_context(|| format!("{command:?} in {pod} does not end"))?
}

async fn run_for_ever(cluster: &Handle, pod: &str, container: &str, command: &[&str]) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let params = AttachParams::default()
        .container(container)
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

/// The address of a Service inside of the cluster, with its first port.
pub async fn service_address(cluster: &Handle, service: &str) -> Result<SocketAddr> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let spec = services.get(service).await?.spec.unwrap_or_default();
    let address = spec
        .cluster_ip
        .with_context(|| format!("Service {service} has no cluster IP"))?;
    let port = spec.ports.unwrap_or_default().first().map(|port| port.port);
    let port = port.with_context(|| format!("Service {service} has no port"))?;
    Ok(SocketAddr::new(address.parse()?, u16::try_from(port)?))
}

/// Asks the DNS Service by UDP from inside `pod`: the code and the data of the answer, as `sdig` shows them.
pub async fn ask_service(cluster: &Handle, pod: &str, name: &str, kind: &str) -> Result<ServiceAnswer> {
    let service = service_address(cluster, &dns_service(&cluster.name)).await?;
    let (address, port) = (service.ip().to_string(), service.port().to_string());
    // sdig alone waits for ten seconds when a datagram is lost, and none is sent again.
    let answer = run(
        cluster,
        pod,
        &["timeout", "2", "sdig", &address, &port, name, kind],
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
