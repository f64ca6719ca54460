//! What the cluster tests and the demo share: a DnsCluster on a real Kubernetes cluster, seen from outside through
//! port-forwards, and a bench that gives each test a namespace of its own.

pub mod answers;
pub mod bench;
pub mod connect;
pub mod contact;
mod diagnose;
pub mod exec;
pub mod forward;
pub mod handle;
pub mod installed;
pub mod manifest;
pub mod names;
pub mod readiness;
pub mod shared_bucket;
pub mod trusting_minio;
pub mod witness;
pub mod writer;

pub use bench::Bench;
pub use handle::Handle;
