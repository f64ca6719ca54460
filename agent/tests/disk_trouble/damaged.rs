//! A file that is no LMDB database any more.

use crate::bench::{Bench, SOON};

#[tokio::test]
async fn a_damaged_file_is_named_and_once_moved_away_comes_back_from_the_store() {
    let mut bench = Bench::new();
    bench.other_instance_stores(10);
    bench.agent.start().await;
    bench.agent.stop();
    let file = bench.records();
    std::fs::write(&file, [0x5a; 16_384]).unwrap();
    bench.agent.launch();
    let text = bench.comes_to_complain("shard", "volume").await;
    assert!(
        text.contains("pdns.lmdb-0") && text.contains("move it away"),
        "{text}"
    );
    std::fs::rename(&file, file.with_extension("damaged")).unwrap();
    bench.comes_to_be_well().await;
    assert_eq!(bench.entries(), 10);
    bench.agent.await_ready(SOON).await;
}
