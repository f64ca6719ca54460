//! Two real PowerDNS servers and a real S3 server on loopback, with an agent beside each server and both LMDB files
//! open in both processes at once. The servers come from `make tools`; without them these tests fail.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod golden;
mod node;
mod outage;
mod recovery;
mod replicate;
mod start_order;
mod store;
