//! Names of what the operator makes, which are part of its API: scripts of users rely on them.

pub const OPERATOR_NAMESPACE: &str = "zonetide-system";
pub const OPERATOR_DEPLOYMENT: &str = "zonetide-operator";

pub const POWERDNS_CONTAINER: &str = "powerdns";
pub const AGENT_CONTAINER: &str = "agent";
pub const DNS_PORT: u16 = 5300;
pub const API_PORT: u16 = 8081;
/// The agent's `/healthz`, `/readyz`, `/status` and `/metrics`.
pub const AGENT_PORT: u16 = 8500;
/// Where agents tell each other changes.
pub const PEERS_PORT: u16 = 8502;

/// Selects the DNS servers of a DnsCluster.
pub fn dns_pods(cluster: &str) -> String {
    format!("app.kubernetes.io/name=zonetide-dns,app.kubernetes.io/instance={cluster}")
}

pub fn dns_service(cluster: &str) -> String {
    format!("{cluster}-dns")
}

pub fn api_service(cluster: &str) -> String {
    format!("{cluster}-api")
}

pub fn api_key_secret(cluster: &str) -> String {
    format!("{cluster}-api-key")
}

/// The token that agents show each other.
pub fn peers_secret(cluster: &str) -> String {
    format!("{cluster}-peers")
}

/// The agents' certificates and their keys, and who is believed.
pub fn peers_certificates_secret(cluster: &str) -> String {
    format!("{cluster}-peers-tls")
}

/// The keys to the bucket of a managed store.
pub fn object_store_secret(cluster: &str) -> String {
    format!("{cluster}-object-store")
}

/// The StatefulSet of the managed Garage.
pub fn garage(cluster: &str) -> String {
    format!("{cluster}-garage")
}

pub fn data_claim(pod: &str) -> String {
    format!("data-{pod}")
}
