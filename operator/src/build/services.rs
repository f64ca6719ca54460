//! The Services in front of the DNS servers.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata;
use crate::{
    names::{AGENT_PORT, API_ACTIVE, API_LABEL, API_PORT, PEERS_PORT, Part},
    reconcile::plan::Plan,
};

/// Headless: gives each pod its name, also before it is ready.
pub(super) fn peers(plan: &Plan) -> Service {
    Service {
        metadata: metadata(plan, Part::Dns, plan.names.peers_service()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(plan.names.selector(Part::Dns)),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![tcp("agent", AGENT_PORT), tcp("peers", PEERS_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// DNS, answered by every ready server.
pub(super) fn dns(plan: &Plan) -> Service {
    let spec = &plan.spec.service;
    let port = |name: &str, protocol: &str| ServicePort {
        name: Some(name.to_owned()),
        port: spec.port,
        protocol: Some(protocol.to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    let mut metadata = metadata(plan, Part::Dns, plan.names.dns_service());
    metadata.annotations = (!spec.annotations.is_empty()).then(|| spec.annotations.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(spec.type_.as_str().to_owned()),
            selector: Some(plan.names.selector(Part::Dns)),
            ports: Some(vec![port("dns", "UDP"), port("dns-tcp", "TCP")]),
            load_balancer_class: spec.load_balancer_class.clone(),
            external_traffic_policy: spec
                .external_traffic_policy
                .map(|policy| policy.as_str().to_owned()),
            ip_family_policy: Some(spec.ip_family_policy.as_str().to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// `PowerDNS`' API, answered by one server: who writes to one and reads from another would see its own change late.
pub(super) fn api(plan: &Plan) -> Service {
    let mut selector: BTreeMap<String, String> = plan.names.selector(Part::Dns);
    selector.insert(API_LABEL.to_owned(), API_ACTIVE.to_owned());
    Service {
        metadata: metadata(plan, Part::Dns, plan.names.api_service()),
        spec: Some(ServiceSpec {
            selector: Some(selector),
            ports: Some(vec![tcp("api", API_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// A port that has the same number outside, and the same name inside.
pub(super) fn tcp(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
