//! Files that the agent may not use. Root may use all of them, so root's agent gives that right up.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::bench::{Bench, refusal};

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

async fn bench() -> Bench {
    let mut bench = Bench::new();
    if is_root() {
        let rights = "--bounding-set=-dac_override,-dac_read_search";
        bench.agent.run_through(&["setpriv", rights]);
    }
    bench.other_instance_stores(10);
    bench.agent.start().await;
    bench.agent.stop();
    bench
}

fn set_rights(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

async fn is_refused(bench: &mut Bench, file: &Path, rights: &str) {
    bench.agent.launch();
    let text = bench.comes_to_complain("shard", "volume").await;
    let file = file.display().to_string();
    assert!(
        text.contains("permission denied") && text.contains("same user") && text.contains(rights),
        "{text}"
    );
    assert!(text.contains(&format!("({file} is of user")), "{text}");
    let not_ready = refusal(&bench.agent, "/readyz").await;
    assert!(not_ready.contains(&file), "{not_ready}");
}

async fn is_well(bench: &mut Bench) {
    bench.comes_to_be_well().await;
    assert_eq!(bench.entries(), 10);
    bench.agent.stop();
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_named_with_its_owner_until_it_may() {
    let mut bench = bench().await;
    for (file, mode) in [
        (bench.lock(), 0o444),
        (bench.records(), 0o400),
        (bench.records(), 0),
    ] {
        let usual = std::fs::metadata(&file).unwrap().mode() & 0o777;
        set_rights(&file, mode);
        is_refused(&mut bench, &file, &format!("rights 0{mode:o}")).await;
        set_rights(&file, usual);
        is_well(&mut bench).await;
    }
}

#[tokio::test]
async fn a_folder_that_may_not_be_entered_is_named_with_its_owner_until_it_may() {
    let mut bench = bench().await;
    let folder = bench.records().parent().unwrap().to_owned();
    set_rights(&folder, 0o600);
    is_refused(&mut bench, &folder, "rights 0600").await;
    set_rights(&folder, 0o700);
    is_well(&mut bench).await;
}

#[tokio::test]
async fn files_of_another_user_are_named_with_both_users_until_they_are_handed_over() {
    if !is_root() {
        eprintln!("NOT RUN: files_of_another_user needs root to give files to another user");
        return;
    }
    let mut bench = bench().await;
    for file in [bench.records(), bench.lock()] {
        set_rights(&file, 0o600);
        chown(&file, Some(65_534), Some(65_534)).unwrap();
        is_refused(
            &mut bench,
            &file,
            "user 65534, group 65534, rights 0600; this process is user 0",
        )
        .await;
        chown(&file, Some(0), Some(0)).unwrap();
        is_well(&mut bench).await;
    }
}
