//! A reader that is killed leaves its slot in LMDB's lock file, and with it every page that it could see.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zonetide_testbed::eventually;

use crate::bench::{Bench, SOON};

/// The processes that have a slot: after two cache lines one for each, the transaction before the process.
fn readers(lock: &Path) -> Vec<u32> {
    let table = std::fs::read(lock).unwrap().split_off(128);
    let slots = table.chunks_exact(64).filter_map(|slot| slot[8..].first_chunk());
    let mut readers: Vec<_> = slots
        .map(|pid| u32::from_ne_bytes(*pid))
        .filter(|pid| *pid != 0)
        .collect();
    readers.sort_unstable();
    readers.dedup();
    readers
}

/// A command that waits inside a read transaction, because nobody reads what it prints.
fn stuck_reader(bench: &Bench) -> Child {
    let mut dump = Command::new(env!("CARGO_BIN_EXE_zonetide-agent"));
    dump.arg("--config")
        .arg(bench.agent.config_path())
        .args(["dump", "shard"]);
    dump.env("ZONETIDE_INSTANCE", "reader").stdout(Stdio::piped());
    let mut child = dump.spawn().unwrap();
    // It is in the midst of it.
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
    child
}

#[tokio::test]
async fn the_slot_of_a_reader_that_was_killed_is_freed_while_that_of_a_living_one_stays() {
    let mut bench = Bench::new();
    bench.other_instance_stores(500);
    bench.agent.start().await;
    let (mut killed, mut living) = (stuck_reader(&bench), stuck_reader(&bench));
    let lock = bench.lock();
    for child in [&killed, &living] {
        assert!(readers(&lock).contains(&child.id()));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    eventually(SOON, "the slot of the dead is free", async || {
        let readers = readers(&lock);
        if readers.contains(&killed.id()) {
            Err(format!("{readers:?}"))
        } else {
            Ok(())
        }
    })
    .await;
    assert!(readers(&lock).contains(&living.id()));
    living.kill().unwrap();
    living.wait().unwrap();
}
