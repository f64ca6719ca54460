//! What the operator was installed with.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};

use crate::names::{OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE};

/// The image for servers of 5.1 whose spec names none.
pub const POWERDNS_51_IMAGE: &str = "ZONETIDE_POWERDNS_51_IMAGE";
/// The images for stores whose spec names none.
pub const GARAGE_IMAGE: &str = "ZONETIDE_GARAGE_IMAGE";
pub const MINIO_IMAGE: &str = "ZONETIDE_MINIO_IMAGE";

/// A setting of the operator's, which it has from the chart.
pub async fn setting(client: &Client, variable: &str) -> Result<String> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let deployment = deployments.get(OPERATOR_DEPLOYMENT).await?;
    let pod = deployment.spec.and_then(|spec| spec.template.spec);
    let containers = pod.map(|pod| pod.containers).unwrap_or_default();
    let mut variables = containers
        .into_iter()
        .flat_map(|container| container.env.unwrap_or_default());
    let found = variables.find(|found| found.name == variable);
    found
        .and_then(|found| found.value)
        .with_context(|| format!("the operator's Deployment does not set {variable}"))
}
