//! What the agents say of themselves: their `/status`, read by the operator.

mod silence;
mod status;

use std::{net::IpAddr, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

pub use self::{
    silence::Silences,
    status::{AgentStatus, PowerDns},
};
use crate::{error::root_cause, names::AGENT_PORT, reconcile::api_pod::is_ready};

/// A thousand instances take a tenth of it. What listens in a pod may be anything.
const MOST_BYTES: usize = 4 << 20;

/// An agent's answer, or why there is none.
#[derive(Clone, Debug)]
pub struct AgentReport {
    pub pod: String,
    pub status: Result<AgentStatus, String>,
}

/// Asks agents. Tests put their own in its place.
pub trait Agents: Send + Sync {
    fn status(&self, address: IpAddr) -> BoxFuture<'_, Result<AgentStatus, String>>;
}

/// The real ones.
#[derive(Clone)]
pub struct RealAgents {
    http: reqwest::Client,
}

impl RealAgents {
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = crate::http_client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(2))
            .build()?;
        Ok(Self { http })
    }

    async fn get(&self, url: String) -> Result<AgentStatus, String> {
        let mut body = Vec::new();
        let read = async {
            let mut answer = self.http.get(url).send().await?.error_for_status()?;
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > MOST_BYTES {
                    break;
                }
            }
            Ok(())
        };
        read.await.map_err(|error: reqwest::Error| root_cause(&error))?;
        if body.len() > MOST_BYTES {
            return Err(format!("its /status is larger than {MOST_BYTES} bytes"));
        }
        serde_json::from_slice(&body).map_err(|_| "its /status is not that of an agent".to_owned())
    }
}

impl Agents for RealAgents {
    fn status(&self, address: IpAddr) -> BoxFuture<'_, Result<AgentStatus, String>> {
        let host = match address {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        self.get(format!("http://{host}:{AGENT_PORT}/status")).boxed()
    }
}

/// All agents at once, in the order of the pods.
pub async fn ask(agents: &dyn Agents, pods: &[Pod]) -> Vec<AgentReport> {
    let reports = pods.iter().map(|pod| async move {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
        let status = match address.and_then(|ip| ip.parse().ok()) {
            Some(address) => match agents.status(address).await {
                // One lost packet is no news.
                Err(_) if is_ready(pod) => agents.status(address).await,
                other => other,
            },
            None => Err("it has no address yet".to_owned()),
        };
        let pod = pod.name_any();
        AgentReport { pod, status }
    });
    futures::future::join_all(reports).await
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
