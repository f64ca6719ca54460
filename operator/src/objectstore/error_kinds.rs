//! What an error of a store is about: which condition it becomes, and whose fault it is.

use zonetide_crds::Reason;

use super::StoreError;

impl StoreError {
    /// What it is when no connection came about because of the store's certificate.
    pub fn untrusted(endpoint: &str, cause: &str) -> Option<Self> {
        cause.contains("UnknownIssuer").then(|| Self::Untrusted {
            endpoint: endpoint.to_owned(),
            cause: cause.to_owned(),
        })
    }

    /// The store does not take the keys, or not for this.
    pub fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::WrongKeys { .. }
                | Self::AccessDenied { .. }
                | Self::MadeKeysRefused { .. }
                | Self::SessionDenied { .. }
        )
    }

    /// Something that the spec names is not there.
    pub fn is_secret_missing(&self) -> bool {
        matches!(self.reason(), Reason::SecretMissing | Reason::NotGranted)
    }

    /// Something is wrong with what an admin gives to make keys with, and not with keys that were made.
    pub fn is_about_admin(&self) -> bool {
        matches!(
            self,
            Self::SecretMissing { .. }
                | Self::TokenMissing { .. }
                | Self::SecretKeyMissing { .. }
                | Self::AdminKeysRefused { .. }
                | Self::GarageUnreachable { .. }
                | Self::Untrusted { .. }
                | Self::GarageTokenRefused { .. }
                | Self::CloudflareUnreachable { .. }
                | Self::CloudflareTokenInvalid { .. }
                | Self::CloudflareDenied { .. }
        )
    }

    /// The word for the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Starting { .. } | Self::Growing { .. } => Reason::StoreStarting,
            Self::SecretMissing { .. }
            | Self::TokenMissing { .. }
            | Self::SecretKeyMissing { .. }
            | Self::CaUnusable { .. } => Reason::SecretMissing,
            Self::WrongKeys { .. }
            | Self::AccessDenied { .. }
            | Self::RemovalDenied { .. }
            | Self::MadeKeysRefused { .. }
            | Self::CreateDenied { .. }
            | Self::AdminKeysRefused { .. }
            | Self::NotAssumable { .. }
            | Self::SessionDenied { .. }
            | Self::GarageTokenRefused { .. }
            | Self::CloudflareTokenInvalid { .. }
            | Self::CloudflareDenied { .. } => Reason::AccessDenied,
            Self::BucketMissing { .. } => Reason::BucketMissing,
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::ManagedUnreachable { .. }
            | Self::GarageUnreachable { .. }
            | Self::StsUnreachable { .. }
            | Self::CloudflareUnreachable { .. } => Reason::EndpointUnreachable,
            Self::Failing { .. }
            | Self::NodesLost { .. }
            | Self::NoGarageApi { .. }
            | Self::Garage { .. }
            | Self::NoCredentialsIssued
            | Self::NoR2 { .. }
            | Self::Cloudflare { .. }
            | Self::WrongRegion { .. }
            | Self::Other { .. }
            | Self::Managed { .. }
            | Self::RoleUnusable { .. }
            | Self::LifetimeRefused { .. }
            | Self::PolicyRefused { .. }
            | Self::Sts { .. }
            | Self::NoTls { .. }
            | Self::NotRemovable => Reason::StoreError,
            Self::Spec { .. }
            | Self::OlderObjects { .. }
            | Self::NoMinioImage
            | Self::Shrunk
            | Self::NoProxy => Reason::InvalidSpec,
            Self::CaNotGranted
            | Self::ProxyNotGranted
            | Self::NotGranted { .. }
            | Self::PrefixNotGranted { .. }
            | Self::OtherNamespace { .. } => Reason::NotGranted,
        }
    }
}
