//! `storage.options`: the options of all types of storage.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::storage::StorageType;
use super::tls::Tls;
use super::{ConfigError, Secret, Span, value_error};

/// The options of all types of storage; which type has which is in [`StorageOptions::of`].
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
// They are Lightning Stream's keys.
#[allow(clippy::struct_excessive_bools)]
pub struct StorageOptions {
    /// `fs`: the directory.
    pub root_path: PathBuf,
    pub access_key: Secret,
    pub secret_key: Secret,
    pub access_key_file: PathBuf,
    pub secret_key_file: PathBuf,
    /// With temporary keys.
    pub session_token: Secret,
    /// May be empty or missing: then the keys are no temporary ones.
    pub session_token_file: PathBuf,
    /// What is shown to an STS for keys, if there are none: see `identity.rs`.
    pub web_identity_token_file: PathBuf,
    pub role_arn: String,
    /// Empty: AWS' of the region.
    pub sts_endpoint: String,
    pub secrets_refresh_interval: Span,
    pub region: String,
    pub bucket: String,
    /// Given with every object; empty: the store's default.
    pub storage_class: String,
    pub create_bucket: bool,
    /// The bucket is in the path of requests; false: in the host's name.
    pub path_style: bool,
    /// Put before every name, as it is.
    pub global_prefix: String,
    /// No effect: names with a `/` are never listed.
    pub prefix_folders: bool,
    /// No effect: names with a `/` are never listed.
    pub hide_folders: bool,
    /// Empty: the provider's.
    pub endpoint_url: String,
    pub disable_send_content_md5: bool,
    /// No effect: uploads go one part after the other.
    pub num_minio_threads: u32,
    pub tls: Tls,
    /// Time that making the bucket may take.
    pub init_timeout: Span,
    pub idle_conn_timeout: Span,
    pub max_idle_conns: usize,
    pub dial_timeout: Span,
    pub dial_keep_alive: Span,
    pub tls_handshake_timeout: Span,
    /// For one request, transfer included.
    pub client_timeout: Span,
    pub use_update_marker: bool,
    pub update_marker_force_list_interval: Span,
    pub account_name: String,
    pub account_key: Secret,
    pub account_key_file: PathBuf,
    pub use_shared_key: bool,
    pub container: String,
    pub create_container: bool,
    /// No effect: uploads go one part after the other.
    pub concurrency: u32,
    /// `gcs`: the key file of a service account; empty: what the machine offers.
    pub service_account_file: PathBuf,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            root_path: PathBuf::new(),
            access_key: Secret::default(),
            secret_key: Secret::default(),
            access_key_file: PathBuf::new(),
            secret_key_file: PathBuf::new(),
            session_token: Secret::default(),
            session_token_file: PathBuf::new(),
            web_identity_token_file: PathBuf::new(),
            role_arn: String::new(),
            sts_endpoint: String::new(),
            secrets_refresh_interval: Span::seconds(15),
            region: "us-east-1".into(),
            bucket: String::new(),
            storage_class: String::new(),
            create_bucket: false,
            path_style: true,
            global_prefix: String::new(),
            prefix_folders: false,
            hide_folders: false,
            endpoint_url: String::new(),
            disable_send_content_md5: false,
            num_minio_threads: 0,
            tls: Tls::default(),
            init_timeout: Span::seconds(20),
            idle_conn_timeout: Span::seconds(90),
            max_idle_conns: 100,
            dial_timeout: Span::seconds(10),
            dial_keep_alive: Span::seconds(10),
            tls_handshake_timeout: Span::seconds(10),
            client_timeout: Span::seconds(15 * 60),
            use_update_marker: false,
            update_marker_force_list_interval: Span::seconds(5 * 60),
            account_name: String::new(),
            account_key: Secret::default(),
            account_key_file: PathBuf::new(),
            use_shared_key: false,
            container: String::new(),
            create_container: false,
            concurrency: 1,
            service_account_file: PathBuf::new(),
        }
    }
}

/// What every store in the network has.
const NETWORK: &[&str] = &[
    "global_prefix",
    "endpoint_url",
    "tls",
    "init_timeout",
    "idle_conn_timeout",
    "max_idle_conns",
    "dial_timeout",
    "dial_keep_alive",
    "tls_handshake_timeout",
    "client_timeout",
    "secrets_refresh_interval",
    "use_update_marker",
    "update_marker_force_list_interval",
];
const S3: &[&str] = &[
    "access_key",
    "secret_key",
    "access_key_file",
    "secret_key_file",
    "session_token",
    "session_token_file",
    "web_identity_token_file",
    "role_arn",
    "sts_endpoint",
    "region",
    "bucket",
    "storage_class",
    "create_bucket",
    "path_style",
    "prefix_folders",
    "hide_folders",
    "disable_send_content_md5",
    "num_minio_threads",
];
const AZURE: &[&str] = &[
    "account_name",
    "account_key",
    "account_key_file",
    "use_shared_key",
    "container",
    "create_container",
    "concurrency",
];

impl StorageOptions {
    /// The options that a type of storage has.
    pub fn of(kind: StorageType) -> Vec<&'static str> {
        match kind {
            StorageType::S3 => [S3, NETWORK].concat(),
            StorageType::Azure => [AZURE, NETWORK].concat(),
            StorageType::Gcs => [&["bucket", "storage_class", "service_account_file"], NETWORK].concat(),
            StorageType::Fs => vec!["root_path", "global_prefix"],
            StorageType::Memory => vec!["global_prefix"],
        }
    }

    pub(super) fn take_zero_for_the_default(&mut self) {
        let default = Self::default();
        for (span, default) in [
            (
                &mut self.secrets_refresh_interval,
                default.secrets_refresh_interval,
            ),
            (&mut self.init_timeout, default.init_timeout),
            (&mut self.idle_conn_timeout, default.idle_conn_timeout),
            (&mut self.dial_timeout, default.dial_timeout),
            (&mut self.dial_keep_alive, default.dial_keep_alive),
            (&mut self.tls_handshake_timeout, default.tls_handshake_timeout),
            (&mut self.client_timeout, default.client_timeout),
            (
                &mut self.update_marker_force_list_interval,
                default.update_marker_force_list_interval,
            ),
            (
                &mut self.tls.watch_certs_poll_interval,
                default.tls.watch_certs_poll_interval,
            ),
        ] {
            if span.0.is_zero() {
                *span = default;
            }
        }
        if self.max_idle_conns == 0 {
            self.max_idle_conns = default.max_idle_conns;
        }
    }

    /// That the bucket can be a part of the host's name, if it is to be.
    pub(super) fn check_host_style(&self) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let reason = if self.path_style {
            return Ok(());
        } else if !self.bucket.bytes().all(plain) {
            "puts the bucket before the name of the host, as a part of it: that takes a bucket of a-z, 0-9 and - only"
        } else if is_address(&self.endpoint_url) {
            "puts the bucket before the name of the host: endpoint_url needs a name, and not an address"
        } else {
            return Ok(());
        };
        Err(value_error(
            "storage.options.path_style",
            format!("false {reason}, or path_style: true"),
        ))
    }

    /// What holds for every store in the network.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let key = |key: &str| format!("storage.options.{key}");
        let prefix = &self.global_prefix;
        if prefix.starts_with('/') || prefix.contains("//") {
            let reason = format!("{prefix:?} must neither begin with '/' nor contain \"//\"");
            return Err(value_error(key("global_prefix"), reason));
        }
        for (name, url) in [
            ("endpoint_url", &self.endpoint_url),
            ("sts_endpoint", &self.sts_endpoint),
        ] {
            if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
                let reason = format!("{url:?} must begin with http:// or https://");
                return Err(value_error(key(name), reason));
            }
        }
        let second = Span::seconds(1);
        if self.secrets_refresh_interval.0 < second.0 {
            let reason = format!(
                "{} is too short: set at least {second}",
                self.secrets_refresh_interval
            );
            return Err(value_error(key("secrets_refresh_interval"), reason));
        }
        self.tls.check()
    }
}

/// Whether a URL names its host by an IP address.
fn is_address(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    host.starts_with('[')
        || host
            .split(':')
            .next()
            .is_some_and(|host| host.parse::<Ipv4Addr>().is_ok())
}
