//! What the cluster tests and the demo share: a DnsCluster on a real Kubernetes cluster, seen from outside through
//! port-forwards, and a bench that gives each test a namespace of its own.

pub mod answers;
pub mod bench;
pub mod connect;
pub mod contact;
mod diagnose;
pub mod drain;
pub mod exec;
pub mod forward;
pub mod handle;
pub mod idle;
pub mod installed;
pub mod load;
pub mod loads;
pub mod manifest;
pub mod names;
pub mod pod_watch;
pub mod processes;
pub mod readiness;
pub mod report;
pub mod shared_bucket;
pub mod store_away;
pub mod trusting_minio;
pub mod witness;
pub mod writer;

pub use bench::Bench;
pub use handle::Handle;
