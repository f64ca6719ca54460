//! PEM: text with certificates and keys in it. Pure.

use x509_parser::{certificate::X509Certificate, parse_x509_certificate, pem::parse_x509_pem};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What the first certificate is.
pub(super) fn certificate(text: &str) -> Option<Vec<u8>> {
    content(certificates(text).next()?, "CERTIFICATE")
}

/// What a private key in PKCS#8 is, if the text begins with one.
pub(super) fn key(text: &str) -> Option<Vec<u8>> {
    content(text, "PRIVATE KEY")
}

/// The blocks with certificates, each as it is written.
pub(super) fn certificates(bundle: &str) -> impl Iterator<Item = &str> {
    let parts = bundle.split_inclusive(END);
    parts
        .filter(|part| part.ends_with(END))
        .filter_map(|part| part.find(BEGIN).map(|begin| &part[begin..]))
}

fn content(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, block) = parse_x509_pem(text.as_bytes()).ok()?;
    (block.label == label).then_some(block.contents)
}

/// A certificate with nothing behind it.
pub(super) fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}
