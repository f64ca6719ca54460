//! Who an agent is, by its certificate: a URI among the subject's alternative names (RFC 5280, 4.2.1.6).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::message::is_instance;

/// Before the name of an instance that tells changes and takes them.
const INSTANCE: &str = "urn:zonetide:instance:";
/// Before that of one that only takes them.
const RECEIVER: &str = "urn:zonetide:receiver:";
/// Before that of one that is no agent, and may order a restore and nothing else.
const OPERATOR: &str = "urn:zonetide:operator:";

/// What a certificate lets its owner do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Tells changes, and is believed what it says.
    Teller,
    /// Takes changes and databases only.
    Receiver,
    /// Orders restores only.
    Operator,
}

/// What a certificate says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// In the form that names of objects have it.
    pub instance: String,
    pub role: Role,
}

impl Identity {
    /// It may tell changes, and is believed what it says.
    pub(super) fn may_tell(&self) -> bool {
        self.role == Role::Teller
    }

    /// The same of an agent; none where it is none.
    pub(super) fn of_agent(certificate: &CertificateDer<'_>) -> Option<Self> {
        Self::of(certificate).filter(|who| who.role != Role::Operator)
    }

    /// None where a certificate names nobody, or more than one.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        Self::among(certificate.valid_uri_names())
    }

    fn among<'n>(names: impl Iterator<Item = &'n str>) -> Option<Self> {
        let mut found = names.filter_map(|name| {
            let roles = [
                (INSTANCE, Role::Teller),
                (RECEIVER, Role::Receiver),
                (OPERATOR, Role::Operator),
            ];
            roles
                .into_iter()
                .find_map(|(prefix, role)| Some((name.strip_prefix(prefix)?, role)))
        });
        let (instance, role) = found.next()?;
        (found.next().is_none() && is_instance(instance)).then(|| Self {
            instance: instance.to_owned(),
            role,
        })
    }
}

/// Believes every agent that has a certificate of the authorities, at whatever address: those of pods change.
#[derive(Debug)]
pub(super) struct AnyAddress(pub Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyAddress {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: all else is right.
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        match Identity::of_agent(end_entity) {
            Some(_) => Ok(ServerCertVerified::assertion()),
            None => Err(Error::General("its certificate names no instance".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(names: &[&str]) -> Option<(String, Role)> {
        let identity = Identity::among(names.iter().copied())?;
        Some((identity.instance, identity.role))
    }

    #[test]
    fn a_certificate_names_one_instance_and_what_it_may_do() {
        assert_eq!(
            among(&["urn:zonetide:instance:ams-0"]),
            Some(("ams-0".into(), Role::Teller))
        );
        let both = among(&["https://example.org", "urn:zonetide:receiver:edge-1"]);
        assert_eq!(both, Some(("edge-1".into(), Role::Receiver)));
        let operator = among(&["urn:zonetide:operator:zonetide-operator"]);
        assert_eq!(operator, Some(("zonetide-operator".into(), Role::Operator)));
        for none in [
            &[][..],
            &["urn:zonetide:instance:"],
            &["urn:zonetide:instance:a.b"],
            &["urn:zonetide:instance:a", "urn:zonetide:instance:b"],
            &["urn:zonetide:receiver:a", "urn:zonetide:instance:a"],
            &["urn:zonetide:operator:a", "urn:zonetide:instance:a"],
        ] {
            assert_eq!(among(none), None, "{none:?}");
        }
    }
}
