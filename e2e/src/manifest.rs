//! The DnsClusters that tests apply.

use serde_json::{Value, json};

/// `examples/dnscluster.yaml` as users get it.
///
/// # Panics
/// When it is no YAML.
#[allow(clippy::expect_used)]
pub fn example() -> Value {
    serde_saphyr::from_str(include_str!("../../examples/dnscluster.yaml"))
        .expect("examples/dnscluster.yaml is YAML")
}

pub fn cluster(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "zonetide.dev/v1alpha1",
        "kind": "DnsCluster",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Servers with volumes and a managed store small enough for a test machine.
pub fn managed(replicas: i32) -> Value {
    json!({
        "replicas": replicas,
        "storage": {"size": "256Mi"},
        "objectStore": {"managed": {"storage": {"size": "256Mi"}}},
    })
}

/// Changes `target` as `kubectl patch --type merge` would: null removes.
pub fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        target.clone_from(change);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in change {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
