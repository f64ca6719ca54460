//! Which server restores. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use zonetide_crds::DnsClusterStatus;

use crate::{
    names,
    reconcile::api_pod::{self, is_ready},
};

/// Servers that are asked one after the other, if the first do not answer.
const MOST: usize = 3;

/// A server that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) pod: String,
    pub(super) address: IpAddr,
    /// As names of objects have it.
    pub(super) instance: String,
}

/// Those that serve: the one that did it last first, then the one that takes API requests, so that whoever restores and whoever writes do
/// so in one place, then by name.
pub(super) fn servers(pods: &[Pod], status: &DnsClusterStatus, last: Option<&str>) -> Vec<Server> {
    let instances: BTreeMap<_, _> = status
        .instances
        .iter()
        .map(|server| (server.pod.as_str(), server.instance.as_str()))
        .collect();
    let active = api_pod::active(pods);
    let mut found: Vec<Server> = pods
        .iter()
        .filter(|pod| is_ready(pod))
        .filter_map(|pod| {
            let name = pod.name_any();
            let address = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
            let instance = names::stored(instances.get(name.as_str())?);
            Some(Server {
                pod: name,
                address,
                instance,
            })
        })
        .collect();
    found.sort_by_key(|server| {
        let is = |pod: Option<&str>| pod == Some(server.pod.as_str());
        (
            !is(last),
            !is(active.as_deref()),
            server.pod.len(),
            server.pod.clone(),
        )
    });
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: bool, label: Option<&str>) -> Pod {
        let labels = label.map(|value| json!({"zonetide.dev/api": value}));
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels},
            "status": {"podIP": "10.0.0.9", "conditions": [
                {"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
        .unwrap()
    }

    fn status(pods: &[&str]) -> DnsClusterStatus {
        let instances: Vec<_> = pods
            .iter()
            .map(|pod| json!({"pod": pod, "instance": format!("moon.shore-{pod}"), "ready": true}))
            .collect();
        serde_json::from_value(json!({"instances": instances})).unwrap()
    }

    #[test]
    fn the_one_that_did_it_last_comes_first_then_the_one_that_takes_api_requests() {
        let pods = [
            pod("tide-10", true, None),
            pod("tide-0", false, None),
            pod("tide-1", true, None),
            pod("tide-2", true, Some("active")),
            pod("tide-3", true, None),
            pod("stray", true, None),
        ];
        let known = status(&["tide-0", "tide-1", "tide-2", "tide-3", "tide-10"]);
        let names = |last| -> Vec<String> {
            let servers = servers(&pods, &known, last).into_iter();
            servers.map(|server| server.pod).collect()
        };
        assert_eq!(names(None), ["tide-2", "tide-1", "tide-3"]);
        assert_eq!(names(Some("tide-10")), ["tide-10", "tide-2", "tide-1"]);
        assert_eq!(names(Some("tide-0")), ["tide-2", "tide-1", "tide-3"]);
        let first = &servers(&pods, &known, None)[0];
        assert_eq!(first.instance, "moon-shore-tide-2");
        assert_eq!(servers(&pods, &status(&[]), None), []);
    }
}
