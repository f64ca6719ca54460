//! Reading a DnsCluster's conditions the way `kubectl wait`, Helm and Flux do.

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

/// Whether kstatus, by which Flux waits, takes it for done ("Current"): its rules for a kind that it does not know.
pub fn is_current(cluster: &DnsCluster) -> bool {
    if cluster.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let observed = cluster
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    if observed.is_some() && observed != cluster.metadata.generation {
        return false;
    }
    // One without the condition is done: there is nothing that it could be waited for.
    condition(cluster, ConditionType::Ready).is_none_or(|ready| ready.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster(status: &Value) -> DnsCluster {
        let object = json!({
            "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsCluster", "metadata": {"name": "dns", "generation": 2},
            "spec": {"objectStore": {"managed": {}}}, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn ready(observed: i64, value: &str) -> DnsCluster {
        cluster(
            &json!({"observedGeneration": observed, "conditions": [{"type": "Ready", "status": value,
            "reason": "R", "message": "", "lastTransitionTime": "2026-11-28T00:00:00Z"}]}),
        )
    }

    #[test]
    fn kstatus_takes_an_object_without_a_status_for_done_and_one_of_another_generation_not() {
        assert!(is_current(&cluster(&Value::Null)));
        assert!(!is_current(&cluster(&json!({"observedGeneration": -1}))));
        assert!(!is_current(&ready(1, "True")));
        assert!(!is_current(&ready(2, "False")));
        assert!(is_current(&ready(2, "True")));
    }
}
