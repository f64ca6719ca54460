//! The operator that makes a `DnsCluster` out of PowerDNS servers.

pub mod agents;
pub mod args;
pub mod build;
pub mod context;
pub mod controller;
pub mod error;
pub mod events;
#[cfg(test)]
mod fake_api;
pub mod hex;
pub mod http;
mod http_client;
pub mod leader;
pub mod map_size;
pub mod metrics;
pub mod names;
pub mod objectstore;
pub mod peer_certificates;
pub mod reconcile;
pub mod restores;
mod run;
pub mod secret;
pub mod settings;
#[cfg(test)]
mod testing;

pub use run::{init_logging, run};
