//! Signatures of requests as AWS and its kin want them (Signature Version 4), for what no client in the tests does.

use http::Method;
use jiff::Timestamp;
use ring::{digest, hmac};

/// An access key, and what it is used for.
pub struct Signer<'k> {
    pub access_key: &'k str,
    pub secret_key: &'k str,
    pub session_token: &'k str,
    pub region: &'k str,
    /// `s3` or `sts`.
    pub service: &'k str,
}

impl Signer<'_> {
    /// The headers that a request must have besides `host`. Path and query are as they are sent; the query's
    /// parameters must be in order already.
    pub fn headers(
        &self,
        method: &Method,
        host: &str,
        path: &str,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        self.headers_at(Timestamp::now(), method, host, path, body)
    }

    fn headers_at(
        &self,
        now: Timestamp,
        method: &Method,
        host: &str,
        path: &str,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = &time[..8];
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let content = sha256(body);
        // In the order of their names.
        let mut headers = vec![
            ("host", host.to_owned()),
            ("x-amz-content-sha256", content.clone()),
            ("x-amz-date", time.clone()),
        ];
        if !self.session_token.is_empty() {
            headers.push(("x-amz-security-token", self.session_token.to_owned()));
        }
        let lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let lines = lines.concat();
        let signed = headers
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(";");
        let request = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{content}");
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            sha256(request.as_bytes())
        );
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [date, self.region, self.service, "aws4_request", &text] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes())
                .as_ref()
                .to_vec();
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={}",
            self.access_key,
            hex(&key)
        );
        headers.retain(|(name, _)| *name != "host");
        headers.push(("authorization", authorization));
        headers
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// A value of a form or of a query.
pub fn encode(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
