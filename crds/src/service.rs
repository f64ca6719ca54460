//! The Service that answers DNS.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service that answers DNS over UDP and TCP, `NAME-dns`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'").message(
        "spec.service.loadBalancerClass needs spec.service.type LoadBalancer: set the type or remove the class"
    ),
    validation = Rule::new("!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'").message(
        "spec.service.externalTrafficPolicy needs spec.service.type LoadBalancer or NodePort: set the type or remove the policy"
    ),
    validation = Rule::new("self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))").message(
        "spec.service.loadBalancerClass cannot change while the type is LoadBalancer: set spec.service.type to ClusterIP first"
    )
)]
pub struct ServiceSpec {
    /// How the Service is reached: from inside the cluster only, through a port of every node, or a load balancer.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,

    /// Port that DNS is answered on, UDP and TCP.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,

    /// Annotations of the Service, which load balancers are often configured by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,

    /// Which load balancer implementation to use, if the cluster has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,

    /// `Local` keeps the address of clients and answers only on nodes that run a server. Default: Kubernetes', `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,

    /// IPv4, IPv6 or both.
    #[serde(default)]
    pub ip_family_policy: IpFamilyPolicy,
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            type_: ServiceType::default(),
            port: default_port(),
            annotations: BTreeMap::new(),
            load_balancer_class: None,
            external_traffic_policy: None,
            ip_family_policy: IpFamilyPolicy::default(),
        }
    }
}

/// How a Service is reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

impl ServiceType {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Which nodes answer traffic from outside.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalTrafficPolicy {
    Cluster,
    Local,
}

impl ExternalTrafficPolicy {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// Which IP families a Service has.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpFamilyPolicy {
    SingleStack,
    #[default]
    PreferDualStack,
    RequireDualStack,
}

impl IpFamilyPolicy {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleStack => "SingleStack",
            Self::PreferDualStack => "PreferDualStack",
            Self::RequireDualStack => "RequireDualStack",
        }
    }
}

fn default_port() -> i32 {
    53
}
