//! The words that conditions use. They are part of the API: scripts wait for them.

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// Every server is up to date, in sync and serving, and one takes API requests.
    Ready,
    /// The bucket exists and the keys open it.
    ObjectStoreReady,
    /// Something is being brought to what the spec says.
    Progressing,
    /// The operator leaves everything as it is. Present only while that is so.
    Paused,
}

impl ConditionType {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ObjectStoreReady => "ObjectStoreReady",
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
        }
    }
}

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Ready: all servers serve.
    AllServersReady,
    /// Not ready: servers are starting, or have stopped serving.
    ServersNotReady,
    /// Not ready, progressing: servers are replaced one at a time.
    RollingUpdate,
    /// Progressing: servers start, or wait for their data.
    ServersStarting,
    /// Not ready, progressing: there are fewer or more servers than the spec says.
    Scaling,
    /// Not ready: no server takes API requests yet.
    NoApiServer,
    /// Not progressing: everything is as the spec says.
    UpToDate,
    /// The annotation zonetide.dev/paused is set.
    PausedByAnnotation,
    /// The spec says something that cannot be done.
    InvalidSpec,
    /// The API server refused an object, or did not answer.
    ReconcileFailed,
    /// Not ready: the bucket is not, see the condition ObjectStoreReady.
    ObjectStoreNotReady,
    /// The bucket exists and the keys open it.
    BucketReady,
    /// The managed store starts.
    StoreStarting,
    /// A Secret that the spec names is missing, or lacks a key.
    SecretMissing,
    /// The store refuses the keys, or what they ask for.
    AccessDenied,
    /// There is no such bucket.
    BucketMissing,
    /// The store does not answer.
    EndpointUnreachable,
    /// The store answered with something else than S3 would.
    StoreError,
}

impl Reason {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllServersReady => "AllServersReady",
            Self::ServersNotReady => "ServersNotReady",
            Self::RollingUpdate => "RollingUpdate",
            Self::ServersStarting => "ServersStarting",
            Self::Scaling => "Scaling",
            Self::NoApiServer => "NoApiServer",
            Self::UpToDate => "UpToDate",
            Self::PausedByAnnotation => "PausedByAnnotation",
            Self::InvalidSpec => "InvalidSpec",
            Self::ReconcileFailed => "ReconcileFailed",
            Self::ObjectStoreNotReady => "ObjectStoreNotReady",
            Self::BucketReady => "BucketReady",
            Self::StoreStarting => "StoreStarting",
            Self::SecretMissing => "SecretMissing",
            Self::AccessDenied => "AccessDenied",
            Self::BucketMissing => "BucketMissing",
            Self::EndpointUnreachable => "EndpointUnreachable",
            Self::StoreError => "StoreError",
        }
    }
}
