//! The certificates by which the agents of a `DnsCluster` know each other, and the authority that signs them. What is good stays as
//! it is, byte for byte; the rest is made anew. Pure, but for the randomness of new keys.

mod authority;
mod pem;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use self::authority::Authority;
pub use self::authority::IssueError;
use crate::{names, secret::SecretText};

/// How many authorities are believed at once, the present one among them.
const MOST_BELIEVED: usize = 3;
const CERTIFICATE_END: &str = ".crt";
const KEY_END: &str = ".key";

/// Who needs a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub pod: String,
    /// Its name in the bucket, in the form in which names of objects have it.
    pub instance: String,
}

/// A certificate and its private key (PKCS#8), both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub certificate: String,
    pub key: SecretText,
}

/// What is in the two Secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificates {
    /// Who signs. Its key is in a Secret that no pod has.
    pub authority: Pair,
    /// The certificates of those who are believed, as PEM, the present authority's first.
    pub believed: String,
    /// By the names of the pods.
    pub servers: BTreeMap<String, Pair>,
}

impl PeerCertificates {
    /// What is there, whatever it is good for. Without Secrets, and for what is no text, it is empty.
    pub fn read(authority: Option<&Secret>, servers: Option<&Secret>) -> Self {
        let data = servers.and_then(|secret| secret.data.as_ref());
        let pods = data.into_iter().flat_map(BTreeMap::keys);
        let pods = pods.filter(|name| *name != names::CA_CERTIFICATE);
        let pods = pods.filter_map(|name| name.strip_suffix(CERTIFICATE_END));
        let pair_of = |pod: &str| Pair {
            certificate: text(servers, &certificate_file(pod)),
            key: SecretText::new(text(servers, &key_file(pod))),
        };
        Self {
            authority: Pair {
                certificate: text(authority, names::CA_CERTIFICATE),
                key: SecretText::new(text(authority, names::CA_KEY)),
            },
            believed: text(servers, names::CA_CERTIFICATE),
            servers: pods.map(|pod| (pod.to_owned(), pair_of(pod))).collect(),
        }
    }

    /// The same with what is missing, will end soon or is not as it should be made anew, for these servers and no others. `name` is
    /// what the authority is called.
    ///
    /// # Errors
    /// When a key or certificate cannot be made.
    pub fn renewed(&self, name: &str, servers: &[Server], now: Timestamp) -> Result<Self, IssueError> {
        let authority = match Authority::kept(&self.authority, name, now) {
            Some(authority) => authority,
            None => Authority::made(name, now)?,
        };
        let mut pairs = BTreeMap::new();
        for server in servers {
            let kept = self.servers.get(&server.pod).cloned();
            let pair = match kept.filter(|pair| authority.vouches_for(pair, &server.instance, now)) {
                Some(pair) => pair,
                None => authority.issue(server, now)?,
            };
            pairs.insert(server.pod.clone(), pair);
        }
        Ok(Self {
            believed: believed(authority.pair(), &self.believed, now),
            authority: authority.pair().clone(),
            servers: pairs,
        })
    }

    /// A certificate by which agents let the operator order restores. None where there is no authority that is good; one is made with
    /// the servers' certificates.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn for_operator(&self, name: &str, now: Timestamp) -> Result<Option<Pair>, IssueError> {
        let authority = Authority::kept(&self.authority, name, now);
        authority
            .map(|authority| authority.issue_to_operator(now))
            .transpose()
    }

    /// The pods whose certificate is another than before.
    pub fn changed<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        self.servers
            .iter()
            .filter(|(pod, pair)| before.servers.get(*pod) != Some(pair))
            .map(|(pod, _)| pod.as_str())
    }
}

/// Whether a certificate (DER) is that of this instance and nobody else. Whether it is to be believed is not looked at.
pub fn is_of_instance(der: &[u8], instance: &str) -> bool {
    authority::is_of_instance(der, instance)
}

/// The key of a pod's certificate in the Secret, and the name of the file that its agent reads.
pub fn certificate_file(pod: &str) -> String {
    format!("{pod}{CERTIFICATE_END}")
}

/// The same of its private key.
pub fn key_file(pod: &str) -> String {
    format!("{pod}{KEY_END}")
}

/// The present authority, and those before it that are good for some time yet: its certificates are on their way to the pods while
/// some have only those of the authority before.
fn believed(present: &Pair, before: &str, now: Timestamp) -> String {
    let present = pem::certificates(&present.certificate).take(1);
    let mut known: Vec<Vec<u8>> = Vec::new();
    let mut bundle = String::new();
    for block in present.chain(pem::certificates(before)) {
        let Some(der) = pem::certificate(block) else {
            continue;
        };
        if known.len() < MOST_BELIEVED && !known.contains(&der) && authority::is_one(&der, now) {
            bundle.push_str(block);
            bundle.push('\n');
            known.push(der);
        }
    }
    bundle
}

fn text(secret: Option<&Secret>, key: &str) -> String {
    let bytes = secret.and_then(|secret| secret.data.as_ref()?.get(key));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests;
