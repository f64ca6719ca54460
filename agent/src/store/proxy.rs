//! The proxy before a store, as the environment names it: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`. Peers are never asked through one.

use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use object_store::client::{HttpError, HttpRequest};
use reqwest::{ClientBuilder, NoProxy, Proxy, Url};

use super::OpenError;

/// What is never behind a proxy: the machine itself, as in Go's programs, and what a cloud has beside each machine.
const NEAR: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32,metadata.google.internal";

/// The proxies to a store. Their URLs may have a password in them.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http://` and for `https://` endpoints.
    http: Option<Url>,
    https: Option<Url>,
    /// The hosts that are reached without.
    except: String,
}

// The derived form would print passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

/// Why a request did not come through a proxy, which is named without its password.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("no way through the proxy {0} that HTTP_PROXY or HTTPS_PROXY names ({1})")]
    Unreachable(String, #[source] HttpError),
    #[error(
        "the proxy {0} that HTTP_PROXY or HTTPS_PROXY names wants another user and password: write them there, as \
         http://user:password@host:port"
    )]
    Unauthorized(String),
}

impl Proxies {
    /// Those that the environment names. Of each variable that in capitals goes first.
    ///
    /// # Errors
    /// [`OpenError`] when one is no proxy.
    pub fn from_environment(environment: impl Fn(&str) -> Option<String>) -> Result<Self, OpenError> {
        let variable = |name: &str| environment(name).or_else(|| environment(&name.to_ascii_lowercase()));
        let proxy = |name: &'static str| {
            let Some(text) = variable(name) else {
                return Ok(None);
            };
            let with_scheme = if text.contains("://") {
                text
            } else {
                format!("http://{text}")
            };
            let url = Url::parse(&with_scheme).ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            url.map(Some).ok_or(OpenError::Proxy(name))
        };
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            except: format!("{NEAR},{}", variable("NO_PROXY").unwrap_or_default()),
        })
    }

    /// A client that uses them, and none that the environment may name besides.
    pub(super) fn of(&self, mut builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        builder = builder.no_proxy();
        let except = NoProxy::from_string(&self.except);
        if let Some(url) = &self.http {
            builder = builder.proxy(Proxy::http(url.as_str())?.no_proxy(except.clone()));
        }
        if let Some(url) = &self.https {
            builder = builder.proxy(Proxy::https(url.as_str())?.no_proxy(except));
        }
        Ok(builder)
    }

    /// The proxy on the way of a request, without its password.
    pub(super) fn before(&self, request: &HttpRequest) -> Option<String> {
        if self.http.is_none() && self.https.is_none() {
            return None;
        }
        let text = |url: &Option<Url>| url.as_ref().map_or(String::new(), ToString::to_string);
        let matcher = Matcher::builder()
            .http(text(&self.http))
            .https(text(&self.https))
            .no(self.except.clone())
            .build();
        let proxy = matcher.intercept(request.uri())?;
        Some(proxy.uri().to_string().trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, OpenError> {
        Proxies::from_environment(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_scheme_has_its_proxy_and_what_is_near_or_named_has_none() {
        let proxies = proxies(&[
            ("http_proxy", "plain.test:3128"),
            ("HTTPS_PROXY", "https://tide:hush@safe.test"),
            ("https_proxy", "http://not.this.test"),
            ("NO_PROXY", "in.test, 10.0.0.0/8"),
        ])
        .unwrap();
        for (url, proxy) in [
            ("http://s3.test/b", Some("http://plain.test:3128")),
            ("https://s3.test/b", Some("https://safe.test")),
            ("https://s3.in.test/b", None),
            ("http://10.1.2.3:9000/b", None),
            ("http://localhost:9000/b", None),
            ("http://127.0.0.1:9000/b", None),
            ("http://[::1]:9000/b", None),
            ("http://169.254.170.23/v1/credentials", None),
            ("http://metadata.google.internal/token", None),
        ] {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.uri_mut() = url.parse().unwrap();
            assert_eq!(proxies.before(&request).as_deref(), proxy, "{url}");
        }
        assert!(!format!("{proxies:?}").contains("hush"));
    }

    #[test]
    fn what_is_no_proxy_is_named_by_its_variable_and_not_shown() {
        for wrong in ["socks5://tide:hush@s.test", "http://", "ht tp://tide:hush@s.test"] {
            let error = proxies(&[("HTTPS_PROXY", wrong)]).unwrap_err().to_string();
            assert!(
                error.starts_with("HTTPS_PROXY") && !error.contains("hush"),
                "{error}"
            );
        }
    }
}
