//! The commands on a store of golden snapshots, run as a person would.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::{golden_dir, golden_names};
use tempfile::TempDir;
use zonetide_agent::snapshot::{DeltaName, DeltaWriter, Entry, Meta, SnapshotName};

const NEWEST: &str = "main__instB__20261124-090206-213092065__GX.pb.gz";

struct Desk(TempDir);

impl Desk {
    /// A store with the golden snapshots, and the golden databases.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        std::fs::create_dir(&store).unwrap();
        for name in [golden_names("main"), golden_names("shard")].concat() {
            std::fs::copy(golden_dir().join(&name), store.join(&name)).unwrap();
        }
        for file in ["pdns.lmdb", "pdns.lmdb-0"] {
            std::fs::copy(golden_dir().join("lmdb-a").join(file), dir.path().join(file)).unwrap();
        }
        let lmdb = |file: &str| {
            format!(
                "{{path: {}/{file}, schema_tracks_changes: true, options: {{no_subdir: true, map_size: 16MB}}}}",
                dir.path().display()
            )
        };
        let config = format!(
            "instance: test\nlmdbs:\n  main: {}\n  shard: {}\nstorage: {{type: fs, options: {{root_path: {}}}}}\n",
            lmdb("pdns.lmdb"),
            lmdb("pdns.lmdb-0"),
            store.display()
        );
        std::fs::write(dir.path().join("agent.yaml"), config).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zonetide-agent"));
        command
            .current_dir(self.0.path())
            .args(["--config", "agent.yaml"])
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[args, &["-o", "json"]].concat())).unwrap()
    }

    fn bad(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn list_shows_each_snapshot_with_its_age_and_size() {
    let desk = Desk::new();
    let table = desk.good(&["snapshots", "list", "--database", "main"]);
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(table.contains(NEWEST) && table.contains("1.5 KiB"), "{table}");
    let all = desk.json(&["snapshots", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 10);
    let of_b = desk.json(&["snapshots", "list", "--of", "instB"]);
    assert!(
        of_b.as_array()
            .unwrap()
            .iter()
            .all(|row| row["instance"] == "instB")
    );
}

#[test]
fn a_snapshot_goes_to_a_file_and_back_and_nothing_is_overwritten() {
    let desk = Desk::new();
    desk.good(&["snapshots", "get", NEWEST]);
    assert_eq!(
        std::fs::read(desk.path(NEWEST)).unwrap(),
        std::fs::read(golden_dir().join(NEWEST)).unwrap()
    );
    assert!(desk.bad(&["snapshots", "get", NEWEST]).contains("cannot make"));
    assert!(desk.bad(&["snapshots", "put", NEWEST]).contains("already"));
    desk.good(&["snapshots", "remove", NEWEST]);
    desk.good(&["snapshots", "put", NEWEST]);
    assert!(desk.path("store").join(NEWEST).exists());
    assert!(
        desk.bad(&["snapshots", "get", "main__no"])
            .contains("snapshots list")
    );
}

#[test]
fn a_file_that_is_no_sound_snapshot_of_its_database_is_not_put() {
    let desk = Desk::new();
    std::fs::write(desk.path("notes.txt"), "x").unwrap();
    assert!(
        desk.bad(&["snapshots", "put", "notes.txt"])
            .contains("not the name of a snapshot")
    );
    let shard = NEWEST.replace("main", "shard").replace("213092065", "213092066");
    std::fs::copy(golden_dir().join(NEWEST), desk.path(&shard)).unwrap();
    assert!(desk.bad(&["snapshots", "put", &shard]).contains("wrong one"));
}

#[test]
fn remove_takes_all_or_none_and_can_be_tried() {
    let desk = Desk::new();
    assert!(
        desk.good(&["snapshots", "remove", "--dry-run", NEWEST])
            .contains("would remove")
    );
    assert!(
        desk.bad(&["snapshots", "remove", NEWEST, "main__slip"])
            .contains("main__slip")
    );
    assert!(desk.path("store").join(NEWEST).exists());
}

#[test]
fn verify_names_the_corrupt_one_and_fails() {
    let desk = Desk::new();
    assert_eq!(desk.json(&["snapshots", "verify"]).as_array().unwrap().len(), 10);
    tear(&desk.path("store").join(NEWEST));
    let output = desk.run(&["snapshots", "verify"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.lines()
            .any(|line| line.contains(NEWEST) && line.contains("corrupt")),
        "{text}"
    );
}

/// Stores a delta of one entry that leads on from the newest snapshot of instance B's main database.
fn store_a_delta(desk: &Desk) -> String {
    let newest = SnapshotName::parse(NEWEST).unwrap();
    let time = newest.timestamp() + 1_000_000_000;
    let name = DeltaName::new("main", newest.instance(), newest.timestamp(), time).unwrap();
    let meta = Meta {
        instance: newest.instance().into(),
        timestamp: time,
        database: "main".into(),
        from_lmdb_txn_id: 1,
        ..Meta::default()
    };
    let path = desk.path("store").join(name.as_str());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = DeltaWriter::new(std::fs::File::create(path).unwrap(), &meta).unwrap();
    let entry = Entry {
        key: b"told by a delta",
        value: b"1",
        timestamp: time,
        deleted: false,
    };
    writer.entry("pdns", &entry).unwrap();
    writer.finish().unwrap();
    name.to_string()
}

#[test]
fn deltas_are_listed_verified_dumped_checked_and_removed_as_snapshots_are() {
    let desk = Desk::new();
    assert!(
        desk.good(&["snapshots", "list", "--deltas"])
            .contains("There are no deltas.")
    );
    let name = store_a_delta(&desk);
    let listed = desk.json(&["snapshots", "list", "--deltas"]);
    assert_eq!(listed[0]["name"], name.as_str());
    assert_eq!(desk.json(&["snapshots", "verify"]).as_array().unwrap().len(), 11);
    assert!(
        desk.good(&["snapshots", "dump", &name])
            .contains("told by a delta")
    );
    let output = desk.run(&["check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("main: 2 newest snapshots, 1 deltas since; 1 entries are missing"),
        "{text}"
    );
    desk.good(&["snapshots", "get", &name]);
    desk.good(&["snapshots", "remove", &name]);
    assert!(
        desk.good(&["check"])
            .contains("0 deltas since; 0 entries are missing")
    );
}

fn tear(path: &Path) {
    let content = std::fs::read(path).unwrap();
    std::fs::write(path, &content[..content.len() / 2]).unwrap();
}

#[test]
fn dumps_show_names_and_marks() {
    let desk = Desk::new();
    let text = desk.good(&["snapshots", "dump", NEWEST]);
    assert!(text.contains("schemaversion") && text.contains("instB"), "{text}");
    assert!(text.lines().any(|line| line.contains("deleted")), "{text}");
    let shard = desk.good(&["dump", "shard"]);
    assert!(shard.lines().any(|line| line.contains("www A")), "{shard}");
    for line in desk.good(&["dump", "main", "-o", "json"]).lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["key_hex"].is_string());
    }
    assert!(desk.bad(&["dump", "nothing"]).contains("main, shard"));
}

#[test]
fn stats_count_entries_and_marks() {
    let desk = Desk::new();
    let stats = desk.json(&["stats"]);
    let records = stats
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["dbi"] == "records_v5")
        .unwrap();
    assert!(
        records["entries"].as_u64().unwrap() > 10 && records["deleted"].as_u64().unwrap() >= 3,
        "{records}"
    );
}

#[test]
fn a_configuration_is_checked_without_showing_keys() {
    let desk = Desk::new();
    let file = desk.path("agent.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (lmdbs, _) = text.split_once("storage:").unwrap();
    let s3 = "storage: {type: s3, options: {access_key: AKIA1, secret_key: hush, bucket: zones}}\n";
    std::fs::write(&file, format!("{lmdbs}{s3}")).unwrap();
    let shown = desk.good(&["config", "check"]);
    assert!(
        shown.contains("is usable") && shown.contains("bucket: zones"),
        "{shown}"
    );
    assert!(!shown.contains("hush") && !shown.contains("AKIA1"), "{shown}");
    for (text, lacks) in [
        ("instance: a\n", "storage.type: is needed"),
        ("storage: {type: memory}\n", "lmdbs: name at least one database"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = desk.bad(&["config", "check"]);
        assert!(said.contains(lacks), "{said}");
    }
}

#[test]
fn diff_shows_zone_by_zone_what_powerdns_would_see() {
    let desk = Desk::new();
    let older = "shard__instA__20261124-090157-189959246__GX.pb.gz";
    let text = desk.good(&["snapshots", "diff", older, "shard"]);
    // A deleted zone, and one that came from the other instance.
    assert!(
        text.lines()
            .any(|line| line.starts_with("  - records_v5") && line.contains("www A")),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|line| line.starts_with("  + records_v5") && line.contains("www A")),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|line| line.ends_with("0 changed, 0 removed") && line.contains(".example.: ")),
        "{text}"
    );
    assert_eq!(
        desk.good(&["snapshots", "diff", older, older]).trim(),
        "PowerDNS sees no difference."
    );
    let rows = desk.json(&["snapshots", "diff", older, "shard"]);
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .all(|row| row["dbi"] == "records_v5")
    );
}

#[test]
fn check_finds_what_either_side_lacks() {
    let desk = Desk::new();
    let text = desk.good(&["check"]);
    assert!(
        text.contains("main: 2 newest snapshots, 0 deltas since; 0 entries"),
        "{text}"
    );
    // Without instB's snapshot the bucket lacks what was written there.
    desk.good(&[
        "snapshots",
        "remove",
        "shard__instB__20261124-090206-193473203__GX.pb.gz",
    ]);
    let output = desk.run(&["check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("only in the database: records_v5"), "{text}");
}

#[test]
fn check_needs_no_folder_for_temporary_files_and_leaves_none_beside_the_database() {
    let desk = Desk::new();
    let output = desk
        .command(&["check"])
        .env("TMPDIR", "/nowhere")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let left = std::fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap());
    let left = left.filter(|entry| entry.file_type().unwrap().is_dir());
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["store"]);
}

#[test]
fn the_version_is_shown_without_a_configuration() {
    let desk = Desk::new();
    std::fs::remove_file(desk.path("agent.yaml")).unwrap();
    let shown = desk.good(&["version"]);
    assert!(
        shown.contains(env!("CARGO_PKG_VERSION")) && shown.contains("LMDB 0.9."),
        "{shown}"
    );
}

#[test]
fn receiving_once_ends_when_everything_is_merged_and_stores_nothing() {
    let desk = Desk::new();
    let before = std::fs::read_dir(desk.path("store")).unwrap().count();
    desk.good(&["receive", "--only-once"]);
    assert_eq!(std::fs::read_dir(desk.path("store")).unwrap().count(), before);
    assert!(desk.good(&["stats"]).contains("records_v5"));
}

#[test]
fn syncing_one_database_once_stores_that_one_alone() {
    let desk = Desk::new();
    desk.good(&["sync", "--only-once", "--only-db", "main"]);
    let own = |database: &str| {
        let prefix = format!("{database}__test__");
        let names = std::fs::read_dir(desk.path("store")).unwrap();
        names
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with(&prefix)
            })
            .count()
    };
    assert_eq!((own("main"), own("shard")), (1, 0));
    assert!(
        desk.bad(&["sync", "--only-db", "mian"])
            .contains("did you mean \"main\"?")
    );
}

#[test]
fn a_command_that_takes_too_long_ends_with_75() {
    let desk = Desk::new();
    let output = desk.run(&["sync", "--wait-for-marker-file", "go", "--timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let before = std::fs::read_dir(desk.path("store")).unwrap().count();
    assert_eq!(before, golden_names("main").len() + golden_names("shard").len());
    // The marker is there: it runs, until the time is over.
    std::fs::write(desk.path("store/go"), "").unwrap();
    let output = desk.run(&["sync", "--wait-for-marker-file", "go", "--timeout", "3s"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(std::fs::read_dir(desk.path("store")).unwrap().count() > before + 1);
}

#[test]
fn with_a_minimum_process_id_commands_do_the_same() {
    let desk = Desk::new();
    assert!(
        desk.good(&["--minimum-pid", "200", "stats"])
            .contains("records_v5")
    );
}
