//! The bench on which Zonetide is tested: real PowerDNS, Garage, MinIO and agent processes, and emulators of
//! other object stores, on loopback, and the clients
//! (PowerDNS API, DNS) that the loopback tests, the cluster tests and the demo share. No Kubernetes in it.
//!
//! The clients return errors. The processes are test fixtures: they panic with the child's log when they cannot
//! do what they are asked, because a test without its fixture must fail.

// All of it but the clients runs in tests only, where a panic is the way to fail.
#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

pub mod agent;
pub mod api;
pub mod authority;
pub mod clock;
pub mod dns;
pub mod emulators;
pub mod fakes;
pub mod fault_proxy;
pub mod forward_proxy;
pub mod garage;
pub mod http;
pub mod ingress;
mod message;
pub mod minio;
pub mod net;
pub mod poll;
pub mod powerdns;
mod process;
pub mod sigv4;
pub mod tls_front;
pub mod tools;
pub mod update;

pub use agent::Agent;
pub use api::PowerDnsApi;
pub use authority::Authority;
pub use clock::Clock;
pub use dns::{Answer, DnsClient};
pub use emulators::{Azurite, FakeGcs};
pub use fault_proxy::FaultProxy;
pub use forward_proxy::ForwardProxy;
pub use garage::Garage;
pub use ingress::IngressController;
pub use minio::Minio;
pub use poll::eventually;
pub use powerdns::PowerDns;
pub use tls_front::TlsFront;
pub use tools::Version;
pub use update::TsigKey;
