//! One DnsCluster in the cluster, and its servers one by one.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodStatus, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use zonetide_crds::DnsCluster;
use zonetide_testbed::http::HttpClient;
use zonetide_testbed::{DnsClient, PowerDnsApi};

use crate::forward::PodPort;
use crate::names;

const FIELD_MANAGER: &str = "zonetide-e2e";

#[derive(Clone)]
pub struct Handle {
    pub client: Client,
    pub namespace: String,
    pub name: String,
}

impl Handle {
    pub fn new(client: &Client, namespace: &str, name: &str) -> Self {
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub fn clusters(&self) -> Api<DnsCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `kubectl apply --server-side`.
    pub async fn apply(&self, manifest: &Value) -> Result<DnsCluster> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self
            .clusters()
            .patch(&self.name, &params, &Patch::Apply(manifest))
            .await;
        applied.with_context(|| format!("cannot apply DnsCluster {}/{}", self.namespace, self.name))
    }

    /// `kubectl patch --type merge`.
    pub async fn patch(&self, change: &Value) -> Result<DnsCluster> {
        Ok(self
            .clusters()
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(change))
            .await?)
    }

    pub async fn get(&self) -> Result<DnsCluster> {
        Ok(self.clusters().get(&self.name).await?)
    }

    /// With its children, as `kubectl delete` does.
    pub async fn delete(&self) -> Result<()> {
        self.clusters()
            .delete(&self.name, &DeleteParams::background())
            .await?;
        Ok(())
    }

    /// Its DNS servers, by number.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut pods = pods
            .list(&ListParams::default().labels(&names::dns_pods(&self.name)))
            .await?
            .items;
        pods.sort_by_key(|pod| (pod.name_any().len(), pod.name_any()));
        Ok(pods)
    }

    pub async fn pod_names(&self) -> Result<Vec<String>> {
        Ok(self.pods().await?.iter().map(ResourceExt::name_any).collect())
    }

    /// The pod that the operator has chosen for API requests.
    pub async fn api_pod(&self) -> Result<String> {
        let status = self.get().await?.status.unwrap_or_default();
        status
            .api_pod
            .with_context(|| format!("DnsCluster {} names no pod for the API", self.name))
    }

    /// Ends one pod as `kubectl delete` does.
    pub async fn delete_pod(&self, pod: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        pods.delete(pod, &DeleteParams::default()).await?;
        Ok(())
    }

    pub fn pod_name(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// UID of each of them, and how often its containers were restarted.
    pub async fn lives(&self) -> Result<Vec<(Option<String>, i32)>> {
        let pods = self.pods().await?;
        Ok(pods.iter().map(|pod| (pod.uid(), restarts(pod))).collect())
    }

    pub async fn secret_value(&self, secret: &str, key: &str) -> Result<String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let data = secrets.get(secret).await?.data.unwrap_or_default();
        let value = data
            .get(key)
            .with_context(|| format!("Secret {secret} has no key {key}"))?;
        Ok(String::from_utf8(value.0.clone())?)
    }

    /// The text of an Event about it of this type and reason, which is what `kubectl describe` shows.
    pub async fn told(&self, kind: &str, reason: &str) -> Result<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = ListParams::default().fields(&format!("involvedObject.name={},type={kind}", self.name));
        let events = events.list(&about).await?.items;
        let found = events
            .iter()
            .find(|event| event.reason.as_deref() == Some(reason));
        let reasons: Vec<_> = events.iter().filter_map(|event| event.reason.as_ref()).collect();
        let event = found.with_context(|| format!("no {kind} event {reason}, only {reasons:?}"))?;
        Ok(event.message.clone().unwrap_or_default())
    }

    /// Has the operator look at it now.
    pub async fn look_at_once(&self) -> Result<()> {
        let now = jiff::Timestamp::now().to_string();
        self.patch(&json!({"metadata": {"annotations": {"zonetide.dev/e2e-look": now}}}))
            .await?;
        Ok(())
    }

    /// PowerDNS' API of one server.
    pub async fn powerdns(&self, pod: &str) -> Result<PowerDnsApi> {
        let key = self
            .secret_value(&names::api_key_secret(&self.name), "api-key")
            .await?;
        let dialer = PodPort::dialer(&self.client, &self.namespace, pod, names::API_PORT);
        Ok(PowerDnsApi::new(dialer, &key))
    }

    /// DNS of one server, by TCP.
    pub fn dns(&self, pod: &str) -> DnsClient {
        DnsClient::stream(PodPort::dialer(
            &self.client,
            &self.namespace,
            pod,
            names::DNS_PORT,
        ))
    }

    pub fn http(&self, pod: &str, port: u16) -> HttpClient {
        HttpClient::new(PodPort::dialer(&self.client, &self.namespace, pod, port))
    }

    /// The pods that a Service sends requests to now, sorted.
    pub async fn pods_behind(&self, service: &str) -> Result<Vec<String>> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let mut pods: Vec<String> = slices
            .list(&of_service)
            .await?
            .items
            .into_iter()
            .flat_map(|slice| slice.endpoints)
            .filter(|endpoint| {
                endpoint
                    .conditions
                    .as_ref()
                    .and_then(|conditions| conditions.ready)
                    .unwrap_or(true)
            })
            .filter_map(|endpoint| endpoint.target_ref?.name)
            .collect();
        pods.sort();
        // A dual-stack Service has a slice for each family.
        pods.dedup();
        Ok(pods)
    }
}

fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let of = |containers: fn(&PodStatus) -> &Option<Vec<ContainerStatus>>| {
        status
            .and_then(|status| containers(status).as_ref())
            .into_iter()
            .flatten()
    };
    of(|status| &status.init_container_statuses)
        .chain(of(|status| &status.container_statuses))
        .map(|container| container.restart_count)
        .sum()
}

/// True when the pod's `Ready` condition is.
pub fn pod_is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
