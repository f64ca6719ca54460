//! The command line. Every flag can be set in the environment too, which is what the chart does.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use zonetide_crds::ImagePullPolicy;

use crate::settings::Settings;

const EXAMPLE: &str = "\
Install it with the Helm chart: that brings the definition of DnsCluster, the permissions and the images together.
Then try:

  kubectl apply -f examples/dnscluster.yaml
  kubectl wait --for=condition=Ready dnscluster/example --timeout=5m
  kubectl describe dnscluster example";

/// Makes DNS clusters out of DnsCluster objects.
///
/// The operator watches objects of the kind DnsCluster (zonetide.dev/v1alpha1) and makes what they ask for: PowerDNS
/// servers that replicate through a bucket, their Services and Secrets, and on request the object store itself.
///
/// It finds the API server as kubectl does, or by its service account when it runs in a pod.
#[derive(Debug, Parser)]
#[command(name = "zonetide-operator", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Image of the agent, the container beside each PowerDNS that replicates
    #[arg(long, env = "ZONETIDE_AGENT_IMAGE", default_value = concat!("docker.io/zonetide/agent:", env!("CARGO_PKG_VERSION")))]
    pub agent_image: String,

    /// Image of PowerDNS for clusters that name none; version 4.8 or 4.9
    #[arg(
        long,
        env = "ZONETIDE_POWERDNS_IMAGE",
        default_value = "docker.io/powerdns/pdns-auth-49:4.9.18"
    )]
    pub powerdns_image: String,

    /// Image of Garage for managed object stores that name none
    #[arg(
        long,
        env = "ZONETIDE_GARAGE_IMAGE",
        default_value = "docker.io/dxflrs/garage:v2.5.0"
    )]
    pub garage_image: String,

    /// When to pull these images; without it Kubernetes decides by the tag
    #[arg(long, env = "ZONETIDE_IMAGE_PULL_POLICY", value_enum, ignore_case = true)]
    pub image_pull_policy: Option<PullPolicy>,

    /// Look after the clusters of this namespace only; without it of all namespaces
    #[arg(long, env = "ZONETIDE_NAMESPACE")]
    pub namespace: Option<String>,

    /// Namespace of the Lease that decides which operator works, when several run
    #[arg(long, env = "ZONETIDE_LEASE_NAMESPACE", default_value = "zonetide-system")]
    pub lease_namespace: String,

    /// Name of this operator in the Lease; without it the host's name
    #[arg(long, env = "ZONETIDE_POD_NAME")]
    pub identity: Option<String>,

    /// Where to serve /healthz, /readyz and /metrics
    #[arg(long, env = "ZONETIDE_HTTP_ADDRESS", default_value = "[::]:8080")]
    pub http_address: SocketAddr,

    /// How to write the log; what to write is set by the variable `RUST_LOG`, like `RUST_LOG=debug`
    #[arg(long, env = "ZONETIDE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How to write the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The pull policies of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl Args {
    /// What reconciles need of it.
    pub fn settings(&self, ipv6_first: bool) -> Settings {
        Settings {
            agent_image: self.agent_image.clone(),
            powerdns_image: self.powerdns_image.clone(),
            garage_image: self.garage_image.clone(),
            image_pull_policy: self.image_pull_policy.map(|policy| match policy {
                PullPolicy::Always => ImagePullPolicy::Always,
                PullPolicy::IfNotPresent => ImagePullPolicy::IfNotPresent,
                PullPolicy::Never => ImagePullPolicy::Never,
            }),
            ipv6_first,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn pull_policies_are_the_words_of_kubernetes() {
        let args = Args::parse_from(["zonetide-operator", "--image-pull-policy", "IfNotPresent"]);
        assert_eq!(args.image_pull_policy, Some(PullPolicy::IfNotPresent));
    }
}
