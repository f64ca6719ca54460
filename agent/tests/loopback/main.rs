//! Two real PowerDNS servers and a real S3 server on loopback, with an agent beside each server and both LMDB files
//! open in both processes at once. The servers come from `make tools`; without them these tests fail.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Two tests of each function, which is given a version of PowerDNS: 5.1, and 4.9.
macro_rules! on_both_versions {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use zonetide_testbed::Version;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_5_1() {
                super::$test(Version::V5).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_4_9() {
                super::$test(Version::V4).await;
            }
        }
    )+};
}

mod authorities;
mod cached_pair;
mod caches;
mod changed_entries;
mod clocks;
mod cold_start;
mod deleting;
mod differences;
mod faults;
mod features;
mod golden;
mod history;
mod identity;
mod keys;
mod kills;
mod lost_entries;
mod new_zones;
mod node;
mod ordered;
mod outage;
mod own_writes;
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
mod wrong_clock;
