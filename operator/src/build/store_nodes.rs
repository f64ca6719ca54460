//! What a managed Garage with three nodes has that one with a single node has not.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{Container, Probe, TopologySpreadConstraint},
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    metadata,
    pod::{LAST_WORDS, container_security, mount, requests},
};
use crate::{
    names::{Names, Part, STORE_LABEL, STORE_NODES_ANNOTATION, STORE_OPEN},
    reconcile::plan::Plan,
};

/// How far a store with three nodes has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreStage {
    /// Two are made beside the single node, which serves.
    Joining,
    /// All are of three.
    Making,
    /// All three have held the layout and all entries once. Pods before the partition keep the template that they have.
    Grown { partition: i32 },
}

impl StoreStage {
    pub fn partition(self) -> i32 {
        match self {
            Self::Joining => 1,
            Self::Making => 0,
            Self::Grown { partition } => partition,
        }
    }

    fn is_grown(self) -> bool {
        matches!(self, Self::Grown { .. })
    }

    /// What else the Service looks for in a pod.
    pub(super) fn serves(self, names: &Names) -> (String, String) {
        let (label, value) = match self {
            Self::Joining => (
                "statefulset.kubernetes.io/pod-name",
                format!("{}-0", names.garage()),
            ),
            Self::Making | Self::Grown { .. } => (STORE_LABEL, STORE_OPEN.to_owned()),
        };
        (label.to_owned(), value)
    }
}

pub(super) fn annotations(stage: StoreStage) -> Option<BTreeMap<String, String>> {
    stage
        .is_grown()
        .then(|| [(STORE_NODES_ANNOTATION.to_owned(), "3".to_owned())].into())
}

/// A layout belongs to its replication factor, and Garage starts with no other. So that of one node is put aside: three make another,
/// in which the zones are the pods. What was stored does not depend on it.
const PUT_LAYOUT_ASIDE: &str = "set -eu
layout=/var/lib/garage/meta/cluster_layout
if [ -e $layout ] && ! grep -q -- \"$1\" $layout; then
  mv $layout $layout-of-one
  sync
fi";

/// Garage's image has no shell; the agent's has.
pub(super) fn fresh_layout(plan: &Plan) -> Container {
    let policy = plan.settings.image_pull_policy;
    let pods = format!("{}-", plan.names.garage());
    Container {
        name: "layout".to_owned(),
        image: Some(plan.settings.agent_image.clone()),
        image_pull_policy: policy.map(|policy| policy.as_str().to_owned()),
        command: Some(
            ["/bin/sh", "-c", PUT_LAYOUT_ASIDE, "layout", &pods]
                .map(str::to_owned)
                .into(),
        ),
        resources: Some(requests("10m", "16Mi")),
        security_context: Some(container_security()),
        termination_message_policy: Some(LAST_WORDS.to_owned()),
        volume_mounts: Some(vec![mount("data", "/var/lib/garage")]),
        ..Container::default()
    }
}

/// That it listens. Were a node ready only when it sees a quorum, a StatefulSet would not replace the second of two that do not run.
/// The delay is for the others to be found first.
pub(super) fn readiness(probe: Probe) -> Probe {
    Probe {
        initial_delay_seconds: Some(5),
        ..probe
    }
}

/// Apart from each other if possible: a cluster with fewer nodes may have such a store as well.
pub(super) fn spread(names: &Names) -> Vec<TopologySpreadConstraint> {
    ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(names.label_selector(Part::Garage)),
            ..TopologySpreadConstraint::default()
        })
        .into()
}

/// Not while it grows: a drain would wait for that.
pub(super) fn disruption_budget(plan: &Plan, stage: StoreStage) -> Option<PodDisruptionBudget> {
    stage.is_grown().then(|| PodDisruptionBudget {
        metadata: metadata(plan, Part::Garage, plan.names.garage()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(plan.names.label_selector(Part::Garage)),
            // One that does not run holds up no drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
