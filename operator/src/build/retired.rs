//! The list of the servers that were scaled away, which the agents read.

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata;
use crate::{
    names::{Part, RETIRED_INSTANCES},
    reconcile::plan::Plan,
};

/// Always there, also when it names nobody: pods mount it, and a file that changes is seen sooner than one that appears.
pub fn retired(plan: &Plan, instances: &[String]) -> ConfigMap {
    let mut lines = instances.join("\n");
    if !lines.is_empty() {
        lines.push('\n');
    }
    ConfigMap {
        metadata: metadata(plan, Part::Dns, plan.names.retired()),
        data: Some([(RETIRED_INSTANCES.to_owned(), lines)].into()),
        ..ConfigMap::default()
    }
}
