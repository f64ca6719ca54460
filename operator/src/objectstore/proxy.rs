//! The proxy on the way to a store, and to who makes keys to it. It is named to the clients that use it and never in the
//! operator's environment, where the client of the API server might find it too.

use aws_smithy_http_client::proxy::ProxyConfig;
use hyper_util::client::proxy::matcher::Matcher;

use super::StoreError;
use crate::secret::SecretText;

/// A proxy whose URL may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreProxy {
    url: SecretText,
    /// Hosts that are reached without it, as in `NO_PROXY`.
    except: String,
}

impl StoreProxy {
    /// None where the text names no proxy.
    pub fn parse(url: &str, except: &str) -> Option<Self> {
        let url = reqwest::Url::parse(url).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| Self {
            url: SecretText::new(url.as_str().trim_end_matches('/')),
            except: except.to_owned(),
        })
    }

    pub fn url(&self) -> &SecretText {
        &self.url
    }

    pub fn except(&self) -> &str {
        &self.except
    }

    /// The proxy without its password, if it is on the way to a URL.
    pub fn before(&self, url: &str) -> Option<String> {
        let matcher = Matcher::builder()
            .all(self.url.expose())
            .no(self.except.as_str())
            .build();
        let proxy = matcher.intercept(&url.parse().ok()?)?;
        Some(proxy.uri().to_string().trim_end_matches('/').to_owned())
    }

    pub(super) fn of_reqwest(&self) -> reqwest::Result<reqwest::Proxy> {
        let except = reqwest::NoProxy::from_string(&self.except);
        Ok(reqwest::Proxy::all(self.url.expose())?.no_proxy(except))
    }

    /// The error would show the URL.
    pub(super) fn of_aws(&self) -> Result<ProxyConfig, String> {
        let config = ProxyConfig::all(self.url.expose());
        let config = config.map_err(|_| "the proxy's URL is not understood".to_owned())?;
        Ok(config.no_proxy(&self.except))
    }
}

impl StoreError {
    /// The same, and says so where a proxy was on the way to who did not answer.
    #[must_use]
    pub fn through(mut self, proxy: Option<&StoreProxy>) -> Self {
        if let Self::Unreachable { endpoint: url, cause }
        | Self::StsUnreachable { endpoint: url, cause }
        | Self::GarageUnreachable { endpoint: url, cause }
        | Self::CloudflareUnreachable { api: url, cause } = &mut self
            && let Some(proxy) = proxy.and_then(|proxy| proxy.before(url))
        {
            *cause = format!("through the proxy {proxy}: {cause}");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_where_it_is_on_the_way_and_its_password_nowhere() {
        let proxy = StoreProxy::parse("http://tide:hush@proxy.test:3128/", ".svc, 10.0.0.0/8").unwrap();
        let error = |endpoint: &str| {
            let (endpoint, cause) = (endpoint.to_owned(), "connection refused".to_owned());
            StoreError::Unreachable { endpoint, cause }
                .through(Some(&proxy))
                .to_string()
        };
        let through = error("https://s3.moon.test");
        assert!(
            through.contains("(through the proxy http://proxy.test:3128: connection refused)"),
            "{through}"
        );
        for near in ["http://minio.storage.svc:9000", "http://10.1.2.3"] {
            assert!(!error(near).contains("proxy"), "{near}");
        }
        assert!(!format!("{proxy:?} {through}").contains("hush"));
    }

    #[test]
    fn what_is_no_proxy_is_none() {
        for wrong in ["", "proxy.test:3128", "socks5://proxy.test", "http://"] {
            assert_eq!(StoreProxy::parse(wrong, ""), None, "{wrong}");
        }
    }
}
