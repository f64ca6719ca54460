//! Whether a request is signed as AWS wants it (Signature Version 4), worked out anew from what came.

use axum::http::{HeaderMap, Method};
use ring::{digest, hmac};

use crate::sigv4::hex;

/// What a signed request says of itself.
pub(super) struct Signature<'h> {
    pub(super) access_key: &'h str,
    date: &'h str,
    region: &'h str,
    service: &'h str,
    signed_headers: Vec<&'h str>,
    given: &'h str,
}

/// Why it is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Missing,
    Incomplete,
    OutOfScope,
    DoesNotMatch,
}

impl<'h> Signature<'h> {
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Self, Invalid> {
        let text = text(headers, "authorization").ok_or(Invalid::Missing)?;
        let fields = text
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or(Invalid::Incomplete)?;
        let field = |name: &str| {
            let mut parts = fields.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let incomplete = || Invalid::Incomplete;
        let credential: Vec<&str> = field("Credential").ok_or_else(incomplete)?.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = credential[..] else {
            return Err(Invalid::Incomplete);
        };
        Ok(Self {
            access_key,
            date,
            region,
            service,
            signed_headers: field("SignedHeaders")
                .ok_or_else(incomplete)?
                .split(';')
                .collect(),
            given: field("Signature").ok_or_else(incomplete)?,
        })
    }

    /// That it was made with this secret, for this region and service, over all that came.
    pub(super) fn verify(
        &self,
        secret: &str,
        scope: (&str, &str),
        request: (&Method, &str),
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Invalid> {
        if (self.region, self.service) != scope {
            return Err(Invalid::OutOfScope);
        }
        let time = text(headers, "x-amz-date").ok_or(Invalid::Incomplete)?;
        // What nobody signed could be changed on the way.
        let must = ["host", "x-amz-date"].into_iter().chain(
            headers
                .contains_key("x-amz-security-token")
                .then_some("x-amz-security-token"),
        );
        if !time.starts_with(self.date) || !must.into_iter().all(|name| self.signed_headers.contains(&name)) {
            return Err(Invalid::Incomplete);
        }
        let mut lines = String::new();
        for name in &self.signed_headers {
            let value = text(headers, name).ok_or(Invalid::Incomplete)?;
            lines.extend([name, ":", value.trim(), "\n"]);
        }
        let (method, path) = request;
        let signed = self.signed_headers.join(";");
        let canonical = format!("{method}\n{path}\n\n{lines}\n{signed}\n{}", sha256(body));
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            sha256(canonical.as_bytes())
        );
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.date, self.region, self.service, "aws4_request", &to_sign] {
            let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key = signed.as_ref().to_vec();
        }
        (hex(&key) == self.given)
            .then_some(())
            .ok_or(Invalid::DoesNotMatch)
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}
