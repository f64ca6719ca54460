//! The HTTP client to stores in the network: checksums of what is sent, and what is learnt from the answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::header::{AGE, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::OpenError;
use super::causes::with_causes;
use super::key::{is_accepted, signed_with};
use super::patience::{SILENCE, Watched, patience, silent};
use super::proxy::ProxyError;
use super::region;
use super::restraint::Restraint;
use super::settings::{ClientSettings, Pems};
use crate::clocks::Moment;
use crate::skew::{Estimator, Sample, Skew};

/// A `Date` has whole ones, ns.
const SECOND: i64 = 1_000_000_000;
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// A client that follows the files of its TLS settings.
struct Current {
    client: reqwest::Client,
    pems: Pems,
    checked: Instant,
}

struct Shared {
    settings: ClientSettings,
    current: Mutex<Current>,
    silence: Duration,
    restraint: Restraint,
    skew: Mutex<Estimator>,
    /// The access key that the store accepted last.
    key: Mutex<Option<String>>,
    /// Where the store says that the bucket is.
    region: Mutex<Option<String>>,
}

/// The client of a store, which is cheap to clone.
#[derive(Clone)]
pub(super) struct StoreClient(Arc<Shared>);

impl std::fmt::Debug for StoreClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreClient").field(&self.0.settings).finish()
    }
}

impl StoreClient {
    pub(super) fn new(settings: ClientSettings) -> Result<Self, OpenError> {
        Self::with_silence(settings, SILENCE)
    }

    /// The same with another limit for silence.
    fn with_silence(settings: ClientSettings, silence: Duration) -> Result<Self, OpenError> {
        let pems = settings.tls.read()?;
        let client = settings.build(&pems)?;
        let current = Mutex::new(Current {
            client,
            pems,
            checked: Instant::now(),
        });
        Ok(Self(Arc::new(Shared {
            settings,
            current,
            silence,
            restraint: Restraint::default(),
            skew: Mutex::default(),
            key: Mutex::default(),
            region: Mutex::default(),
        })))
    }

    /// A client with the certificates as they are now. Unreadable files keep the one before: half a renewal passes.
    fn client(&self) -> reqwest::Client {
        let Shared {
            settings, current, ..
        } = &*self.0;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interval) = settings.tls.watch
            && current.checked.elapsed() >= interval
        {
            current.checked = Instant::now();
            let renewed = settings.tls.read().and_then(|pems| {
                let changed = pems != current.pems;
                changed
                    .then(|| settings.build(&pems).map(|client| (client, pems)))
                    .transpose()
            });
            match renewed {
                Ok(Some((client, pems))) => {
                    (current.client, current.pems) = (client, pems);
                    tracing::info!("the certificates for the store changed and are used");
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the old certificates stay in use"),
            }
        }
        current.client.clone()
    }

    /// Sends one request.
    pub(super) async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.0.settings.content_md5 && request.method() == Method::PUT {
            let sum = md5_of(&request).await;
            let sum = HeaderValue::from_str(&BASE64_STANDARD.encode(sum));
            let sum = sum.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            request.headers_mut().insert(CONTENT_MD5, sum);
        }
        let silence = self.0.silence;
        let limit = patience(silence, request.body().content_length());
        self.0.restraint.wait().await;
        let asked = Moment::now();
        let key = signed_with(request.headers());
        let proxy = self.0.settings.proxies.before(&request);
        let answer = tokio::time::timeout(limit, self.client().call(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(silent(limit)));
        let answer = match proxy {
            Some(proxy) => through(proxy, answer)?,
            None => answer?,
        };
        self.0.restraint.learn(answer.status(), answer.headers());
        if let Some(region) = region::of_answer(&answer) {
            *self.0.region.lock().unwrap_or_else(PoisonError::into_inner) = Some(region);
        }
        self.learn_the_time(&answer, asked);
        if key.is_some() && is_accepted(answer.status()) {
            *self.0.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
        }
        Ok(answer.map(|body| Watched::body(body, silence)))
    }

    fn learn_the_time(&self, answer: &HttpResponse, asked: Moment) {
        let answered = Moment::now();
        // What a cache has kept is as old as it says, and what is out of order may be somebody before the store.
        let is_the_stores = !answer.headers().contains_key(AGE) && !answer.status().is_server_error();
        let Some(date) = date_of(answer.headers()).filter(|_| is_the_stores) else {
            return;
        };
        let mut skew = self.0.skew.lock().unwrap_or_else(PoisonError::into_inner);
        skew.observe(&Sample {
            time: date.saturating_mul(SECOND),
            grain: SECOND,
            asked,
            answered,
        });
    }

    /// The fingerprint of the key with which the last request was signed that the store accepted.
    pub(super) fn key(&self) -> Option<String> {
        let key = self.0.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.clone()
    }

    /// The region of the bucket, as the store has said it beside a refusal.
    pub(super) fn region(&self) -> Option<String> {
        let region = self.0.region.lock().unwrap_or_else(PoisonError::into_inner);
        region.clone()
    }

    /// How far the own clock is from the store's now; `None` before the first answer.
    pub(super) fn skew(&self) -> Option<Skew> {
        let skew = self.0.skew.lock().unwrap_or_else(PoisonError::into_inner);
        skew.at(Moment::now())
    }
}

/// An answer, unless it is the proxy that says or does not say something.
fn through(proxy: String, answer: Result<HttpResponse, HttpError>) -> Result<HttpResponse, HttpError> {
    match answer {
        Ok(answer) if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(HttpError::new(
            HttpErrorKind::Unknown,
            ProxyError::Unauthorized(proxy),
        )),
        Err(error) if error.kind() == HttpErrorKind::Connect => {
            let unauthorized = with_causes(&error).contains("proxy authorization required");
            let why = if unauthorized {
                ProxyError::Unauthorized(proxy)
            } else {
                ProxyError::Unreachable(proxy, error)
            };
            Err(HttpError::new(HttpErrorKind::Connect, why))
        }
        answer => answer,
    }
}

/// The time of an answer, seconds since the epoch.
fn date_of(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(date)
        .ok()?;
    Some(date.as_second())
}

async fn md5_of(request: &HttpRequest) -> [u8; 16] {
    // A body is a list of shared chunks: a copy of it costs nothing.
    let mut body = request.body().clone();
    let mut sum = Md5::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            sum.update(data);
        }
    }
    sum.finalize().into()
}

#[async_trait]
impl HttpService for StoreClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request).await
    }
}

impl HttpConnector for StoreClient {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    fn settings() -> ClientSettings {
        let _ = rustls::crypto::ring::default_provider().install_default();
        ClientSettings {
            connect_timeout: Duration::from_secs(5),
            client_timeout: Duration::from_secs(5),
            ..ClientSettings::default()
        }
    }

    #[tokio::test]
    async fn the_checksum_is_that_of_all_chunks() {
        let payload: object_store::PutPayload =
            [&b"hello "[..], b"world"].into_iter().map(bytes_of).collect();
        let request = HttpRequest::new(HttpRequestBody::from(payload));
        assert_eq!(
            BASE64_STANDARD.encode(md5_of(&request).await),
            "XrY7u+Ae7tCTyyK7j1rNww=="
        );
    }

    fn bytes_of(text: &'static [u8]) -> bytes::Bytes {
        bytes::Bytes::from_static(text)
    }

    #[test]
    fn the_date_of_an_answer_is_read_and_nonsense_is_none() {
        let of =
            |text: &'static str| date_of(&HeaderMap::from_iter([(DATE, HeaderValue::from_static(text))]));
        assert_eq!(of("Tue, 24 Nov 2026 09:00:00 GMT"), Some(1_795_510_800));
        assert_eq!(of("yesterday"), None);
        assert_eq!(date_of(&HeaderMap::new()), None);
    }

    /// A store that answers every request with the same bytes and then does nothing more.
    async fn store(answer: &'static [u8]) -> HttpRequest {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(answer).await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().unwrap();
        request
    }

    fn impatient() -> StoreClient {
        StoreClient::with_silence(settings(), Duration::from_millis(200)).unwrap()
    }

    #[tokio::test]
    async fn a_store_that_says_nothing_is_given_up_long_before_the_limit_of_a_transfer() {
        let error = impatient().send(store(b"").await).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
        assert!(error.to_string().contains("200ms"), "{error}");
        let half = store(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        let answer = impatient().send(half).await.unwrap();
        let error = answer.into_body().bytes().await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
    }

    #[tokio::test]
    async fn nobody_is_followed_elsewhere_and_the_region_that_is_named_there_is_known() {
        let client = impatient();
        let elsewhere = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n\
            x-amz-bucket-region: eu-west-1\r\nContent-Length: 0\r\n\r\n";
        let answer = client.send(store(elsewhere).await).await.unwrap();
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(client.region().as_deref(), Some("eu-west-1"));
    }

    #[tokio::test]
    async fn an_answer_tells_how_far_the_clocks_are_apart_unless_it_is_from_a_cache() {
        let client = impatient();
        let cached =
            b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2020 09:00:00 GMT\r\nAge: 9\r\nContent-Length: 0\r\n\r\n";
        client.send(store(cached).await).await.unwrap();
        assert_eq!(client.skew(), None);
        let refused =
            b"HTTP/1.1 403 Forbidden\r\nDate: Fri, 01 Jan 2100 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
        client.send(store(refused).await).await.unwrap();
        let skew = client.skew().unwrap();
        assert!(
            skew.ahead() < -1_000_000_000_000 && skew.uncertainty() < 5_000_000_000,
            "{skew}"
        );
    }
}
