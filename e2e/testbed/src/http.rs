//! A plain HTTP/1.1 client over whatever carries bytes, one connection a request.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::net::Dialer;

const TIMEOUT: Duration = Duration::from_secs(15);
/// What requests name as their host unless they are told another, however their server is reached.
pub const HOST: &str = "localhost";

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot connect for {request}: {source}")]
    Connect { request: String, source: std::io::Error },
    #[error("no answer to {request} within {TIMEOUT:?}")]
    Timeout { request: String },
    #[error("{request} failed: {source}")]
    Transport { request: String, source: hyper::Error },
    #[error("cannot form {request}: {source}")]
    Form { request: String, source: http::Error },
    #[error("{request} was answered with {status}: {body}")]
    Status {
        request: String,
        status: StatusCode,
        body: String,
    },
    #[error("the answer to {request} is not what was expected: {source}")]
    Decode {
        request: String,
        source: serde_json::Error,
    },
}

impl HttpError {
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A server, and the headers every request to it carries. Headers may hold secrets: they are in no error.
#[derive(Clone)]
pub struct HttpClient {
    dialer: Dialer,
    host: String,
    headers: Vec<(&'static str, String)>,
}

impl HttpClient {
    pub fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            host: HOST.to_owned(),
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body of an answer with a status of 2xx.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, HttpError> {
        match body {
            None => self.send_bytes(method, path, Bytes::new()).await,
            Some(value) => {
                let json = self.clone().header("content-type", "application/json");
                json.send_bytes(method, path, value.to_string().into()).await
            }
        }
    }

    /// The same with a body of any type, which a header names.
    pub async fn send_bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, HttpError> {
        let request = format!("{method} {path}");
        match tokio::time::timeout(TIMEOUT, self.exchange(&request, method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout { request }),
        }
    }

    pub async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, HttpError> {
        let request = format!("{method} {path}");
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|source| HttpError::Decode { request, source })
    }

    pub async fn get_text(&self, path: &str) -> Result<String, HttpError> {
        Ok(String::from_utf8_lossy(&self.send(Method::GET, path, None).await?).into_owned())
    }

    async fn exchange(
        &self,
        request: &str,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<Bytes, HttpError> {
        let name = || request.to_owned();
        let transport = |source| HttpError::Transport {
            request: name(),
            source,
        };
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host);
        for (header, value) in &self.headers {
            builder = builder.header(*header, value);
        }
        let message = builder
            .body(Full::new(content))
            .map_err(|source| HttpError::Form {
                request: name(),
                source,
            })?;

        let stream = self.dialer.dial().await.map_err(|source| HttpError::Connect {
            request: name(),
            source,
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(transport)?;
        let connection = tokio::spawn(connection);
        let answer = async {
            let answer = sender.send_request(message).await.map_err(transport)?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(transport)?.to_bytes();
            if status.is_success() {
                Ok(body)
            } else {
                let body = String::from_utf8_lossy(&body).trim().to_owned();
                Err(HttpError::Status {
                    request: name(),
                    status,
                    body,
                })
            }
        }
        .await;
        connection.abort();
        answer
    }
}
