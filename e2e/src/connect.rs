//! Which cluster: the one that is named on purpose, never the one a person happens to be logged in to.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::names::{OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE};

pub const KUBECONFIG: &str = "ZONETIDE_E2E_KUBECONFIG";

/// A client for the cluster of `$ZONETIDE_E2E_KUBECONFIG`.
pub async fn client() -> Result<Client> {
    let path = kubeconfig()?;
    let config = Kubeconfig::read_from(&path)
        .with_context(|| format!("cannot read the kubeconfig {path} that {KUBECONFIG} names"))?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    client.apiserver_version().await.with_context(|| {
        format!("the cluster of {path} does not answer: is it up? `make cluster-up` starts it")
    })?;
    Ok(client)
}

/// Its path, for the commands that the demo shows.
pub fn kubeconfig() -> Result<String> {
    let path = std::env::var(KUBECONFIG).unwrap_or_default();
    ensure!(
        !path.is_empty(),
        "{KUBECONFIG} is not set: run this through `make e2e` or `make demo`, or set it to the kubeconfig of a cluster \
         for tests. KUBECONFIG is not used on purpose, since it may name a cluster that matters"
    );
    Ok(path)
}

/// Fails with the remedy unless the operator runs in the cluster.
pub async fn require_operator(client: &Client) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let remedy = "install the chart first: `make demo` and `make e2e` do";
    let deployment = deployments.get(OPERATOR_DEPLOYMENT).await.with_context(|| {
        format!("there is no Deployment {OPERATOR_DEPLOYMENT} in namespace {OPERATOR_NAMESPACE}: {remedy}")
    })?;
    let available = deployment
        .status
        .and_then(|status| status.available_replicas)
        .unwrap_or(0);
    ensure!(
        available > 0,
        "the operator is installed but none of its pods is available: {remedy}"
    );
    Ok(())
}
