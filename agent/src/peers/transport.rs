//! How agents reach each other: over TLS 1.3, with a certificate of each, or over plain HTTP where there are none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::tls::TlsInfo;
use reqwest::{Certificate, Client, ClientBuilder, Response};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::identity::{AnyAddress, Identity};
use super::request::reason;
use super::{PeersError, Settings, lock};
use crate::report::OwnCertificate;

/// Idle connections last longer than the time between two hellos to anybody.
const IDLE: Duration = Duration::from_secs(60);

/// Where the certificates of an agent are (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The authorities that are believed.
    pub ca: PathBuf,
    /// The own certificate, with those between it and an authority.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// How others are reached, and who is let in.
pub(super) enum Transport {
    Plain(Client),
    Tls(Box<Tls>),
}

/// What the files say, and what was made of it.
pub(super) struct Tls {
    files: CertificateFiles,
    /// The instance, in the form that names of objects have it.
    own: String,
    settings: Settings,
    reading: Mutex<Reading>,
    /// What a listener goes by; `None`: there is no certificate that could be used yet.
    server: watch::Sender<Option<Arc<ServerConfig>>>,
}

struct Reading {
    content: Option<Content>,
    certificate: Option<OwnCertificate>,
    /// Why there is none, for people.
    client: Result<Client, String>,
    failing: Option<String>,
}

#[derive(PartialEq, Eq)]
struct Content {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Transport {
    /// # Errors
    /// Certificates of plain peers that cannot be used. Those of this agent are looked for again and again.
    pub(super) fn new(settings: &Settings, own: &str) -> Result<Self, PeersError> {
        let Some(files) = settings.certificates.clone() else {
            return Ok(Self::Plain(plain_client(settings)?));
        };
        let tls = Tls {
            files,
            own: own.to_owned(),
            settings: settings.clone(),
            reading: Mutex::new(Reading {
                content: None,
                certificate: None,
                client: Err("there is no certificate yet".to_owned()),
                failing: None,
            }),
            server: watch::Sender::new(None),
        };
        tls.renew();
        Ok(Self::Tls(Box::new(tls)))
    }

    /// # Errors
    /// Why nobody can be reached now.
    pub(super) fn client(&self) -> Result<Client, String> {
        match self {
            Self::Plain(client) => Ok(client.clone()),
            Self::Tls(tls) => lock(&tls.reading).client.clone(),
        }
    }

    /// What the addresses of peers begin with.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Self::Plain(_) => "http",
            Self::Tls(_) => "https",
        }
    }

    /// The certificate that is in use.
    pub(super) fn certificate(&self) -> Option<OwnCertificate> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => lock(&tls.reading).certificate.clone(),
        }
    }

    /// What a listener goes by; none where it is plain.
    pub(super) fn server(&self) -> Option<watch::Receiver<Option<Arc<ServerConfig>>>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls.server.subscribe()),
        }
    }

    /// Reads the files again.
    pub(super) fn renew(&self) {
        if let Self::Tls(tls) = self {
            tls.renew();
        }
    }
}

/// Who has answered, by its certificate; none where agents have none.
pub(super) fn answered_by(response: &Response) -> Option<Identity> {
    let tls = response.extensions().get::<TlsInfo>()?;
    Identity::of_agent(&tls.peer_certificate()?.into())
}

impl Tls {
    /// Files that cannot be used leave what was read before.
    fn renew(&self) {
        let read = self.files.read();
        let mut reading = lock(&self.reading);
        let made = read.and_then(|content| {
            if reading.content.as_ref() == Some(&content) {
                return Ok(None);
            }
            let (client, server) = self.files.configurations(&self.own, &content)?;
            let certificate = shown(&content.cert);
            let client = builder(&self.settings)
                .https_only(true)
                // With the handshake there are two more ways there and back.
                .connect_timeout(3 * self.settings.connect_timeout)
                .tls_info(true)
                .tls_backend_preconfigured(client)
                .build()
                .map_err(reason)?;
            Ok(Some((content, certificate, client, server)))
        });
        match made {
            Ok(Some((content, certificate, client, server))) => {
                reading.content = Some(content);
                reading.certificate = certificate;
                reading.client = Ok(client);
                reading.failing = None;
                drop(reading);
                self.server.send_replace(Some(Arc::new(server)));
                tracing::info!(file = %self.files.cert.display(), "the certificate for peers is used");
            }
            Ok(None) => reading.failing = None,
            Err(reason) => {
                if reading.failing.as_ref() != Some(&reason) {
                    let used = reading.client.is_ok();
                    tracing::warn!(
                        error = reason,
                        used,
                        "the certificate for peers cannot be read: the one before is used if there was one, or changes go through the store"
                    );
                }
                if let Err(before) = &mut reading.client {
                    before.clone_from(&reason);
                }
                reading.failing = Some(reason);
            }
        }
    }
}

impl CertificateFiles {
    fn read(&self) -> Result<Content, String> {
        let read = |option: &str, path: &Path| {
            std::fs::read(path)
                .map_err(|error| format!("peers.tls.{option}: cannot read {}: {error}", path.display()))
        };
        Ok(Content {
            ca: read("ca_file", &self.ca)?,
            cert: read("cert_file", &self.cert)?,
            key: read("key_file", &self.key)?,
        })
    }

    /// Both ends, by what is in the files. What is in the key's is never quoted.
    fn configurations(&self, own: &str, content: &Content) -> Result<(ClientConfig, ServerConfig), String> {
        let mut roots = RootCertStore::empty();
        for root in certificates("ca_file", &self.ca, &content.ca)? {
            roots
                .add(root)
                .map_err(|error| format!("peers.tls.ca_file {}: {error}", self.ca.display()))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates("cert_file", &self.cert, &content.cert)?;
        let named = chain.first().and_then(Identity::of_agent);
        if named.as_ref().is_none_or(|named| named.instance != own) {
            let found = named.map_or_else(
                || "names no instance, or more than one".to_owned(),
                |named| format!("is of {}", named.instance),
            );
            return Err(format!(
                "peers.tls.cert_file {}: it {found}: this agent needs a certificate with exactly one such URI among its names, \
                 urn:zonetide:instance:{own}, or urn:zonetide:receiver:{own} if it is only to receive",
                self.cert.display()
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|_| {
            format!(
                "peers.tls.key_file {}: it has no key in PEM form",
                self.key.display()
            )
        })?;
        let wrong = |error: rustls::Error| format!("peers.tls {}: {error}", self.cert.display());
        let provider = || -> Arc<CryptoProvider> { Arc::new(ring::default_provider()) };
        let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|error| format!("peers.tls.ca_file {}: {error}", self.ca.display()))?;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(wrong)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyAddress(servers)))
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(wrong)?;
        client.enable_sni = false;
        // Each connection shows who is at both ends, as of now.
        client.resumption = Resumption::disabled();
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| format!("peers.tls.ca_file {}: {error}", self.ca.display()))?;
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(wrong)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(wrong)?;
        server.send_tls13_tickets = 0;
        Ok((client, server))
    }
}

/// What is shown of the first of these certificates.
fn shown(pem: &[u8]) -> Option<OwnCertificate> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    let digest = Sha256::digest(&certificate);
    let fingerprint = digest.iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Some(OwnCertificate {
        fingerprint,
        expires: parsed.validity().not_after.timestamp(),
    })
}

fn certificates(option: &str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| {
        format!(
            "peers.tls.{option} {}: it has no certificate in PEM form",
            path.display()
        )
    })
}

fn builder(settings: &Settings) -> ClientBuilder {
    Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE)
        .user_agent(concat!("zonetide-agent/", env!("CARGO_PKG_VERSION")))
}

/// Reaches peers over HTTP, and those of the list that are behind somebody else's TLS.
fn plain_client(settings: &Settings) -> Result<Client, PeersError> {
    let mut builder = builder(settings);
    let tls_error = |error: reqwest::Error| PeersError::Tls {
        option: "tls",
        reason: reason(error),
    };
    if !settings.ca.is_empty() {
        let certificates = Certificate::from_pem_bundle(&settings.ca).map_err(tls_error)?;
        if certificates.is_empty() {
            let reason = "has no certificate in PEM form".to_owned();
            return Err(PeersError::Tls {
                option: "tls.ca_file",
                reason,
            });
        }
        builder = builder.tls_certs_only(certificates);
    } else if settings.list.iter().all(|peer| peer.starts_with("http://")) {
        // The system's certificates are many, and nobody is to believe them.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(tls_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_leave_what_was_read_before_and_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            ca: dir.path().join("ca"),
            cert: dir.path().join("cert"),
            key: dir.path().join("key"),
        };
        let mut settings = Settings::new();
        settings.certificates = Some(files.clone());
        let transport = Transport::new(&settings, "a").unwrap();
        let why = || transport.client().err().unwrap_or_default();
        assert!(why().contains("ca_file: cannot read"), "{}", why());
        let certified = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::default();
            params.subject_alt_names = vec![rcgen::SanType::URI(name.try_into().unwrap())];
            let certificate = params.self_signed(&key).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let (certificate, key) = certified("urn:zonetide:instance:a");
        let (nameless, _) = certified("https://a.example.org");
        let (others, _) = certified("urn:zonetide:instance:b");
        let (_, another) = certified("urn:zonetide:instance:a");
        std::fs::write(&files.ca, &certificate).unwrap();
        for (cert, key, part) in [
            ("x", &key, "cert_file"),
            (&nameless, &key, "names no instance"),
            (&others, &key, "is of b: this agent needs"),
            (&certificate, &"hush".to_owned(), "key_file"),
            (&certificate, &another, "peers.tls"),
        ] {
            std::fs::write(&files.cert, cert).unwrap();
            std::fs::write(&files.key, key).unwrap();
            transport.renew();
            assert!(
                why().contains(part) && !why().contains("hush"),
                "{part}: {}",
                why()
            );
            assert!(transport.server().unwrap().borrow().is_none());
        }
        std::fs::write(&files.key, &key).unwrap();
        transport.renew();
        assert_eq!(why(), "");
        let mut server = transport.server().unwrap();
        assert!(server.borrow_and_update().is_some());
        let shown = transport.certificate().unwrap();
        assert_eq!(shown.fingerprint.len(), 12);
        // As rcgen makes it unless it is told otherwise.
        assert_eq!(shown.expires, 67_090_118_400);
        for broken in [&files.cert, &files.key, &files.ca] {
            let before = std::fs::read(broken).unwrap();
            std::fs::write(broken, "broken").unwrap();
            transport.renew();
            std::fs::write(broken, before).unwrap();
        }
        transport.renew();
        assert_eq!(why(), "");
        assert!(!server.has_changed().unwrap());
    }
}
