//! How a store in the network is reached: timeouts and TLS.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity};

use super::OpenError;
use super::causes::with_causes;
use super::proxy::Proxies;

/// How to reach a store.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    pub tls: TlsSettings,
    pub proxies: Proxies,
    pub idle_conn_timeout: Duration,
    pub max_idle_conns: usize,
    /// For the connection, TLS included.
    pub connect_timeout: Duration,
    pub dial_keep_alive: Duration,
    /// For one request, transfer included.
    pub client_timeout: Duration,
    /// Send `Content-MD5` with every object, so that the store refuses one that changed on the way.
    pub content_md5: bool,
}

/// TLS to a store; empty fields are not set.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// Certificates (PEM) that are believed instead of the system's; a file goes before its text.
    pub ca_file: PathBuf,
    pub ca: String,
    /// The system's are believed all the same.
    pub add_system_ca_pool: bool,
    /// The own certificate and key (PEM).
    pub cert_file: PathBuf,
    pub cert: String,
    pub key_file: PathBuf,
    pub key: String,
    /// Read the files again this often.
    pub watch: Option<Duration>,
    pub insecure_skip_verify: bool,
}

// The derived form would print the key.
impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSettings")
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .finish_non_exhaustive()
    }
}

/// Certificates and key as read.
#[derive(PartialEq, Eq)]
pub(super) struct Pems {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl TlsSettings {
    pub(super) fn read(&self) -> Result<Pems, OpenError> {
        let read = |option: &'static str, file: &PathBuf, text: &str| {
            if file.as_os_str().is_empty() {
                return Ok(text.as_bytes().to_vec());
            }
            std::fs::read(file).map_err(|error| {
                OpenError::Option(option, format!("cannot read {}: {error}", file.display()))
            })
        };
        Ok(Pems {
            ca: read("tls.ca_file", &self.ca_file, &self.ca)?,
            cert: read("tls.cert_file", &self.cert_file, &self.cert)?,
            key: read("tls.key_file", &self.key_file, &self.key)?,
        })
    }
}

impl ClientSettings {
    pub(super) fn build(&self, pems: &Pems) -> Result<reqwest::Client, OpenError> {
        let mut builder = reqwest::Client::builder()
            .timeout(self.client_timeout)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.idle_conn_timeout)
            .pool_max_idle_per_host(self.max_idle_conns)
            .tcp_keepalive(self.dial_keep_alive)
            .user_agent(concat!("zonetide-agent/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // Signatures are for one server, and whoever is sent elsewhere comes without.
            .redirect(Policy::none())
            .tls_danger_accept_invalid_certs(self.tls.insecure_skip_verify);
        if !pems.ca.is_empty() {
            let certificates = Certificate::from_pem_bundle(&pems.ca);
            let certificates = certificates.map_err(|error| tls_error("tls.ca_file", &error))?;
            if certificates.is_empty() {
                let reason = "has no certificate in PEM form".to_owned();
                return Err(OpenError::Option("tls.ca_file", reason));
            }
            builder = if self.tls.add_system_ca_pool {
                builder.tls_certs_merge(certificates)
            } else {
                builder.tls_certs_only(certificates)
            };
        }
        if !pems.cert.is_empty() {
            let both = [pems.key.as_slice(), b"\n", pems.cert.as_slice()].concat();
            let identity = Identity::from_pem(&both);
            builder = builder.identity(identity.map_err(|error| tls_error("tls.cert_file", &error))?);
        }
        let builder = self
            .proxies
            .of(builder)
            .map_err(|_| OpenError::Proxy("HTTP_PROXY"))?;
        builder.build().map_err(|error| tls_error("tls", &error))
    }
}

fn tls_error(option: &'static str, error: &(dyn std::error::Error + 'static)) -> OpenError {
    OpenError::Option(option, with_causes(error))
}

#[cfg(test)]
mod tests {
    use super::super::client::StoreClient;
    use super::*;

    #[test]
    fn certificates_that_are_none_are_named_by_their_option() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let error = |tls: TlsSettings| {
            let settings = ClientSettings {
                tls,
                ..ClientSettings::default()
            };
            StoreClient::new(settings).unwrap_err().to_string()
        };
        let none = error(TlsSettings {
            ca: "no certificate".to_owned(),
            ..TlsSettings::default()
        });
        assert!(none.contains("storage.options.tls.ca_file"), "{none}");
        let missing = error(TlsSettings {
            ca_file: "/nowhere/ca.pem".into(),
            ..TlsSettings::default()
        });
        assert!(missing.contains("/nowhere/ca.pem"), "{missing}");
    }
}
