//! The names and labels of everything that belongs to a `DnsCluster`. Selector labels are for ever: a `StatefulSet`
//! cannot change them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Who applies our fields, and the value of the label managed-by.
pub const MANAGER: &str = "zonetide-operator";
/// Label of the pod that takes API requests.
pub const API_LABEL: &str = "zonetide.dev/api";
/// Its value.
pub const API_ACTIVE: &str = "active";
/// On the pods: a change of what they read only once replaces them.
pub const CHECKSUM_ANNOTATION: &str = "zonetide.dev/config-checksum";

/// On servers' `StatefulSets` and on volumes' claims: the PowerDNS that the data are of. What releases before this one made has none.
pub const VERSION_ANNOTATION: &str = "zonetide.dev/powerdns-version";

/// On the pods, while servers take over new keys: the fingerprint of those.
pub const KEYS_ANNOTATION: &str = "zonetide.dev/keys";

/// On the pods, while servers of this cluster are retiring: which, as a fingerprint.
pub const RETIRED_ANNOTATION: &str = "zonetide.dev/retired";

/// On the pods of a managed store with three nodes: the Service leads to those that have it, since a node that lacks data would say
/// that there is none.
pub const STORE_LABEL: &str = "zonetide.dev/store";
/// Its value.
pub const STORE_OPEN: &str = "open";
/// On the same pods: whether the node holds every object that it should.
pub const STORE_FILLED_ANNOTATION: &str = "zonetide.dev/store-filled";
/// On the store's `StatefulSet`, once so many nodes hold the layout and all data.
pub const STORE_NODES_ANNOTATION: &str = "zonetide.dev/store-nodes";

/// On the volumes' claims: what Argo CD may do to them.
pub const ARGO_CD_ANNOTATION: &str = "argocd.argoproj.io/sync-options";
/// Its value: not delete them for not being in Git.
pub const ARGO_CD_KEEPS: &str = "Prune=false";

pub const NAME_LABEL: &str = "app.kubernetes.io/name";
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Keys in our Secrets.
pub const API_KEY: &str = "api-key";
pub const API_CONF: &str = "api.conf";
pub const ACCESS_KEY_ID: &str = "access-key-id";
pub const SECRET_ACCESS_KEY: &str = "secret-access-key";
pub const SESSION_TOKEN: &str = "session-token";
pub const PEERS_TOKEN: &str = "token";
pub const CA_CERTIFICATE: &str = "ca.crt";
pub const CA_KEY: &str = "ca.key";
pub const GARAGE_RPC_SECRET: &str = "rpc-secret";
pub const GARAGE_ADMIN_TOKEN: &str = "admin-token";
pub const MINIO_ROOT_USER: &str = "root-user";
pub const MINIO_ROOT_PASSWORD: &str = "root-password";

/// Key in our `ConfigMap` of retired instances.
pub const RETIRED_INSTANCES: &str = "instances";

/// Ports inside the pods.
pub const DNS_PORT: i32 = 5300;
pub const API_PORT: i32 = 8081;
pub const AGENT_PORT: i32 = 8500;
/// Where the kubelet asks how a server is.
pub const PROBES_PORT: i32 = 8501;
/// Where agents tell each other of changes, by TLS.
pub const PEERS_PORT: i32 = 8502;
pub const GARAGE_S3_PORT: i32 = 3900;
pub const GARAGE_RPC_PORT: i32 = 3901;
pub const GARAGE_ADMIN_PORT: i32 = 3903;
pub const MINIO_S3_PORT: i32 = 9000;
pub const MINIO_CONSOLE_PORT: i32 = 9001;

/// The parts of a cluster: servers, and one of the stores or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The PowerDNS servers.
    Dns,
    /// The managed Garage.
    Garage,
    /// The managed MinIO.
    Minio,
}

/// An instance as agents write it into names of objects and certificates.
pub fn stored(instance: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    instance.replace(|c| !plain(c), "-")
}

/// The names of one cluster's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub namespace: String,
    pub cluster: String,
}

impl Names {
    pub fn peers_service(&self) -> String {
        format!("{}-peers", self.cluster)
    }

    /// Where an agent finds the others. It is resolved with the search path, whatever the cluster's domain is.
    pub fn peers_address(&self) -> String {
        format!("{}.{}.svc:{PEERS_PORT}", self.peers_service(), self.namespace)
    }

    /// The Secret with the token that agents show each other.
    pub fn peers_secret(&self) -> String {
        format!("{}-peers", self.cluster)
    }

    /// The Secret with the agents' certificates and keys, and whose signatures they believe.
    pub fn peers_certificates(&self) -> String {
        format!("{}-peers-tls", self.cluster)
    }

    /// The Secret with who signs those, and the key for it. No pod has it.
    pub fn peers_authority(&self) -> String {
        format!("{}-peers-ca", self.cluster)
    }

    /// What who signs them is called.
    pub fn peers_authority_name(&self) -> String {
        format!("peers of {}/{}", self.namespace, self.cluster)
    }

    pub fn dns_service(&self) -> String {
        format!("{}-dns", self.cluster)
    }

    pub fn api_service(&self) -> String {
        format!("{}-api", self.cluster)
    }

    /// The `ConfigMap` with the files of this revision.
    pub fn config(&self, revision: &str) -> String {
        format!("{}{revision}", self.config_prefix())
    }

    /// What the names of all of them start with.
    pub fn config_prefix(&self) -> String {
        format!("{}-config-", self.cluster)
    }

    /// The `ConfigMap` with the instances that have been scaled away.
    pub fn retired(&self) -> String {
        format!("{}-retired", self.cluster)
    }

    pub fn api_key(&self) -> String {
        format!("{}-api-key", self.cluster)
    }

    pub fn object_store(&self) -> String {
        format!("{}-object-store", self.cluster)
    }

    pub fn garage(&self) -> String {
        format!("{}-garage", self.cluster)
    }

    /// The `ConfigMap` of a managed Garage with three nodes.
    pub fn garage_nodes(&self) -> String {
        format!("{}-garage-nodes", self.cluster)
    }

    /// The host of the managed Garage. It is resolved with the search path, whatever the cluster's domain is.
    pub fn garage_host(&self) -> String {
        format!("{}.{}.svc", self.garage(), self.namespace)
    }

    pub fn minio(&self) -> String {
        format!("{}-minio", self.cluster)
    }

    /// The host of the managed MinIO, resolved in the same way.
    pub fn minio_host(&self) -> String {
        format!("{}.{}.svc", self.minio(), self.namespace)
    }

    /// The Ingress that leads to this part of the managed store.
    pub fn ingress(&self, part: &str) -> String {
        format!("{}-{part}", self.cluster)
    }

    /// What selects the pods of a part.
    pub fn selector(&self, part: Part) -> BTreeMap<String, String> {
        let name = match part {
            Part::Dns => "zonetide-dns",
            Part::Garage => "zonetide-garage",
            Part::Minio => "zonetide-minio",
        };
        [(NAME_LABEL, name), (INSTANCE_LABEL, self.cluster.as_str())]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// The same as an object.
    pub fn label_selector(&self, part: Part) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector(part)),
            ..LabelSelector::default()
        }
    }

    /// The same as text, for list requests and `status.selector`.
    pub fn selector_text(&self, part: Part) -> String {
        let pairs: Vec<String> = self
            .selector(part)
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(",")
    }

    /// The labels of every object of a part.
    pub fn labels(&self, part: Part) -> BTreeMap<String, String> {
        let component = match part {
            Part::Dns => "dns",
            Part::Garage | Part::Minio => "object-store",
        };
        let mut labels = self.selector(part);
        labels.insert("app.kubernetes.io/component".to_owned(), component.to_owned());
        labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
        labels.insert("app.kubernetes.io/part-of".to_owned(), "zonetide".to_owned());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            namespace: "dns".into(),
            cluster: "example".into(),
        }
    }

    #[test]
    fn selector_labels_are_those_of_the_first_release() {
        assert_eq!(
            names().selector_text(Part::Dns),
            "app.kubernetes.io/instance=example,app.kubernetes.io/name=zonetide-dns"
        );
        assert_eq!(
            names().selector_text(Part::Garage),
            "app.kubernetes.io/instance=example,app.kubernetes.io/name=zonetide-garage"
        );
        assert_eq!(
            names().selector_text(Part::Minio),
            "app.kubernetes.io/instance=example,app.kubernetes.io/name=zonetide-minio"
        );
    }

    #[test]
    fn every_label_of_the_selector_is_a_label_of_the_objects() {
        for part in [Part::Dns, Part::Garage, Part::Minio] {
            let labels = names().labels(part);
            assert!(
                names()
                    .selector(part)
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
            );
        }
    }
}
