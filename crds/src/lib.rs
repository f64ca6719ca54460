//! The Kubernetes API of Zonetide: the kinds `DnsCluster` and `DnsRestore`, the rules their schemas enforce, and the conditions they
//! report.
//!
//! Field comments here become the descriptions that `kubectl explain dnscluster.spec` shows, so they address users.

// KubeSchema derives a public copy of every struct inside its own module.
#![allow(unreachable_pub)]
// Field comments are shown to users as they are: names of Kubernetes' kinds stay plain.
#![allow(clippy::doc_markdown)]

mod cluster;
mod conditions;
mod credentials;
mod expose;
mod history;
mod object_store;
mod owned_settings;
mod powerdns;
mod protection;
mod replication;
mod restore;
mod scheduling;
mod service;
mod setting_values;
mod status;
mod storage;
pub mod yaml;

pub use cluster::{DnsCluster, DnsClusterSpec, PAUSED_ANNOTATION, PodDisruptionBudgetSpec};
pub use conditions::{ConditionType, Reason};
pub use credentials::{
    ALLOWED_ACCOUNTS_ANNOTATION, ALLOWED_BUCKETS_ANNOTATION, ALLOWED_ENDPOINTS_ANNOTATION,
    ALLOWED_NAMESPACES_ANNOTATION, AdminKeysRef, AssumeRole, Credentials, CredentialsSecretRef,
    DeletionPolicy, ExistingGarage, R2, RENEW_ANNOTATION, TokenRef, WebIdentity,
};
pub use expose::{ExposeSpec, ExposedHost};
pub use history::HistorySpec;
pub use object_store::{CaSecretRef, Engine, ManagedStorageSpec, ManagedStore, ObjectStoreSpec, S3Store};
pub use owned_settings::OWNED_SETTINGS;
pub use powerdns::{ApiKeySecretRef, ImagePullPolicy, PowerDnsSpec, PowerDnsVersion};
pub use protection::ProtectionSpec;
pub use replication::ReplicationSpec;
pub use restore::{
    DnsRestore, DnsRestoreSpec, DnsRestoreStatus, PLAN_LINES, RestorePhase, RestorePlan, RestoreResult,
};
pub use scheduling::SchedulingSpec;
pub use service::{ExternalTrafficPolicy, IpFamilyPolicy, ServiceSpec, ServiceType};
pub use setting_values::misread;
pub use status::{DnsClusterStatus, InstanceStatus, NEVER_OBSERVED, ObjectStoreStatus, OtherInstanceStatus};
pub use storage::StorageSpec;
