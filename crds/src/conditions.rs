//! The words that conditions use. They are part of the API: scripts wait for them.

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// Every server is as the spec says and serves, and API requests reach one of them. The object store does not count.
    Ready,
    /// The bucket exists and the keys open it.
    ObjectStoreReady,
    /// The servers have keys to the bucket that are good for a while.
    CredentialsReady,
    /// The servers exchange their changes through the bucket, each under a name of its own.
    Replicating,
    /// Something is being brought to what the spec says.
    Progressing,
    /// The operator leaves everything as it is. Present only while that is so.
    Paused,
    /// The managed store is reached from outside by the names that the spec says. Present only where it says some.
    Exposed,
    /// Of a DnsRestore that has failed for good. Present only then.
    Stalled,
}

impl ConditionType {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ObjectStoreReady => "ObjectStoreReady",
            Self::CredentialsReady => "CredentialsReady",
            Self::Replicating => "Replicating",
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
            Self::Exposed => "Exposed",
            Self::Stalled => "Stalled",
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
    NoApiPod,
    /// Not ready: servers run another PowerDNS than they should, or a release with known faults.
    PowerDnsNotSupported,
    /// Not progressing: everything is as the spec says.
    UpToDate,
    /// The annotation zonetide.dev/paused is set.
    PausedByAnnotation,
    /// The spec says something that cannot be done.
    InvalidSpec,
    /// The API server refused an object, or did not answer.
    ReconcileFailed,
    /// Not ready, not replicating: the bucket is not, see the condition ObjectStoreReady.
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
    /// The keys are those that the spec names.
    CredentialsProvided,
    /// The operator made the keys and renews them.
    CredentialsIssued,
    /// There are no keys: the pods' service account is trusted.
    ServiceAccountTrusted,
    /// New keys cannot be made; the present ones are good for a while yet.
    RenewalFailed,
    /// The keys have ended and new ones cannot be made.
    KeysExpired,
    /// The Secret with the admin's keys does not allow this DnsCluster to use it.
    NotGranted,
    /// Every server replicates.
    InSync,
    /// Two servers have the same name in the bucket.
    IdentityCollision,
    /// Servers cannot store or load.
    ReplicationFailing,
    /// Servers that started while the bucket did not answer serve what they have, or what the others have.
    ServingWithoutStore,
    /// The agents do not answer the operator.
    AgentsUnreachable,
    /// The DnsCluster is being deleted, and what it has outside of Kubernetes with it.
    Deleting,
    /// The same, and something is in the way.
    DeletionBlocked,
    /// There is an Ingress for each host.
    IngressReady,
    /// The operator was not installed to expose a host.
    HostNotAllowed,
    /// Of a DnsRestore, as all below: it is as it was.
    Restored,
    /// What would change is in the status, and nothing was changed.
    Planned,
    /// It is looked at what there was, and what differs.
    Planning,
    /// It is written.
    Restoring,
    /// There is no such DnsCluster, or it is being deleted.
    ClusterMissing,
    /// No server of the DnsCluster can be asked.
    NoServer,
    /// Another restore of the DnsCluster comes first.
    AnotherRuns,
    /// The server does not answer, or refuses.
    ServerUnreachable,
    /// It was interrupted, and is begun again a few times.
    Interrupted,
    /// The time is yet to come.
    NotPast,
    /// There is no such zone, and there was none then.
    UnknownZone,
    /// The history begins later.
    BeforeHistory,
    /// There is no history.
    NoHistory,
    /// Something is missing in it.
    HistoryGaps,
    /// Somebody else wrote some of it meanwhile.
    ChangedMeanwhile,
    /// It could not be done within an hour.
    GivenUp,
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
            Self::NoApiPod => "NoApiPod",
            Self::PowerDnsNotSupported => "PowerDNSNotSupported",
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
            Self::CredentialsProvided => "CredentialsProvided",
            Self::CredentialsIssued => "CredentialsIssued",
            Self::ServiceAccountTrusted => "ServiceAccountTrusted",
            Self::RenewalFailed => "RenewalFailed",
            Self::KeysExpired => "KeysExpired",
            Self::NotGranted => "NotGranted",
            Self::InSync => "InSync",
            Self::IdentityCollision => "IdentityCollision",
            Self::ReplicationFailing => "ReplicationFailing",
            Self::ServingWithoutStore => "ServingWithoutStore",
            Self::AgentsUnreachable => "AgentsUnreachable",
            Self::Deleting => "Deleting",
            Self::DeletionBlocked => "DeletionBlocked",
            Self::IngressReady => "IngressReady",
            Self::HostNotAllowed => "HostNotAllowed",
            Self::Restored => "Restored",
            Self::Planned => "Planned",
            Self::Planning => "Planning",
            Self::Restoring => "Restoring",
            Self::ClusterMissing => "ClusterMissing",
            Self::NoServer => "NoServer",
            Self::AnotherRuns => "AnotherRuns",
            Self::ServerUnreachable => "ServerUnreachable",
            Self::Interrupted => "Interrupted",
            Self::NotPast => "NotPast",
            Self::UnknownZone => "UnknownZone",
            Self::BeforeHistory => "BeforeHistory",
            Self::NoHistory => "NoHistory",
            Self::HistoryGaps => "HistoryGaps",
            Self::ChangedMeanwhile => "ChangedMeanwhile",
            Self::GivenUp => "GivenUp",
        }
    }
}
