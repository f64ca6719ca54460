//! `storage.options.tls`: how the store proves itself, and how the agent does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, Span, value_error};

/// TLS to the store.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
// They are go-tlsconfig's keys.
#[allow(clippy::struct_excessive_bools)]
pub struct Tls {
    /// Certificates (PEM) that are believed, instead of the system's.
    pub ca_file: PathBuf,
    pub ca: String,
    /// The system's are believed all the same.
    pub add_system_ca_pool: bool,
    /// The agent's own certificate (PEM), for stores that ask for one.
    pub cert_file: PathBuf,
    pub cert: String,
    pub key_file: PathBuf,
    pub key: Secret,
    /// Read the files again when they change.
    pub watch_certs: bool,
    pub watch_certs_poll_interval: Span,
    /// For servers only; no effect here.
    pub require_client_cert: bool,
    pub insecure_skip_verify: bool,
    /// Refused when set: whoever reads that file reads everything.
    pub insecure_key_log_file: PathBuf,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca_file: PathBuf::new(),
            ca: String::new(),
            add_system_ca_pool: false,
            cert_file: PathBuf::new(),
            cert: String::new(),
            key_file: PathBuf::new(),
            key: Secret::default(),
            watch_certs: false,
            watch_certs_poll_interval: Span::seconds(5),
            require_client_cert: false,
            insecure_skip_verify: false,
            insecure_key_log_file: PathBuf::new(),
        }
    }
}

impl Tls {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let key = |key: &str| format!("storage.options.tls.{key}");
        let has_cert = !self.cert.is_empty() || !self.cert_file.as_os_str().is_empty();
        let has_key = !self.key.is_empty() || !self.key_file.as_os_str().is_empty();
        match (has_cert, has_key) {
            (true, false) => return Err(value_error(key("key_file"), "is needed with a certificate")),
            (false, true) => return Err(value_error(key("cert_file"), "is needed with a key")),
            _ => {}
        }
        if !self.insecure_key_log_file.as_os_str().is_empty() {
            let reason = "is not supported, for it gives all traffic away: remove it";
            return Err(value_error(key("insecure_key_log_file"), reason));
        }
        Ok(())
    }
}
