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
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let text = error(&format!("{MINIMAL}storage_pol_interval: 1s\n"));
    assert!(
        text.contains("storage_pol_interval") && text.contains("did you mean \"storage_poll_interval\"?"),
        "{text}"
    );
    assert!(text.contains("line 8"), "{text}");
    let text = error(&MINIMAL.replace("no_subdir", "nosubdir"));
    assert!(text.contains("did you mean \"no_subdir\"?"), "{text}");
    let text = error(&MINIMAL.replace("type: fs", "type: azur"));
    assert!(text.contains("did you mean \"azure\"?"), "{text}");
    let text = error(&MINIMAL.replace("root_path", "rootpath"));
    assert!(text.contains("did you mean \"root_path\"?"), "{text}");
}

#[test]
fn an_error_does_not_show_the_keys_in_the_lines_around_it() {
    let text = error(&S3.replace("bucket: b", "bucket: b\n    buckett: c"));
    assert!(text.contains("buckett") && !text.contains("hush"), "{text}");
}

#[test]
fn an_option_of_another_type_of_storage_is_refused() {
    let text = error(&MINIMAL.replace("root_path: /snapshots", "root_path: /s, bucket: b"));
    assert!(
        text.contains("storage.options.bucket") && text.contains("no option of type fs"),
        "{text}"
    );
    let text = error(&S3.replace("bucket: b", "bucket: b\n    account_name: a"));
    assert!(text.contains("storage.options.account_name"), "{text}");
}

/// Every key of Lightning Stream's that is supported, with values other than the defaults.
const EVERYTHING: &str = "
instance: a
lmdbs:
  main:
    path: /data/pdns.lmdb
    schema_tracks_changes: true
    dupsort_hack: false
    header_extra_padding_block: false
    options: {no_subdir: true, create: true, dir_mask: 0750, file_mask: 0o640, map_size: 1GB, max_dbs: 32}
    dbi_options: {pdns: {override_create_flags: 0}, records_v5: {}}
lmdb_poll_interval: 2s
lmdb_log_stats_interval: 0
lmdb_scrape_smaps: true
storage_poll_interval: 3s
storage_retry_interval: 4s
storage_retry_count: 5
storage_retry_forever: false
storage_force_snapshot_interval: 0s
memory_downloaded_snapshots: 6
memory_decompressed_snapshots: 7
only_once: true
sweeper:
  enabled: true
  retention_days: 8.5
  interval: 9h
  first_interval: 10m
  lock_duration: 11ms
  release_duration: 12ms
  retention_load_cutoff_duration: 13h
storage:
  type: s3
  options:
    access_key_file: /keys/a
    secret_key_file: /keys/s
    session_token_file: /keys/t
    web_identity_token_file: /keys/w
    role_arn: arn:aws:iam::1:role/dns
    sts_endpoint: https://sts.example
    secrets_refresh_interval: 14s
    region: garage
    bucket: b
    storage_class: STANDARD
    create_bucket: true
    path_style: false
    global_prefix: ns/
    prefix_folders: true
    hide_folders: true
    endpoint_url: https://s3.example
    disable_send_content_md5: true
    num_minio_threads: 15
    tls:
      ca_file: /tls/ca.pem
      add_system_ca_pool: true
      cert_file: /tls/cert.pem
      key: hush
      watch_certs: true
      watch_certs_poll_interval: 16s
      insecure_skip_verify: true
    init_timeout: 17s
    idle_conn_timeout: 18s
    max_idle_conns: 19
    dial_timeout: 20s
    dial_keep_alive: 21s
    tls_handshake_timeout: 22s
    client_timeout: 23m
    use_update_marker: true
    update_marker_force_list_interval: 24m
  cleanup: {enabled: true, interval: 25m, must_keep_interval: 26m, remove_old_instances_interval: 27h, retired_file: /retired/instances}
http: {address: \":8500\"}
peers:
  token: hush-hush-hush-hush
  dns: example-peers.dns.svc:8500
  list: [\"https://fra.example.org:8500\"]
  max_object: 512KB
  tls: {ca_file: /tls/peers.pem}
log: {level: warning, format: logfmt, timestamp: disable}
";

const S3: &str = "
lmdbs: {main: {path: /data/pdns.lmdb, schema_tracks_changes: true}}
storage:
  type: s3
  options:
    access_key: AKIA1
    secret_key: hush
    bucket: b
";

#[test]
fn every_key_is_read_and_comes_back_in_the_evaluated_configuration() {
    let shown = load(EVERYTHING).unwrap().to_yaml().unwrap();
    let shown: serde_json::Value = serde_saphyr::from_str(&shown).unwrap();
    assert_eq!(shown["lmdbs"]["main"]["options"]["file_mask"], "0640");
    assert_eq!(shown["lmdbs"]["main"]["options"]["dir_mask"], "0750");
    assert_eq!(shown["lmdbs"]["main"]["options"]["map_size"], "1GB");
    assert_eq!(shown["lmdb_log_stats_interval"], "0s");
    assert_eq!(shown["storage_retry_count"], 5);
    let options = &shown["storage"]["options"];
    assert_eq!(options["tls"]["key"], "***");
    assert_eq!(options["tls"]["add_system_ca_pool"], true);
    assert_eq!(options["client_timeout"], "23m");
    assert_eq!(options["update_marker_force_list_interval"], "24m");
    assert!(options.get("account_name").is_none());
    assert_eq!(shown["log"]["format"], "logfmt");
    assert_eq!(shown["peers"]["token"], "***");
    assert_eq!(shown["peers"]["max_object"], "512KB");
    assert_eq!(shown["peers"]["tls"]["ca_file"], "/tls/peers.pem");
    // What is shown can be read again.
    let again = serde_saphyr::to_string(&shown).unwrap();
    assert!(load(&again).is_ok(), "{again}");
}

#[test]
fn the_evaluated_configuration_shows_defaults_and_no_keys() {
    let shown = load(S3).unwrap().to_yaml().unwrap();
    assert!(!shown.contains("AKIA1") && !shown.contains("hush"), "{shown}");
    assert!(shown.contains("secrets_refresh_interval: 15s"), "{shown}");
    assert!(shown.contains("us-east-1"), "{shown}");
}

#[test]
fn what_is_not_supported_is_refused_with_the_reason_and_where_to_read_on() {
    let with = |more: &str| error(&MINIMAL.replace("schema_tracks_changes: true", more));
    for (key, more) in [
        ("schema_tracks_changes", "schema_tracks_changes: false"),
        ("dupsort_hack", "schema_tracks_changes: true, dupsort_hack: true"),
        (
            "header_extra_padding_block",
            "schema_tracks_changes: true, header_extra_padding_block: true",
        ),
    ] {
        let text = with(more);
        assert!(text.contains(&format!("lmdbs.main.{key}")), "{text}");
        assert!(text.contains("docs/lightning-stream.md"), "{text}");
    }
    let text = with("schema_tracks_changes: true, dbi_options: {x: {override_create_flags: MDB_DUPSORT}}");
    assert!(
        text.contains("lmdbs.main.dbi_options.x.override_create_flags"),
        "{text}"
    );
    let text = error(&S3.replace("bucket: b", "bucket: b\n    tls: {insecure_key_log_file: /k}"));
    assert!(
        text.contains("storage.options.tls.insecure_key_log_file"),
        "{text}"
    );
}

#[test]
fn azure_and_google_need_what_names_the_container_and_the_account() {
    let with = |kind: &str, options: &str| {
        let storage = format!("type: {kind}\n  options: {options}\n");
        load(&MINIMAL.replace("type: fs\n  options: {root_path: /snapshots}\n", &storage))
    };
    let azure =
        "{container: c, account_name: a, use_shared_key: true, account_key_file: /k, create_container: true}";
    assert!(with("azure", azure).is_ok());
    let text = with("azure", "{container: c}").unwrap_err().to_string();
    assert!(text.contains("storage.options.account_name"), "{text}");
    let text = with("azure", "{container: c, account_name: a, use_shared_key: true}");
    assert!(
        text.unwrap_err()
            .to_string()
            .contains("storage.options.account_key")
    );
    assert!(with("gcs", "{bucket: b, service_account_file: /k.json}").is_ok());
    let text = with("gcs", "{}").unwrap_err().to_string();
    assert!(text.contains("storage.options.bucket"), "{text}");
}

#[test]
fn values_that_cannot_work_are_named_with_the_remedy() {
    for (key, line) in [
        ("lmdb_poll_interval", "lmdb_poll_interval: 0s"),
        ("storage_poll_interval", "storage_poll_interval: 1ms"),
        (
            "storage_force_snapshot_interval",
            "storage_force_snapshot_interval: 1ms",
        ),
        ("storage_retry_count", "storage_retry_count: 0"),
        ("http.address", "http: {address: localhost}"),
        ("log.level", "log: {level: loud}"),
    ] {
        let text = error(&format!("{MINIMAL}{line}\n"));
        assert!(text.starts_with(key), "{text}");
    }
    for (key, line) in [
        ("endpoint_url", "endpoint_url: s3.example"),
        ("global_prefix", "global_prefix: /ns/"),
        ("secrets_refresh_interval", "secrets_refresh_interval: 10ms"),
        ("client_timeout", "client_timeout: 5"),
        ("tls.key_file", "tls: {cert_file: /c.pem}"),
    ] {
        let text = error(&S3.replace("bucket: b", &format!("bucket: b\n    {line}")));
        assert!(text.contains(&format!("storage.options.{key}: ")), "{text}");
    }
}

#[test]
fn a_bucket_goes_into_the_name_of_the_host_only_where_it_makes_a_name() {
    let with = |options: &str| load(&S3.replace("bucket: b", &format!("path_style: false\n    {options}")));
    for options in [
        "bucket: b-1",
        "bucket: b\n    endpoint_url: https://s3.example:8443",
    ] {
        with(options).unwrap();
    }
    for options in [
        "bucket: b.example",
        "bucket: B",
        "bucket: b\n    endpoint_url: http://127.0.0.1:9000",
        "bucket: b\n    endpoint_url: http://[::1]",
    ] {
        let text = with(options).unwrap_err().to_string();
        assert!(
            text.starts_with("storage.options.path_style: false") && text.ends_with("or path_style: true"),
            "{text}"
        );
    }
}

#[test]
fn databases_that_are_not_named_are_left_out_and_unknown_ones_refused() {
    let mut config = load(EVERYTHING).unwrap();
    config.keep_only(&[]).unwrap();
    config.keep_only(&["main".into()]).unwrap();
    assert_eq!(config.lmdbs.len(), 1);
    let error = config.keep_only(&["mian".into()]).unwrap_err().to_string();
    assert!(error.contains("did you mean \"main\"?"), "{error}");
}

#[test]
fn the_root_path_may_be_in_its_old_place() {
    let old = MINIMAL.replace("options: {root_path: /snapshots}", "root_path: /snapshots");
    assert_eq!(
        load(&old).unwrap().storage.options.root_path,
        PathBuf::from("/snapshots")
    );
}

#[test]
fn what_is_missing_or_unsupported_is_named_with_the_remedy() {
    let text = error(&MINIMAL.replace("schema_tracks_changes: true", "schema_tracks_changes: false"));
    assert!(
        text.contains("lmdbs.main.schema_tracks_changes") && text.contains("set it to true"),
        "{text}"
    );
    let text = error(&S3.replace("bucket: b", "region: r"));
    assert!(text.contains("storage.options.bucket"), "{text}");
    let text = error(&MINIMAL.replace("main:", "ma__in:"));
    assert!(text.contains("lmdbs.ma__in"), "{text}");
    assert!(error(&MINIMAL.replace("root_path: /snapshots", "")).contains("storage.options.root_path"));
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
    let shown = format!("{:?}", load(S3).unwrap());
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
    // Lightning Stream's meaning: how long before their removal marks are left out, at most three quarters.
    let early = with("retention_days: 10, retention_load_cutoff_duration: 24h").unwrap();
    assert_eq!(early.sweeper.load_cutoff(), Duration::from_secs(9 * 86_400));
    let all = with("retention_days: 10, retention_load_cutoff_duration: 2400h").unwrap();
    assert_eq!(all.sweeper.load_cutoff(), Duration::from_secs(10 * 86_400 / 4));
}

#[test]
fn the_control_socket_of_powerdns_is_known_and_its_path_must_fit() {
    assert_eq!(load(MINIMAL).unwrap().powerdns.control_socket.as_os_str(), "");
    let section = |path: &str| format!("{MINIMAL}powerdns: {{control_socket: {path}}}\n");
    let path = "/run/pdns/pdns.controlsocket";
    let config = load(&section(path)).unwrap();
    assert_eq!(config.powerdns.control_socket.as_os_str(), path);
    let text = error(&section(&"x".repeat(108)));
    assert!(text.contains("powerdns.control_socket"), "{text}");
    let text = error(&section(path).replace("control_socket", "controlsocket"));
    assert!(text.contains("did you mean \"control_socket\"?"), "{text}");
}
