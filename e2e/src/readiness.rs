//! Reading a DnsCluster's conditions the way `kubectl wait` and Helm do.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use zonetide_crds::{ConditionType, DnsCluster};

pub fn conditions(cluster: &DnsCluster) -> &[Condition] {
    cluster.status.as_ref().map_or(&[], |status| &status.conditions)
}

pub fn condition(cluster: &DnsCluster, kind: ConditionType) -> Option<&Condition> {
    conditions(cluster)
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// `Ready=False (ServersNotReady): message; …`
pub fn summary(cluster: &DnsCluster) -> String {
    let texts: Vec<String> = conditions(cluster)
        .iter()
        .map(|condition| {
            format!(
                "{}={} ({}): {}",
                condition.type_, condition.status, condition.reason, condition.message
            )
        })
        .collect();
    if texts.is_empty() {
        "no conditions yet".to_owned()
    } else {
        texts.join("; ")
    }
}

/// `Ok` when the condition is `status` for the newest spec, not for one before.
pub fn expect(cluster: &DnsCluster, kind: ConditionType, status: &str) -> Result<Condition, String> {
    let generation = cluster.metadata.generation;
    match condition(cluster, kind) {
        Some(condition) if condition.status == status && condition.observed_generation == generation => {
            Ok(condition.clone())
        }
        _ => Err(format!("generation {generation:?}, {}", summary(cluster))),
    }
}

/// `Ok` when it is ready with all its replicas.
pub fn is_ready(cluster: &DnsCluster) -> Result<(), String> {
    expect(cluster, ConditionType::Ready, "True")?;
    let status = cluster.status.clone().unwrap_or_default();
    if status.observed_generation == cluster.metadata.generation
        && status.ready_replicas == cluster.spec.replicas
    {
        return Ok(());
    }
    Err(format!(
        "{} of {} ready, generation {:?} observed {:?}",
        status.ready_replicas, cluster.spec.replicas, cluster.metadata.generation, status.observed_generation
    ))
}
