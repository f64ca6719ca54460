//! How the operator asks an agent: at the port where agents meet, by TLS 1.3, with a certificate that lets it do this and nothing else.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use reqwest::{Response, StatusCode, header::HeaderValue};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    version::TLS13,
};

use super::message::{Account, Order};
use crate::{
    error::root_cause,
    http_client,
    names::PEERS_PORT,
    peer_certificates::{self, Pair},
    secret::SecretText,
};

const PATH: &str = "/operator/v1/restores";
/// An answer may be a quarter of it. What listens in a pod may be anything.
const MOST_BYTES: usize = 512 << 10;
/// Of a refusal, characters.
const MOST_WORDS: usize = 200;

/// Where an agent is asked, and what it is shown.
#[derive(Clone, Debug)]
pub struct Door {
    pub address: IpAddr,
    pub port: u16,
    /// Who must answer, in the form in which names of objects have it.
    pub instance: String,
    /// Certificates of who is believed, as PEM.
    pub believed: String,
    pub own: Pair,
    pub token: SecretText,
}

impl Door {
    pub fn new(address: IpAddr, instance: String, believed: String, own: Pair, token: SecretText) -> Self {
        Self {
            address,
            port: u16::try_from(PEERS_PORT).unwrap_or_default(),
            instance,
            believed,
            own,
            token,
        }
    }
}

/// Why an agent does not do it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It does something else.
    Busy,
    /// It does not answer, or refuses.
    Away(String),
    /// It does not take the order for one.
    Unfit(String),
}

/// Has agents restore. Tests put their own in its place.
pub trait Restorers: Send + Sync {
    /// Begins a restore, unless it runs or is done already.
    fn order<'a>(&'a self, door: &'a Door, order: &'a Order) -> BoxFuture<'a, Result<Account, Denied>>;
    /// What came of it; none where the agent does not know it.
    fn account<'a>(&'a self, door: &'a Door, id: &'a str) -> BoxFuture<'a, Result<Option<Account>, Denied>>;
}

/// The real ones.
#[derive(Clone, Copy, Debug)]
pub struct RealRestorers;

impl Restorers for RealRestorers {
    fn order<'a>(&'a self, door: &'a Door, order: &'a Order) -> BoxFuture<'a, Result<Account, Denied>> {
        async move {
            let client = client(door)?;
            let request = client.post(url(door, PATH)).json(order);
            let answer = send(request, door).await?;
            match answer.status() {
                StatusCode::ACCEPTED => read(answer).await,
                _ => Err(refusal(answer).await),
            }
        }
        .boxed()
    }

    fn account<'a>(&'a self, door: &'a Door, id: &'a str) -> BoxFuture<'a, Result<Option<Account>, Denied>> {
        async move {
            let client = client(door)?;
            let request = client.get(url(door, &format!("{PATH}/{id}")));
            let answer = send(request, door).await?;
            match answer.status() {
                StatusCode::OK => read(answer).await.map(Some),
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(refusal(answer).await),
            }
        }
        .boxed()
    }
}

fn url(door: &Door, path: &str) -> String {
    let host = match door.address {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("https://{host}:{}{path}", door.port)
}

async fn send(request: reqwest::RequestBuilder, door: &Door) -> Result<Response, Denied> {
    let token = HeaderValue::from_str(&format!("Bearer {}", door.token.expose()));
    let mut token = token.map_err(|_| Denied::Away("the token of the servers is no text".to_owned()))?;
    token.set_sensitive(true);
    let request = request.header(reqwest::header::AUTHORIZATION, token);
    request
        .send()
        .await
        .map_err(|error| Denied::Away(root_cause(&error)))
}

async fn refusal(answer: Response) -> Denied {
    let status = answer.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Denied::Busy;
    }
    let text = bytes(answer).await.unwrap_or_default();
    let text: String = String::from_utf8_lossy(&text)
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MOST_WORDS)
        .collect();
    let text = format!("it refuses with {}: {text}", status.as_u16());
    if status == StatusCode::BAD_REQUEST {
        return Denied::Unfit(text);
    }
    Denied::Away(text)
}

async fn read(answer: Response) -> Result<Account, Denied> {
    let bytes = bytes(answer).await?;
    serde_json::from_slice(&bytes).map_err(|_| Denied::Away("its answer is not that of an agent".to_owned()))
}

async fn bytes(mut answer: Response) -> Result<Vec<u8>, Denied> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BYTES => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(Denied::Away(format!(
                    "its answer is larger than {MOST_BYTES} bytes"
                )));
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(Denied::Away(root_cause(&error))),
        }
    }
}

fn client(door: &Door) -> Result<reqwest::Client, Denied> {
    let tls = tls(door).map_err(Denied::Away)?;
    let client = http_client::builder()
        .https_only(true)
        .tls_backend_preconfigured(tls)
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(5))
        .build();
    client.map_err(|error| Denied::Away(root_cause(&error)))
}

fn tls(door: &Door) -> Result<ClientConfig, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the certificates cannot be used: {error}");
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(door.believed.as_bytes()) {
        let root = root.map_err(|error| wrong(&error))?;
        roots.add(root).map_err(|error| wrong(&error))?;
    }
    let provider = || -> Arc<CryptoProvider> { Arc::new(ring::default_provider()) };
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let inner = inner.map_err(|error| wrong(&error))?;
    let own = CertificateDer::from_pem_slice(door.own.certificate.as_bytes());
    let own = own.map_err(|error| wrong(&error))?;
    // What is in the key is never quoted.
    let key = PrivateKeyDer::from_pem_slice(door.own.key.expose().as_bytes());
    let key = key.map_err(|_| wrong(&"there is no key"))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneInstance {
            inner,
            instance: door.instance.clone(),
        }))
        .with_client_auth_cert(vec![own], key)
        .map_err(|error| wrong(&error))?;
    config.enable_sni = false;
    Ok(config)
}

/// Believes one instance, at whatever address: those of pods change.
#[derive(Debug)]
struct OneInstance {
    inner: Arc<WebPkiServerVerifier>,
    instance: String,
}

impl ServerCertVerifier for OneInstance {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: all else is right.
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        if peer_certificates::is_of_instance(end_entity, &self.instance) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!(
            "its certificate is not that of {}",
            self.instance
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
