//! A volume that is mounted read-only.

use crate::bench::{Bench, Volume, refusal};

#[tokio::test]
async fn an_agent_on_a_read_only_volume_says_so_and_starts_when_it_is_writable() {
    let dir = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::mount(dir.path(), 4 << 20) else {
        return;
    };
    let store = dir.path().join("store");
    let mut bench = Bench::at(dir, &volume.path, &store);
    // With a database, and without one.
    for _ in 0..2 {
        bench.other_instance_stores(10);
        volume.remount("ro");
        bench.agent.launch();
        for database in ["main", "shard"] {
            let text = bench.comes_to_complain(database, "volume").await;
            assert!(text.contains("pdns.lmdb") && text.contains("read-only"), "{text}");
        }
        let not_ready = refusal(&bench.agent, "/readyz").await;
        assert!(not_ready.contains("mount it writable"), "{not_ready}");

        volume.remount("rw");
        bench.comes_to_be_well().await;
        assert_eq!(bench.entries(), 10);
        bench.agent.stop();
    }
}
