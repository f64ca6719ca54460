//! What the person who installs the operator decides for all clusters.

use std::collections::BTreeMap;

use zonetide_crds::{ImagePullPolicy, PowerDnsVersion};

use crate::objectstore::StoreProxy;

/// Images and defaults for every `DnsCluster`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub agent_image: String,
    pub powerdns_images: PowerDnsImages,
    pub garage_image: String,
    /// Where Cloudflare's API is. Tokens of Cloudflare's go there and nowhere else.
    pub cloudflare_api: String,
    /// Empty where there is none.
    pub minio_image: String,
    /// None leaves it to Kubernetes.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Whether pods of this Kubernetes cluster have IPv6 addresses first, so that servers must listen there.
    pub ipv6_first: bool,
    /// Whether kubelets know the hook `sleep`, as from Kubernetes 1.30 on.
    pub kubelet_sleeps: bool,
    pub expose: ExposeSettings,
    /// On the way to stores that are none of the operator's own, where a `DnsCluster` says nothing else.
    pub store_proxy: Option<StoreProxy>,
}

impl Settings {
    /// The address that means all of the pod's, for programs that take a single one.
    pub fn any_address(&self) -> &'static str {
        if self.ipv6_first { "[::]" } else { "0.0.0.0" }
    }
}

/// PowerDNS for clusters that name no image, by version.
#[derive(Clone, Debug)]
pub struct PowerDnsImages {
    pub v5_1: String,
    pub v4_9: String,
}

impl PowerDnsImages {
    pub fn of(&self, version: PowerDnsVersion) -> &str {
        match version {
            PowerDnsVersion::V5_1 => &self.v5_1,
            PowerDnsVersion::V4_9 => &self.v4_9,
        }
    }
}

/// What Ingresses of managed stores are like.
#[derive(Clone, Debug, Default)]
pub struct ExposeSettings {
    /// Hosts must be one of these or below it. None: there are no Ingresses.
    pub domains: Vec<ExposeDomain>,
    /// None leaves it to Kubernetes.
    pub ingress_class: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

impl ExposeSettings {
    /// Whether a `DnsCluster` of this namespace may have that host.
    pub fn allows(&self, host: &str, namespace: &str) -> bool {
        self.domains_of(namespace).iter().any(|domain| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// The domains that are open to `DnsClusters` of this namespace.
    pub fn domains_of(&self, namespace: &str) -> Vec<String> {
        let domains = self.domains.iter();
        domains
            .map(|domain| domain.0.replace(NAMESPACE, namespace))
            .collect()
    }
}

/// In a domain: the namespace of the `DnsCluster`. A namespace's name has no dot, so that none can pass for another's domain.
const NAMESPACE: &str = "{namespace}";

/// A domain that hosts may be in, in which `{namespace}` may be a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposeDomain(String);

impl std::str::FromStr for ExposeDomain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let domain = text.trim().to_ascii_lowercase();
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            // Nothing beside it: `a-{namespace}` of one namespace may be `{namespace}` of another.
            label == NAMESPACE || (!label.is_empty() && label.len() <= 63 && label.bytes().all(plain))
        };
        if domain.split('.').all(label) {
            Ok(Self(domain))
        } else {
            Err("write a domain like example.org or {namespace}.example.org, without *".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(domains: &[&str]) -> ExposeSettings {
        ExposeSettings {
            domains: domains.iter().map(|domain| domain.parse().unwrap()).collect(),
            ..ExposeSettings::default()
        }
    }

    #[test]
    fn hosts_are_allowed_in_a_domain_and_at_it_and_not_beside_it() {
        let settings = settings(&["example.org", "s3.example.net"]);
        for host in [
            "example.org",
            "s3.example.org",
            "a.b.example.org",
            "s3.example.net",
        ] {
            assert!(settings.allows(host, "shore"), "{host}");
        }
        for host in [
            "badexample.org",
            "example.org.evil.test",
            "example.net",
            "console.example.net",
            "org",
        ] {
            assert!(!settings.allows(host, "shore"), "{host}");
        }
    }

    #[test]
    fn without_domains_no_host_is_allowed() {
        assert!(!settings(&[]).allows("s3.example.org", "shore"));
    }

    #[test]
    fn a_domain_of_namespaces_is_open_to_each_for_its_own_name_only() {
        let settings = settings(&["{namespace}.dns.example.org"]);
        assert!(settings.allows("s3.shore.dns.example.org", "shore"));
        for host in [
            "s3.beach.dns.example.org",
            "s3.dns.example.org",
            "s3.off-shore.dns.example.org",
            "s3.{namespace}.dns.example.org",
        ] {
            assert!(!settings.allows(host, "shore"), "{host}");
        }
    }

    #[test]
    fn domains_that_would_mean_more_than_they_seem_to_are_refused() {
        for wrong in [
            "",
            "*",
            "*.example.org",
            ".example.org",
            "example.org.",
            "a b",
            "a-{namespace}.example.org",
            "https://example.org",
        ] {
            assert!(wrong.parse::<ExposeDomain>().is_err(), "{wrong}");
        }
        assert_eq!(
            "Example.org".parse::<ExposeDomain>().unwrap(),
            "example.org".parse().unwrap()
        );
    }
}
