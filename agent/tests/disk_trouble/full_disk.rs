//! A volume without room, for the database, for temporary files or for the store.

use std::path::Path;

use crate::bench::{Bench, Volume, new_database, refusal};

const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn a_merge_into_a_full_disk_waits_for_room_and_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::mount(dir.path(), 8 * MEBIBYTE) else {
        return;
    };
    let store = dir.path().join("store");
    let mut bench = Bench::at(dir, &volume.path, &store);
    bench.agent.start().await;
    volume.fill();
    // Compressed below 1 MiB, so it needs no temporary file.
    bench.other_instance_stores(800);
    let text = bench.comes_to_complain("shard", "volume").await;
    assert!(
        text.contains("pdns.lmdb-0") && text.contains("disk is full") && text.contains("make room"),
        "{text}"
    );
    assert!(refusal(&bench.agent, "/healthz").await.contains("make room"));
    // It was ready before, and its zones are as good as they were.
    assert!(bench.agent.is_ready().await);
    assert_eq!(bench.entries(), 0);

    volume.make_room();
    bench.comes_to_be_well().await;
    assert_eq!(bench.entries(), 800);
    drop(bench);
}

#[tokio::test]
async fn an_agent_that_starts_on_a_full_disk_says_so_and_starts_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::mount(dir.path(), MEBIBYTE) else {
        return;
    };
    let store = dir.path().join("store");
    let mut bench = Bench::at(dir, &volume.path, &store);
    volume.fill();
    bench.agent.launch();
    let text = bench.comes_to_complain("main", "volume").await;
    assert!(
        text.contains("pdns.lmdb") && text.contains("disk is full"),
        "{text}"
    );
    let not_ready = refusal(&bench.agent, "/readyz").await;
    assert!(not_ready.contains("disk is full"), "{not_ready}");

    volume.make_room();
    bench.comes_to_be_well().await;
}

#[tokio::test]
async fn a_snapshot_that_finds_no_room_for_its_temporary_file_names_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::mount(dir.path(), 8 * MEBIBYTE) else {
        return;
    };
    let store = dir.path().join("store");
    let mut bench = Bench::at(dir, &volume.path, &store);
    bench.agent.start().await;
    volume.fill();
    bench.other_instance_stores(2000);
    let text = bench.comes_to_complain("shard", "volume").await;
    let folder = volume.path.display().to_string();
    assert!(
        text.contains("temporary file") && text.contains(&folder) && text.contains("No space left"),
        "{text}"
    );
    volume.make_room();
    bench.comes_to_be_well().await;
    assert_eq!(bench.entries(), 2000);
}

#[tokio::test]
async fn a_full_store_is_named_and_gets_the_snapshot_when_it_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::mount(dir.path(), MEBIBYTE) else {
        return;
    };
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    drop(new_database(&data.join("pdns.lmdb-0"), 100));
    let store = volume.path.clone();
    let mut bench = Bench::at(dir, &data, &store);
    volume.fill();
    bench.agent.launch();
    let text = bench.comes_to_fail("shard", "storage_store").await;
    assert!(
        text.contains("cannot write") && text.contains("No space left"),
        "{text}"
    );
    assert_eq!(files(&store), ["ballast"], "a torn object stays behind");

    volume.make_room();
    bench.comes_to_have_stored_everything("shard").await;
    bench.comes_to_be_well().await;
    let stored = files(&store);
    let snapshots = stored.iter().filter(|name| name.starts_with("shard__own__"));
    assert!(snapshots.count() >= 1, "{stored:?}");
    assert!(!stored.iter().any(|name| name.contains('#')), "{stored:?}");
}

/// The names of all files in a folder and below.
fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(files(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names
}
