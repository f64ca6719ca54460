//! The Secrets of the agents' certificates: the authority's, which no pod has, and that of the servers.

use k8s_openapi::api::core::v1::Secret;

use super::secret;
use crate::{
    names::{self, Part},
    peer_certificates::{PeerCertificates, certificate_file, key_file},
    reconcile::plan::Plan,
    secret::SecretText,
};

/// In the order in which they are written: certificates of an authority that is not kept would all be made anew.
pub fn peer_certificates(plan: &Plan, certificates: &PeerCertificates) -> [Secret; 2] {
    let authority = &certificates.authority;
    let own = [
        (names::CA_CERTIFICATE, SecretText::new(&authority.certificate)),
        (names::CA_KEY, authority.key.clone()),
    ];
    let believed = SecretText::new(&certificates.believed);
    let of_servers = certificates.servers.iter().flat_map(|(pod, pair)| {
        [
            (certificate_file(pod), SecretText::new(&pair.certificate)),
            (key_file(pod), pair.key.clone()),
        ]
    });
    let shared = [(names::CA_CERTIFICATE.to_owned(), believed)]
        .into_iter()
        .chain(of_servers);
    [
        secret(plan, Part::Dns, plan.names.peers_authority(), own),
        secret(plan, Part::Dns, plan.names.peers_certificates(), shared),
    ]
}
