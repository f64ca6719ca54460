use std::time::Duration;

use super::*;

const MINIMAL: &str = "
instance: a
lmdbs:
  main: {path: /data/pdns.lmdb, schema_tracks_changes: true, options: {no_subdir: true, map_size: 4096MB}}
storage:
  type: fs
  options: {root_path: /snapshots}
";

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.yaml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

fn error(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn a_minimal_file_has_lightning_streams_defaults() {
    let config = load(MINIMAL).unwrap();
    assert_eq!(config.lmdbs["main"].options.map_size, Size::mebibytes(4096));
    assert_eq!(config.lmdb_poll_interval.0, Duration::from_secs(1));
    assert_eq!(
        config.storage_force_snapshot_interval.0,
        Duration::from_secs(4 * 3600)
    );
    assert_eq!(
        config.storage.cleanup.must_keep_interval.0,
        Duration::from_secs(600)
    );
    assert_eq!(config.retry_limit(), None);
}

#[test]
fn an_unknown_key_is_named() {
    let text = error(&format!("{MINIMAL}storage_pol_interval: 1s\n"));
    assert!(text.contains("storage_pol_interval"), "{text}");
    let text = error(&MINIMAL.replace("no_subdir", "nosubdir"));
    assert!(text.contains("nosubdir"), "{text}");
}

#[test]
fn what_is_missing_or_unsupported_is_named_with_the_remedy() {
    let text = error(&MINIMAL.replace("schema_tracks_changes: true", "schema_tracks_changes: false"));
    assert!(
        text.contains("lmdbs.main.schema_tracks_changes") && text.contains("set it to true"),
        "{text}"
    );
    let text = error(&MINIMAL.replace("type: fs", "type: s3"));
    assert!(text.contains("storage.options.bucket"), "{text}");
    let text = error(&MINIMAL.replace("main:", "ma__in:"));
    assert!(text.contains("lmdbs.ma__in"), "{text}");
    assert!(error(&MINIMAL.replace("root_path", "bucket")).contains("storage.options.root_path"));
}

#[test]
fn a_retry_count_counts_unless_it_is_to_be_tried_for_ever() {
    let limited = format!("{MINIMAL}storage_retry_count: 7\n");
    assert_eq!(load(&limited).unwrap().retry_limit(), Some(7));
    assert_eq!(
        load(&format!("{limited}storage_retry_forever: true\n"))
            .unwrap()
            .retry_limit(),
        None
    );
}

#[test]
fn keys_do_not_show_in_the_debug_form() {
    let text = MINIMAL.replace(
        "root_path: /snapshots",
        "root_path: /s, access_key: AKIA1, secret_key: hush",
    );
    let shown = format!("{:?}", load(&text).unwrap());
    assert!(!shown.contains("AKIA1") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_sweeper_that_would_bring_deleted_records_back_is_refused() {
    let with = |sweeper: &str| load(&format!("{MINIMAL}sweeper: {{enabled: true, {sweeper}}}\n"));
    let sweeper = with("retention_days: 10").unwrap().sweeper;
    assert_eq!(sweeper.retention(), Duration::from_secs(10 * 86_400));
    assert_eq!(sweeper.load_cutoff(), Duration::from_secs(10 * 86_400 / 100 * 99));
    let short = with("retention_days: 0.5").unwrap_err().to_string();
    assert!(short.contains("sweeper.retention_days"), "{short}");
    let late = with("retention_days: 10, retention_load_cutoff_duration: 241h")
        .unwrap_err()
        .to_string();
    assert!(late.contains("retention_load_cutoff_duration"), "{late}");
}
