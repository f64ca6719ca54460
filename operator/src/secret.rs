//! Secret text: made from the system's randomness, and never printed.

use std::fmt;

use crate::hex::hex;
use rand::{RngExt, distr::Alphanumeric};
use serde::Deserialize;

/// Text that Debug does not show.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the place that needs it, and no log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Letters and digits, about 6 bits of randomness each.
    pub fn random(length: usize) -> Self {
        Self(
            rand::rng()
                .sample_iter(Alphanumeric)
                .take(length)
                .map(char::from)
                .collect(),
        )
    }

    /// 32 random bytes in hexadecimal digits.
    pub fn random_hex() -> Self {
        let bytes: [u8; 32] = rand::rng().random();
        Self(hex(&bytes))
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretText::new("hidden")), "***");
    }

    #[test]
    fn random_text_has_the_asked_length_and_differs() {
        let one = SecretText::random(40);
        assert_eq!(one.expose().len(), 40);
        assert_ne!(one, SecretText::random(40));
    }

    #[test]
    fn a_hex_secret_is_what_garage_takes() {
        let secret = SecretText::random_hex();
        assert_eq!(secret.expose().len(), 64);
        assert!(secret.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
