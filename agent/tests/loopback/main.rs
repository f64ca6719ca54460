//! Two real PowerDNS servers and a real S3 server on loopback, with an agent beside each server and both LMDB files
//! open in both processes at once. The servers come from `make tools`; without them these tests fail.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authorities;
mod cached_pair;
mod caches;
mod changed_entries;
mod cold_start;
mod deleting;
mod faults;
mod features;
mod golden;
mod identity;
mod keys;
mod kills;
mod node;
mod outage;
mod proxied;
mod recovery;
mod regions;
mod replicate;
mod retired;
mod schema;
mod serving;
mod start_order;
mod store;
mod store_azure;
mod store_gcs;
mod supervise;
mod temporary;
mod told;
