//! Which access key the store accepts, without showing it.

use std::fmt::Write as _;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest as _, Sha256};

/// Bytes of the digest that are shown: enough to tell the keys of a cluster apart.
const SHOWN: usize = 6;

/// What tells a temporary key from those before it: some stores give all of them the same ID.
const SESSION_TOKEN: &str = "x-amz-security-token";

/// The fingerprint of the key by which a request is signed; a request to an STS has none.
pub(super) fn signed_with(headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let credential = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let (id, _) = credential.split_once('/')?;
    let token = headers
        .get(SESSION_TOKEN)
        .map(reqwest::header::HeaderValue::as_bytes);
    Some(fingerprint(id, token))
}

/// The store has taken the signature for good, and what the key wanted as well.
pub(super) fn is_accepted(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_FOUND
}

/// The first 12 hex digits of SHA-256 of the ID, and of a line break and the session token after it if there is one.
fn fingerprint(access_key: &str, session_token: Option<&[u8]>) -> String {
    let mut digest = Sha256::new_with_prefix(access_key);
    if let Some(token) = session_token {
        digest.update("\n");
        digest.update(token);
    }
    let digest = digest.finalize();
    digest.iter().take(SHOWN).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    const SIGNED: &str =
        "AWS4-HMAC-SHA256 Credential=abc/20261124/us-east-1/s3/aws4_request, SignedHeaders=host";

    fn headers(authorization: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(authorization))])
    }

    #[test]
    fn the_key_of_a_signature_is_known_by_its_digest() {
        assert_eq!(signed_with(&headers(SIGNED)).as_deref(), Some("ba7816bf8f01"));
        assert_eq!(signed_with(&headers("Bearer abc/x")), None);
        assert_eq!(signed_with(&HeaderMap::new()), None);
    }

    #[test]
    fn temporary_keys_with_the_same_id_are_told_apart() {
        let with = |token: &'static str| {
            let mut headers = headers(SIGNED);
            headers.insert(SESSION_TOKEN, HeaderValue::from_static(token));
            signed_with(&headers)
        };
        // SHA-256 of "abc\none".
        assert_eq!(with("one").as_deref(), Some("7528c3acf788"));
        assert_ne!(with("one"), with("two"));
    }

    #[test]
    fn a_missing_object_is_said_to_those_only_whose_key_is_good() {
        let codes = [
            (200, true),
            (204, true),
            (404, true),
            (400, false),
            (403, false),
            (503, false),
        ];
        for (code, accepted) in codes {
            assert_eq!(
                is_accepted(StatusCode::from_u16(code).unwrap()),
                accepted,
                "{code}"
            );
        }
    }
}
