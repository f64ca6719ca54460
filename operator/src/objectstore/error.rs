//! Why a bucket is not ready, with what to do about it. The messages become conditions and events: they are the same
//! each time for the same cause (no request IDs, no times), and hold no keys.

use thiserror::Error;
use zonetide_crds::Reason;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    #[error("the object store starts{details}")]
    Starting {
        /// What its pod waits for.
        details: String,
    },

    #[error("the Secret {name} is missing: create it with the keys {id_key} and {secret_key}")]
    SecretMissing {
        name: String,
        id_key: String,
        secret_key: String,
    },

    #[error("the Secret {name} has no key {key}, or it is empty: add it, or name another in {field}")]
    SecretKeyMissing {
        name: String,
        key: String,
        field: &'static str,
    },

    #[error(
        "{endpoint} refuses the keys ({code}): put the right ones into the Secret {secret}, they are picked up at once"
    )]
    WrongKeys {
        endpoint: String,
        code: String,
        secret: String,
    },

    #[error(
        "{endpoint} does not let the keys list bucket {bucket} ({code}): correct the keys in the Secret {secret}, or allow them to list, get, put and delete under {prefix}"
    )]
    AccessDenied {
        endpoint: String,
        bucket: String,
        prefix: String,
        code: String,
        secret: String,
    },

    #[error("{endpoint} has no bucket {bucket}: create it, or set spec.objectStore.s3.createBucket to true")]
    BucketMissing { endpoint: String, bucket: String },

    #[error(
        "{endpoint} does not let the keys create bucket {bucket} ({code}): create it by other means, or allow the keys to"
    )]
    CreateDenied {
        endpoint: String,
        bucket: String,
        code: String,
    },

    #[error(
        "cannot reach {endpoint} ({cause}): check spec.objectStore.s3.endpoint, and that the operator may connect to it"
    )]
    Unreachable { endpoint: String, cause: String },

    #[error("cannot reach the object store at {endpoint} ({cause}): look at the log of its pod")]
    ManagedUnreachable { endpoint: String, cause: String },

    #[error("{endpoint} answered {code} for bucket {bucket}: {hint}")]
    Other {
        endpoint: String,
        bucket: String,
        code: String,
        hint: &'static str,
    },

    #[error("the object store at {endpoint} failed to {action}: {message}")]
    Managed {
        endpoint: String,
        action: &'static str,
        message: String,
    },
}

impl StoreError {
    /// The word for the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Starting { .. } => Reason::StoreStarting,
            Self::SecretMissing { .. } | Self::SecretKeyMissing { .. } => Reason::SecretMissing,
            Self::WrongKeys { .. } | Self::AccessDenied { .. } | Self::CreateDenied { .. } => {
                Reason::AccessDenied
            }
            Self::BucketMissing { .. } => Reason::BucketMissing,
            Self::Unreachable { .. } | Self::ManagedUnreachable { .. } => Reason::EndpointUnreachable,
            Self::Other { .. } | Self::Managed { .. } => Reason::StoreError,
        }
    }
}
