//! Certificates of a private authority, by which a store's own is signed.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// What is trusted in place of the system's authorities. It holds at least one certificate, and all can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaBundle(String);

impl CaBundle {
    /// From PEM, or why not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    pub fn pem(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = include_str!("../../../agent/tests/tls/ca.pem");
    const OTHER: &str = include_str!("../../../agent/tests/tls/server.pem");

    #[test]
    fn one_certificate_and_several_are_taken_and_text_around_them() {
        for text in [CA.to_owned(), format!("# ours\n{CA}\n{OTHER}")] {
            assert_eq!(CaBundle::parse(&text).unwrap().pem(), text);
        }
    }

    #[test]
    fn what_would_be_of_no_use_is_refused() {
        let half = &CA[..CA.len() / 2];
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", half, garbage, &format!("{CA}{garbage}")] {
            assert!(CaBundle::parse(text).is_err(), "{text}");
        }
    }
}
