//! The pdns.conf settings that the operator decides, each with what a user should do instead.
//!
//! One table feeds the schema's rules, so that a refusal always names the setting and the remedy.

use kube::core::{Rule, validate};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::setting_values::REFUSED;

const BACKEND: &str = "the servers keep zones in LMDB, which is what is replicated: remove it";
const MAP_SIZE: &str = "it follows from the volume: set spec.storage.size instead";
const REPLICATION: &str = "replication depends on its value: remove it";
const NOTIFICATION: &str =
    "with \"no\" PowerDNS 5.1 forgets changes of a zone's kind, account, catalog and primaries: remove it";
const VERSION: &str = "it follows from spec.powerdns.version: remove it";
const DNS_PORT: &str = "the servers listen on every address at a high port: set spec.service.port instead";
const API: &str = "the operator configures the API and the Service NAME-api in front of it: remove it";
const API_KEY: &str = "settings are readable by many: name a Secret in spec.powerdns.apiKeySecretRef instead";
const PROCESS: &str = "the operator decides how the server runs in its container: remove it";
const FILES: &str =
    "the operator decides which files the server reads: put settings into spec.powerdns.config instead";

/// Name of the setting, and why it is refused with what to do instead.
pub const OWNED_SETTINGS: &[(&str, &str)] = &[
    ("launch", BACKEND),
    ("load-modules", BACKEND),
    ("module-dir", BACKEND),
    ("lmdb-filename", BACKEND),
    ("lmdb-map-size", MAP_SIZE),
    ("lmdb-shards-map-size", MAP_SIZE),
    ("lmdb-shards", REPLICATION),
    ("lmdb-lightning-stream", REPLICATION),
    ("lmdb-random-ids", REPLICATION),
    ("lmdb-flag-deleted", REPLICATION),
    ("lmdb-schema-version", VERSION),
    ("lmdb-split-domains-table", REPLICATION),
    ("lmdb-write-notification-update", NOTIFICATION),
    ("local-address", DNS_PORT),
    ("local-address-nonexist-fail", DNS_PORT),
    ("local-port", DNS_PORT),
    ("api", API),
    ("webserver", API),
    ("webserver-address", API),
    ("webserver-port", API),
    ("webserver-password", API_KEY),
    ("api-key", API_KEY),
    ("socket-dir", PROCESS),
    ("daemon", PROCESS),
    ("guardian", PROCESS),
    ("chroot", PROCESS),
    ("setuid", PROCESS),
    ("setgid", PROCESS),
    ("write-pid", PROCESS),
    ("disable-syslog", PROCESS),
    ("log-timestamp", PROCESS),
    ("config-dir", FILES),
    ("config-name", FILES),
    ("include-dir", FILES),
];

/// What a rule says when a setting is refused.
pub(crate) fn refusal(setting: &str, remedy: &str) -> String {
    format!("spec.powerdns.config must not set {setting}: {remedy}")
}

pub(crate) fn config_schema(_: &mut SchemaGenerator) -> Schema {
    let mut value = json_schema!({"type": "string", "maxLength": 4096});
    for refused in &REFUSED {
        // As below.
        let _ = validate(&mut value, refused.cel());
    }
    let mut schema = json_schema!({
        "type": "object",
        "maxProperties": 128,
        "additionalProperties": value,
    });
    for (setting, remedy) in OWNED_SETTINGS {
        let rule = Rule::new(format!("!('{setting}' in self)")).message(refusal(setting, remedy).as_str());
        // It fails only for a rule that is no JSON, and a test compiles every one of these.
        let _ = validate(&mut schema, rule);
    }
    schema
}
