//! Who signs the agents' certificates: kept while it is good for long enough, and what it signs. Pure, but for the randomness of
//! new keys.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use thiserror::Error;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, time::ASN1Time};

use super::{Pair, Server, pem};
use crate::{names::MANAGER, secret::SecretText};

/// An authority's time, of which a day is over when it is made, days.
const AUTHORITY_DAYS: i64 = 3650;
/// One with less left is replaced, days.
const AUTHORITY_LEFT: i64 = 365;
/// The same of a server's certificate, days.
const SERVER_DAYS: i64 = 90;
const SERVER_LEFT: i64 = 30;
/// The same of the operator's, which is made for each use and kept nowhere.
const OPERATOR_DAYS: i64 = 2;
/// Clocks that are behind by this much believe what was made now, days.
const BEFORE: i64 = 1;
const DAY: i64 = 86_400;
/// The longest common name there may be, characters.
const NAME_LENGTH: usize = 64;
/// What the instance's name follows in a server's certificate.
const URI: &str = "urn:zonetide:instance:";
/// Who orders restores, and may do nothing else.
const OPERATOR_URI: &str = "urn:zonetide:operator:zonetide-operator";

/// A key or a certificate cannot be made.
#[derive(Debug, Error)]
pub enum IssueError {
    #[error("the time is none that a certificate can have")]
    Time,
    #[error("a key or a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// An authority whose key is there.
pub(super) struct Authority {
    pair: Pair,
    der: Vec<u8>,
    key: KeyPair,
}

impl Authority {
    /// The one that is there, if it can be read, is of this name, and is good for a year.
    pub(super) fn kept(pair: &Pair, name: &str, now: Timestamp) -> Option<Self> {
        let der = pem::certificate(&pair.certificate)?;
        let key = key_of(&pair.key)?;
        let found = pem::parsed(&der)?;
        let is_good = found.is_ca()
            && is_of(&found, &key)
            && common_name(&found) == Some(cut(name).as_str())
            && lasts(&found, AUTHORITY_LEFT, now);
        is_good.then(|| Self {
            pair: pair.clone(),
            key,
            der: der.clone(),
        })
    }

    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness for a key, or `now` is out of what certificates can say.
    pub(super) fn made(name: &str, now: Timestamp) -> Result<Self, IssueError> {
        let mut params = params(name, AUTHORITY_DAYS, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pair: pair(&certificate, &key),
            der: certificate.der().to_vec(),
            key,
        })
    }

    pub(super) fn pair(&self) -> &Pair {
        &self.pair
    }

    /// A new certificate for a server, with a key of its own.
    ///
    /// # Errors
    /// As for `made`.
    pub(super) fn issue(&self, server: &Server, now: Timestamp) -> Result<Pair, IssueError> {
        let mut params = params(&server.pod, SERVER_DAYS, now)?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(params, &uri(&server.instance))
    }

    /// One for the operator, which is good for a day, and to no server.
    ///
    /// # Errors
    /// As for `made`.
    pub(super) fn issue_to_operator(&self, now: Timestamp) -> Result<Pair, IssueError> {
        let mut params = params(MANAGER, OPERATOR_DAYS, now)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, OPERATOR_URI)
    }

    fn sign(&self, mut params: CertificateParams, uri: &str) -> Result<Pair, IssueError> {
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.der.as_slice().into(), &self.key)?;
        let key = KeyPair::generate()?;
        Ok(pair(&params.signed_by(&key, &issuer)?, &key))
    }

    /// Whether this is a certificate that it signed for this instance and nobody else, its key, and good for 30 days.
    pub(super) fn vouches_for(&self, pair: &Pair, instance: &str, now: Timestamp) -> bool {
        let Some(der) = pem::certificate(&pair.certificate) else {
            return false;
        };
        let (Some(found), Some(own)) = (pem::parsed(&der), pem::parsed(&self.der)) else {
            return false;
        };
        key_of(&pair.key).is_some_and(|key| is_of(&found, &key))
            && names_only(&found, &uri(instance))
            && lasts(&found, SERVER_LEFT, now)
            && found.issuer().as_raw() == own.subject().as_raw()
            && found.verify_signature(Some(own.public_key())).is_ok()
    }
}

/// Whether this is an authority's certificate that has not ended.
pub(super) fn is_one(der: &[u8], now: Timestamp) -> bool {
    pem::parsed(der).is_some_and(|found| found.is_ca() && left(&found, now) > 0)
}

/// What both kinds have: the name, and the time from a day before now on.
fn params(name: &str, days: i64, now: Timestamp) -> Result<CertificateParams, IssueError> {
    let time = |days: i64| {
        let time = now.checked_add(SignedDuration::from_secs(days * DAY));
        let time = time.map_err(|_| IssueError::Time)?;
        ASN1Time::from_timestamp(time.as_second()).map_err(|_| IssueError::Time)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cut(name));
    params.not_before = time(-BEFORE)?.to_datetime();
    params.not_after = time(days - BEFORE)?.to_datetime();
    Ok(params)
}

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Pair {
    Pair {
        certificate: certificate.pem(),
        key: SecretText::new(key.serialize_pem()),
    }
}

fn key_of(text: &SecretText) -> Option<KeyPair> {
    KeyPair::try_from(pem::key(text.expose())?).ok()
}

fn is_of(certificate: &X509Certificate<'_>, key: &KeyPair) -> bool {
    *certificate.public_key().subject_public_key.data == *key.der_bytes()
}

fn cut(name: &str) -> String {
    name.chars().take(NAME_LENGTH).collect()
}

fn uri(instance: &str) -> String {
    format!("{URI}{instance}")
}

/// The name, if it consists of this alone.
fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let subject = certificate.subject();
    let is_alone = subject.iter_rdn().count() == 1 && subject.iter_attributes().count() == 1;
    let name = subject.iter_common_name().next().filter(|_| is_alone);
    name?.as_str().ok()
}

/// Whether this is the certificate of this instance and nobody else.
pub(super) fn is_of_instance(der: &[u8], instance: &str) -> bool {
    pem::parsed(der).is_some_and(|found| names_only(&found, &uri(instance)))
}

fn names_only(certificate: &X509Certificate<'_>, uri: &str) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    matches!(names.value.general_names.as_slice(), [GeneralName::URI(name)] if *name == uri)
}

/// Whether it is good now and has more than so many days left.
fn lasts(certificate: &X509Certificate<'_>, days: i64, now: Timestamp) -> bool {
    certificate.validity().not_before.timestamp() <= now.as_second() && left(certificate, now) > days * DAY
}

/// Seconds until it ends, below 0 when it has.
fn left(certificate: &X509Certificate<'_>, now: Timestamp) -> i64 {
    let end = certificate.validity().not_after.timestamp();
    end.saturating_sub(now.as_second())
}
