//! Certificates of agents, as an operator or a person makes them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Longer than any clock of a test is off.
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Who makes certificates that are believed.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// # Panics
    /// When no key can be made.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "peers of the tests");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// The one of all agents of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Authority> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate that ends then and has these URIs among its names, with its key.
    fn certify(&self, names: &[&str], ends: SystemTime) -> (String, String) {
        let mut params = CertificateParams::default();
        let uri = |name: &&str| SanType::URI((*name).try_into().expect("ASCII"));
        params.subject_alt_names = names.iter().map(uri).collect();
        params.not_before = (SystemTime::now() - YEARS).into();
        params.not_after = ends.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The files of one agent: `ca`, `cert` and `key`.
pub struct Files(PathBuf);

impl Files {
    /// In a directory that is there, and has none of them yet.
    pub fn within(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Of an instance that tells changes, for years.
    ///
    /// # Panics
    /// Here and below: when the files cannot be written.
    pub fn certify(&self, authority: &Authority, instance: &str) {
        self.write(
            authority,
            &[&format!("urn:zonetide:instance:{instance}")],
            SystemTime::now() + YEARS,
        );
    }

    /// A certificate that ends then and has these URIs among its names, of the authority that is believed.
    pub fn write(&self, authority: &Authority, names: &[&str], ends: SystemTime) {
        self.renew(authority, names, ends);
        self.believe(&[authority]);
    }

    /// Another certificate; who is believed stays.
    pub fn renew(&self, authority: &Authority, names: &[&str], ends: SystemTime) {
        let (certificate, key) = authority.certify(names, ends);
        self.replace("key", &key);
        self.replace("cert", &certificate);
    }

    /// Whose certificates are believed.
    pub fn believe(&self, authorities: &[&Authority]) {
        let all: String = authorities.iter().map(|authority| authority.pem()).collect();
        self.replace("ca", &all);
    }

    fn replace(&self, name: &str, content: &str) {
        let new = self.path("new");
        std::fs::write(&new, content).expect("a written file");
        std::fs::rename(new, self.path(name)).expect("a replaced file");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
