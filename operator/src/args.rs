//! The command line. Every flag can be set in the environment too, which is what the chart does.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use zonetide_crds::ImagePullPolicy;

use crate::{
    objectstore::StoreProxy,
    secret::SecretText,
    settings::{ExposeDomain, ExposeSettings, PowerDnsImages, Settings},
};

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

    /// Image of PowerDNS 5.1 for clusters that name none; 5.1.4 or newer
    #[arg(
        long,
        env = "ZONETIDE_POWERDNS_51_IMAGE",
        default_value = "docker.io/powerdns/pdns-auth-51:5.1.5"
    )]
    pub powerdns_51_image: String,

    /// Image of PowerDNS 4.9 for clusters of that version that name none; 4.9.7 or newer
    #[arg(
        long,
        env = "ZONETIDE_POWERDNS_49_IMAGE",
        default_value = "docker.io/powerdns/pdns-auth-49:4.9.18"
    )]
    pub powerdns_49_image: String,

    /// Image of Garage for managed object stores that name none
    #[arg(
        long,
        env = "ZONETIDE_GARAGE_IMAGE",
        default_value = "docker.io/dxflrs/garage:v2.5.0"
    )]
    pub garage_image: String,

    /// URL of Cloudflare's API, for DnsClusters with keys by `credentials.r2`; their tokens are sent there
    #[arg(
        long,
        env = "ZONETIDE_CLOUDFLARE_API",
        default_value = "https://api.cloudflare.com/client/v4"
    )]
    pub cloudflare_api: String,

    /// Image of MinIO for managed object stores with that engine that name none; there is no public one any more
    #[arg(long, env = "ZONETIDE_MINIO_IMAGE", default_value = "")]
    pub minio_image: String,

    /// When to pull these images; without it Kubernetes decides by the tag
    #[arg(long, env = "ZONETIDE_IMAGE_PULL_POLICY", value_enum, ignore_case = true)]
    pub image_pull_policy: Option<PullPolicy>,

    /// Domains, separated by commas, in which DnsClusters may expose managed stores by Ingresses; `{namespace}` in one stands for
    /// the DnsCluster's namespace; without any there are no Ingresses
    #[arg(long, env = "ZONETIDE_EXPOSE_DOMAINS", value_delimiter = ',')]
    pub expose_domains: Vec<ExposeDomain>,

    /// Class of these Ingresses; without it the cluster's default class
    #[arg(long, env = "ZONETIDE_EXPOSE_INGRESS_CLASS")]
    pub expose_ingress_class: Option<String>,

    /// Annotations of these Ingresses, as a JSON object like {"cert-manager.io/cluster-issuer": "letsencrypt"}
    #[arg(long, env = "ZONETIDE_EXPOSE_ANNOTATIONS", value_name = "JSON", value_parser = annotations, default_value = "{}")]
    pub expose_annotations: Annotations,

    // It is looked at later: the error of a parser would show it.
    /// Proxy to object stores, STS and Cloudflare's API, as `http://user:password@host:port`; never used for the API server, for
    /// pods and for stores that the operator runs
    #[arg(
        long,
        env = "ZONETIDE_STORE_PROXY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub store_proxy: SecretText,

    /// Hosts that are reached without that proxy, separated by commas, as in `NO_PROXY`
    #[arg(long, env = "ZONETIDE_STORE_NO_PROXY", default_value = "")]
    pub store_no_proxy: String,

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

/// Annotations of Kubernetes. A type of its own, because several values of an argument are no map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(BTreeMap<String, String>);

fn annotations(text: &str) -> Result<Annotations, serde_json::Error> {
    serde_json::from_str(text).map(Annotations)
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
    pub fn settings(&self, ipv6_first: bool, kubelet_sleeps: bool) -> Settings {
        Settings {
            agent_image: self.agent_image.clone(),
            powerdns_images: PowerDnsImages {
                v5_1: self.powerdns_51_image.clone(),
                v4_9: self.powerdns_49_image.clone(),
            },
            garage_image: self.garage_image.clone(),
            cloudflare_api: self.cloudflare_api.clone(),
            minio_image: self.minio_image.clone(),
            image_pull_policy: self.image_pull_policy.map(|policy| match policy {
                PullPolicy::Always => ImagePullPolicy::Always,
                PullPolicy::IfNotPresent => ImagePullPolicy::IfNotPresent,
                PullPolicy::Never => ImagePullPolicy::Never,
            }),
            ipv6_first,
            kubelet_sleeps,
            expose: ExposeSettings {
                domains: self.expose_domains.clone(),
                ingress_class: self.expose_ingress_class.clone(),
                annotations: self.expose_annotations.0.clone(),
            },
            store_proxy: None,
        }
    }

    /// The proxy to stores.
    ///
    /// # Errors
    /// When what is named is no proxy.
    pub fn store_proxy(&self) -> anyhow::Result<Option<StoreProxy>> {
        let url = self.store_proxy.expose();
        if url.is_empty() {
            return Ok(None);
        }
        let proxy = StoreProxy::parse(url, &self.store_no_proxy);
        let proxy = proxy
            .context("ZONETIDE_STORE_PROXY names no proxy: write http://host:port or https://host:port")?;
        Ok(Some(proxy))
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
    fn what_ingresses_are_like_is_read_from_the_command_line() {
        let args = Args::parse_from([
            "zonetide-operator",
            "--expose-domains",
            "example.org,{namespace}.example.net",
            "--expose-annotations",
            r#"{"a/b": "c,d"}"#,
        ]);
        let expose = args.settings(false, true).expose;
        assert_eq!(expose.domains_of("dns"), ["example.org", "dns.example.net"]);
        assert_eq!(expose.annotations["a/b"], "c,d");
        assert_eq!(expose.ingress_class, None);
        let none = Args::parse_from(["zonetide-operator"])
            .settings(false, true)
            .expose;
        assert!(none.domains.is_empty() && none.annotations.is_empty());
    }

    #[test]
    fn a_proxy_with_a_password_is_read_and_never_shown() {
        let args = |proxy: &str| Args::parse_from(["zonetide-operator", "--store-proxy", proxy]);
        let right = args("http://tide:hush@proxy.test:3128");
        let proxy = right.store_proxy().unwrap().unwrap();
        assert_eq!(proxy.url().expose(), "http://tide:hush@proxy.test:3128");
        let wrong = args("ftp://tide:hush@proxy.test");
        let error = format!("{:?}", wrong.store_proxy().unwrap_err());
        assert!(error.contains("ZONETIDE_STORE_PROXY"), "{error}");
        assert!(!format!("{right:?} {wrong:?} {error}").contains("hush"));
        assert_eq!(args("").store_proxy().unwrap(), None);
    }

    #[test]
    fn pull_policies_are_the_words_of_kubernetes() {
        let args = Args::parse_from(["zonetide-operator", "--image-pull-policy", "IfNotPresent"]);
        assert_eq!(args.image_pull_policy, Some(PullPolicy::IfNotPresent));
    }
}
