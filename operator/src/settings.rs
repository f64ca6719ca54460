//! What the person who installs the operator decides for all clusters.

use zonetide_crds::ImagePullPolicy;

/// Images and defaults for every `DnsCluster`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub agent_image: String,
    pub powerdns_image: String,
    pub garage_image: String,
    /// None leaves it to Kubernetes.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Whether pods of this Kubernetes cluster have IPv6 addresses first, so that servers must listen there.
    pub ipv6_first: bool,
}

impl Settings {
    /// The address that means all of the pod's, for programs that take a single one.
    pub fn any_address(&self) -> &'static str {
        if self.ipv6_first { "[::]" } else { "0.0.0.0" }
    }
}
