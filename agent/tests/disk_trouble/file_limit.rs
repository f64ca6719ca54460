//! The limit of file sizes (`ulimit -f`), which ends a process that is not prepared for it.

use std::process::Command;

use crate::bench::{Bench, new_database};

#[tokio::test]
async fn a_limit_of_file_sizes_does_not_end_the_agent_which_names_file_and_folder() {
    let mut bench = Bench::new();
    // 1 MiB in blocks of 512 bytes; the log is a file too, and stays below.
    bench
        .agent
        .run_through(&["sh", "-c", "ulimit -S -f 2048; exec \"$0\" \"$@\""]);
    bench.other_instance_stores(900);
    bench.agent.launch();
    let text = bench.comes_to_complain("shard", "volume").await;
    assert!(
        text.contains("pdns.lmdb-0") && text.contains("ulimit -f"),
        "{text}"
    );
    lift_limit(bench.agent.pid());
    bench.comes_to_be_well().await;
    assert_eq!(bench.entries(), 900);
    bench.agent.stop();

    // The database is larger than a temporary file may be now.
    std::fs::remove_file(bench.records()).unwrap();
    drop(new_database(&bench.records(), 3000));
    bench.agent.launch();
    let text = bench.comes_to_complain("shard", "volume").await;
    let folder = bench.records().parent().unwrap().display().to_string();
    assert!(
        text.contains("temporary file") && text.contains(&folder),
        "{text}"
    );
    lift_limit(bench.agent.pid());
    bench.comes_to_be_well().await;
}

fn lift_limit(pid: u32) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &pid.to_string(), "--fsize=unlimited:"]);
    assert!(
        prlimit.status().unwrap().success(),
        "prlimit cannot lift the limit"
    );
}
