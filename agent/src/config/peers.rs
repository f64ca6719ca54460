//! `peers`: the agents that are told changes. Lightning Stream's file has no such section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, Size, value_error};

/// The other agents of the cluster.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// What agents show each other; several lines: the first is sent, all are accepted.
    pub token: Secret,
    /// The same in a file, which is read again when it changes.
    pub token_file: PathBuf,
    /// `host:port`: every address of the host is a peer.
    pub dns: String,
    /// `http://host:port` or `https://host:port`.
    pub list: Vec<String>,
    /// Where this agent listens for peers, by TLS, such as `:8502`; needed with `tls.cert_file`.
    pub address: String,
    /// Larger changes reach the peers through the store.
    pub max_object: Size,
    pub tls: PeersTls,
}

/// TLS between peers. With a certificate of its own an agent takes what peers tell over TLS alone, from those who have one, too.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeersTls {
    /// Certificates (PEM) that are believed, instead of the system's; needed with `cert_file`, and read again then when it changes.
    pub ca_file: PathBuf,
    pub ca: String,
    /// The own certificate (PEM), which names this instance in a URI `urn:zonetide:instance:NAME`, and its key. Both are read again
    /// when they change.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            token: Secret::default(),
            token_file: PathBuf::new(),
            dns: String::new(),
            list: Vec::new(),
            address: String::new(),
            max_object: Size::mebibytes(1),
            tls: PeersTls::default(),
        }
    }
}

const SMALLEST: Size = Size(1 << 10);
const LARGEST: Size = Size::mebibytes(16);

impl Peers {
    /// Host and port of `dns`, if it is set.
    pub fn dns_name(&self) -> Option<(String, u16)> {
        let (host, port) = self.dns.rsplit_once(':')?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let known = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty() && host.chars().all(known)).then(|| (host.to_owned(), port))
    }

    /// The list in one form, without doubles.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<_> = self.list.iter().filter_map(|peer| address(peer).ok()).collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// Agents show each other certificates.
    pub fn is_private(&self) -> bool {
        !self.tls.cert_file.as_os_str().is_empty()
    }

    pub(super) fn check(&self, http_address: &str) -> Result<(), ConfigError> {
        let file = !self.token_file.as_os_str().is_empty();
        match (self.token.is_empty(), file) {
            (true, false) if !self.is_private() => {
                let reason = "is needed: a file with the token that all agents of the cluster share";
                return Err(value_error("peers.token_file", reason));
            }
            (false, true) => {
                let reason = "is set beside peers.token_file: remove one of them";
                return Err(value_error("peers.token", reason));
            }
            _ => {}
        }
        if self.dns.is_empty() && self.list.is_empty() {
            let reason = "name the peers by `dns`, `list` or both, or remove `peers`";
            return Err(value_error("peers", reason));
        }
        if !self.dns.is_empty() && self.dns_name().is_none() {
            let reason = format!(
                "{:?} is no host and port such as \"example-peers.dns.svc:8502\"",
                self.dns
            );
            return Err(value_error("peers.dns", reason));
        }
        for peer in &self.list {
            address(peer).map_err(|reason| value_error("peers.list", reason))?;
        }
        let size = self.max_object;
        if size.0 < SMALLEST.0 || size.0 > LARGEST.0 {
            let reason = format!("{} bytes: set 1KB to 16MB", size.0);
            return Err(value_error("peers.max_object", reason));
        }
        if !self.tls.ca.is_empty() && !self.tls.ca_file.as_os_str().is_empty() {
            let reason = "is set beside peers.tls.ca_file: remove one of them";
            return Err(value_error("peers.tls.ca", reason));
        }
        if self.is_private() || !self.tls.key_file.as_os_str().is_empty() {
            return self.check_certificates(http_address);
        }
        if !self.address.is_empty() {
            let reason =
                "is for peers with certificates: set peers.tls.cert_file, key_file and ca_file, or remove it";
            return Err(value_error("peers.address", reason));
        }
        if http_address.is_empty() {
            let reason = "is needed with `peers`, which post their changes there: set \":8500\"";
            return Err(value_error("http.address", reason));
        }
        Ok(())
    }

    fn check_certificates(&self, http_address: &str) -> Result<(), ConfigError> {
        let tls = &self.tls;
        for (option, file) in [
            ("peers.tls.cert_file", &tls.cert_file),
            ("peers.tls.key_file", &tls.key_file),
            ("peers.tls.ca_file", &tls.ca_file),
        ] {
            if file.as_os_str().is_empty() {
                let reason =
                    "is needed: with a certificate of its own an agent needs cert_file, key_file and ca_file";
                return Err(value_error(option, reason));
            }
        }
        if self.address.is_empty() {
            let reason = "is needed with peers.tls.cert_file: set the address for peers, such as \":8502\"";
            return Err(value_error("peers.address", reason));
        }
        if self.address == http_address {
            let reason = "is the same as http.address: give peers a port of their own, such as \":8502\"";
            return Err(value_error("peers.address", reason));
        }
        match self.addresses().iter().find(|peer| !peer.starts_with("https://")) {
            Some(peer) => {
                let reason =
                    format!("{peer:?} is plain HTTP: with peers.tls.cert_file all peers are https://");
                Err(value_error("peers.list", reason))
            }
            None => Ok(()),
        }
    }
}

/// `http://host:port`, and nothing else.
fn address(peer: &str) -> Result<String, String> {
    let example = "such as \"https://ams.example.org:8502\"";
    // An address with a password must not get into the log.
    if peer.contains('@') {
        return Err(format!(
            "an address has a user in it: peers know each other by certificates or a token, write one {example}"
        ));
    }
    let url =
        reqwest::Url::parse(peer).map_err(|error| format!("{peer:?} is no address {example}: {error}"))?;
    let host = url
        .host_str()
        .filter(|_| matches!(url.scheme(), "http" | "https"));
    let Some(host) = host else {
        return Err(format!("{peer:?} must begin with http:// or https://"));
    };
    let port = url.port_or_known_default().unwrap_or_default();
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{peer:?} has more than host and port: write one {example}"
        ));
    }
    Ok(format!("{}://{host}:{port}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let peers: Peers = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        peers.check(":8500").map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_work_is_named_with_the_remedy() {
        for (text, key) in [
            ("dns: a:8500", "peers.token_file"),
            ("{token: t, token_file: /t, dns: 'a:8500'}", "peers.token"),
            ("token: t", "peers: name the peers"),
            ("{token: t, dns: example-peers}", "peers.dns"),
            ("{token: t, dns: 'a:0'}", "peers.dns"),
            ("{token: t, dns: 'a b:1'}", "peers.dns"),
            ("{token: t, list: ['ams:8500']}", "peers.list"),
            ("{token: t, list: ['ftp://ams:8500']}", "peers.list"),
            ("{token: t, list: ['http://ams:8500/x']}", "peers.list"),
            ("{token: t, dns: 'a:1', max_object: 100}", "peers.max_object"),
            ("{token: t, dns: 'a:1', max_object: 1GB}", "peers.max_object"),
            (
                "{token: t, dns: 'a:1', tls: {ca: x, ca_file: /y}}",
                "peers.tls.ca",
            ),
            ("{token: t, dsn: 'a:1'}", "dsn"),
            ("{token: t, dns: 'a:1', address: ':8502'}", "peers.address"),
            (
                "{dns: 'a:1', address: ':8502', tls: {cert_file: /c, ca_file: /a}}",
                "peers.tls.key_file",
            ),
            (
                "{token: t, dns: 'a:1', address: ':8502', tls: {key_file: /k}}",
                "peers.tls.cert_file",
            ),
            (
                "{dns: 'a:1', address: ':8502', tls: {cert_file: /c, key_file: /k}}",
                "peers.tls.ca_file",
            ),
            (
                "{dns: 'a:1', tls: {cert_file: /c, key_file: /k, ca_file: /a}}",
                "peers.address",
            ),
            (
                "{list: ['http://a:1'], address: ':8502', tls: {cert_file: /c, key_file: /k, ca_file: /a}}",
                "peers.list",
            ),
            (
                "{list: ['HTTP://a:1'], address: ':8502', tls: {cert_file: /c, key_file: /k, ca_file: /a}}",
                "peers.list",
            ),
            (
                "{dns: 'a:1', address: ':8500', tls: {cert_file: /c, key_file: /k, ca_file: /a}}",
                "peers.address",
            ),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
        let error = check("{token: t, list: ['http://u:hush@ams:8500']}").unwrap_err();
        assert!(error.contains("peers.list") && !error.contains("hush"), "{error}");
        check("{dns: 'a:1', address: ':8502', tls: {cert_file: /c, key_file: /k, ca_file: /a}}").unwrap();
        let peers: Peers = serde_saphyr::from_str("{token: t, dns: 'a:1'}").unwrap();
        assert!(
            peers
                .check("")
                .unwrap_err()
                .to_string()
                .starts_with("http.address")
        );
    }

    #[test]
    fn the_name_and_the_list_are_taken_apart() {
        let text = "{token_file: /t, dns: 'example-peers.dns.svc:8500', list: ['http://b:1/', 'https://a', 'http://b:1', 'http://[::1]:8500']}";
        let peers: Peers = serde_saphyr::from_str(text).unwrap();
        peers.check(":8500").unwrap();
        assert_eq!(peers.dns_name(), Some(("example-peers.dns.svc".into(), 8500)));
        assert_eq!(
            peers.addresses(),
            ["http://[::1]:8500", "http://b:1", "https://a:443"]
        );
    }
}
