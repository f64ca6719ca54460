//! Whatever happens to many servers that share a bucket, in whatever order: once it is calm, all databases are equal and
//! hold the newest of all accepted writes. `model.rs` and `calm.rs` say what exactly is promised, `steps.rs` what may
//! happen.
//!
//! Every case comes from a seed, which a failure prints beside the shortest steps that fail:
//! - `ZONETIDE_PROPERTY_SEED=n` plays the case of that seed again, and shortens it again.
//! - `ZONETIDE_PROPERTY_CASES=n` plays so many cases instead of a few seconds' worth, and prints how long they took; with a seed, from
//!   that one on.
//! - `ZONETIDE_PROPERTY_CLOCKS=agree`, `near`, `far` or `forward` (none goes back) plays cases with such clocks alone.
//!
//! Without a seed it is always the same cases, so that a failure comes of a change and not of chance; for others give a seed.
//!
//! Files are real LMDB files, in memory where there is `/dev/shm`; time passes only where a step says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calm;
mod clock;
mod exchange;
mod fleet;
mod found;
mod history;
mod history_tests;
mod model;
mod server;
mod steps;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod take;
mod wire;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use tokio::runtime::Runtime;

use fleet::Fleet;
use steps::{Case, case};

/// Ten seconds or so on an idle machine with two cores.
const CASES: u64 = 100;
/// The first case where none is asked for.
const FIRST: u64 = 15_000_000;

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is not a number")),
    )
}

fn play(runtime: &Runtime, case: Case) -> Result<(), TestCaseError> {
    let names = &["main", "shard"][..case.databases];
    let mut fleet = Fleet::new(&case.setups, case.limits, case.clocks, names);
    runtime
        .block_on(fleet.play(case.introduced, case.steps))
        .map_err(|error| {
            let log = fleet.log.join("\n  ");
            TestCaseError::fail(format!("{error}\nwhat happened:\n  {log}"))
        })
}

#[test]
fn all_databases_end_equal_and_no_accepted_write_is_lost() {
    let given = from_environment("ZONETIDE_PROPERTY_SEED");
    let cases =
        from_environment("ZONETIDE_PROPERTY_CASES").unwrap_or(if given.is_some() { 1 } else { CASES });
    let first = given.unwrap_or(FIRST);
    let only = std::env::var("ZONETIDE_PROPERTY_CLOCKS").ok();
    let started = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for seed in first..first + cases {
        if seed > first && (seed - first).is_multiple_of(1000) {
            println!("{} cases took {:.1?}", seed - first, started.elapsed());
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 5_000,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        if let Err(error) = runner.run(&case(only.clone()), |case| play(&runtime, case)) {
            panic!("ZONETIDE_PROPERTY_SEED={seed} plays this again:\n{error}");
        }
    }
    println!("{cases} cases took {:.1?}", started.elapsed());
}
