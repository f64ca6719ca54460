//! The files that PowerDNS and the agent read.

use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest, Sha256};
use zonetide_crds::PowerDnsVersion;

use super::{store_ca, store_proxy};
use crate::{
    hex::hex,
    names::{
        ACCESS_KEY_ID, AGENT_PORT, API_PORT, CA_CERTIFICATE, DNS_PORT, PEERS_PORT, PEERS_TOKEN,
        RETIRED_INSTANCES, SECRET_ACCESS_KEY, SESSION_TOKEN,
    },
    peer_certificates::{certificate_file, key_file},
    reconcile::plan::{Plan, ServerPlan, StorePlan},
    secret::SecretText,
};

pub(super) const DATA_DIR: &str = "/var/lib/powerdns";
pub(super) const CONFIG_DIR: &str = "/etc/zonetide";
/// Where `pdnsutil` and `pdns_control` look by themselves, as Debian builds them.
pub(super) const COMPILED_CONFIG_DIR: &str = "/etc/powerdns";
pub(super) const PDNS_CONF: &str = "pdns.conf";
const ZONE_CACHE: &str = "zone-cache-refresh-interval";
pub(super) const API_DIR: &str = "/etc/zonetide-api";
pub(super) const STORE_DIR: &str = "/etc/zonetide-store";
pub(super) const PEERS_DIR: &str = "/etc/zonetide-peers";
pub(super) const PEERS_TLS_DIR: &str = "/etc/zonetide-peers-tls";
pub(super) const RETIRED_DIR: &str = "/etc/zonetide-retired";
pub(super) const SOCKET_DIR: &str = "/run/pdns";
/// How long deletion marks are kept, days. What was away for longer is compared with all others by the agent when it comes back.
const TOMBSTONE_DAYS: u32 = 30;

/// `pdns.conf`: what users may change first, with their changes, then what the operator owns.
pub(super) fn pdns_conf(plan: &Plan, servers: &ServerPlan) -> String {
    let mut settings: BTreeMap<&str, String> = BTreeMap::from([
        ("webserver-allow-from", "0.0.0.0/0,::/0".to_owned()),
        // Nothing leaves the cluster unasked.
        ("security-poll-suffix", String::new()),
        ("default-soa-content", default_soa(plan)),
    ]);
    if !has_views(plan) {
        // Else each new zone has PowerDNS read the list of all.
        settings.insert(ZONE_CACHE, "0".to_owned());
    }
    for (name, value) in &plan.spec.powerdns.config {
        settings.insert(name, value.clone());
    }
    let addresses = if plan.settings.ipv6_first {
        "::, 0.0.0.0"
    } else {
        "0.0.0.0, ::"
    };
    let web_address = if plan.settings.ipv6_first { "::" } else { "0.0.0.0" };
    // No cache is among them: those of answers stay on, and the agent flushes what was written.
    let owned: [(&str, String); 17] = [
        ("launch", "lmdb".to_owned()),
        ("lmdb-filename", format!("{DATA_DIR}/pdns.lmdb")),
        ("lmdb-shards", "1".to_owned()),
        ("lmdb-lightning-stream", "yes".to_owned()),
        ("lmdb-map-size", servers.map_size_mb.to_string()),
        // No image upgrades databases by itself.
        ("lmdb-schema-version", plan.origin.version.schema().to_string()),
        ("local-address", addresses.to_owned()),
        // Nodes without IPv6 have no [::].
        ("local-address-nonexist-fail", "no".to_owned()),
        ("local-port", DNS_PORT.to_string()),
        ("socket-dir", SOCKET_DIR.to_owned()),
        ("api", "yes".to_owned()),
        ("webserver", "yes".to_owned()),
        ("webserver-address", web_address.to_owned()),
        ("webserver-port", API_PORT.to_string()),
        ("include-dir", API_DIR.to_owned()),
        ("setuid", String::new()),
        ("setgid", String::new()),
    ];
    settings.extend(owned);
    // What 4.9 does not know ends it.
    if plan.origin.version == PowerDnsVersion::V5_1 {
        settings.insert("lmdb-shards-map-size", servers.map_size_mb.to_string());
        // Else each server that checks or announces a zone writes the zone's whole entry, over what another has just set.
        settings.insert("lmdb-split-domains-table", "yes".to_owned());
        // With `no` 5.1.5 takes changes of a zone's kind, account, catalog and primaries over the API, and forgets them.
        settings.insert("lmdb-write-notification-update", "yes".to_owned());
    }
    let mut text = String::from("# Written by the Zonetide operator: change spec.powerdns.config instead.\n");
    for (name, value) in settings {
        text.push_str(name);
        text.push('=');
        text.push_str(&value);
        text.push('\n');
    }
    text
}

/// With views PowerDNS starts only with its zone cache. A setting without a value means yes, as does all that does not say no.
fn has_views(plan: &Plan) -> bool {
    let views = plan.spec.powerdns.config.get("views").map(String::as_str);
    views.is_some_and(|value| !["no", "off"].contains(&value))
}

/// The SOA of zones that are made without one: the only name of its servers that the operator knows, and PowerDNS' own times.
/// PowerDNS puts the zone in the place of `@`.
fn default_soa(plan: &Plan) -> String {
    let (names, service) = (&plan.names, plan.names.dns_service());
    format!(
        "{service}.{}.svc hostmaster.@ 0 10800 3600 604800 3600",
        names.namespace
    )
}

/// The file in PowerDNS' include-dir. It holds the API key, which must be neither an argument nor in a `ConfigMap`.
pub(super) fn api_conf(servers: &ServerPlan) -> SecretText {
    SecretText::new(format!("api-key={}\n", servers.api_key.expose()))
}

/// The agent's configuration. It is JSON, which is YAML too: every value is quoted as it should be.
pub(super) fn agent_yaml(plan: &Plan, servers: &ServerPlan) -> String {
    let database = |file: &str| {
        json!({
            "path": format!("{DATA_DIR}/{file}"),
            "schema_tracks_changes": true,
            "options": {"no_subdir": true, "create": true, "map_size": format!("{}MB", servers.map_size_mb)},
        })
    };
    let replication = &plan.spec.replication;
    let mut config = json!({
        "instance": "${ZONETIDE_INSTANCE}",
        "lmdbs": {"main": database("pdns.lmdb"), "shard": database("pdns.lmdb-0")},
        "lmdb_poll_interval": "1s",
        "storage_poll_interval": replication.poll_interval.as_deref().unwrap_or("1s"),
        "storage": {
            "type": "s3",
            "options": {
                "endpoint_url": plan.bucket.endpoint,
                "region": plan.bucket.region,
                "bucket": plan.bucket.name,
                "global_prefix": plan.bucket.prefix,
                "create_bucket": false,
            },
            // Every change is another object: without this the bucket grows for ever.
            "cleanup": {
                "enabled": true,
                "retired_file": format!("{RETIRED_DIR}/{RETIRED_INSTANCES}"),
            },
        },
        // Else what is made and deleted again and again, such as records for certificates, is kept for ever.
        "sweeper": {"enabled": true, "retention_days": TOMBSTONE_DAYS},
        "http": {"address": format!(":{AGENT_PORT}")},
        "peers": {
            "token_file": format!("{PEERS_DIR}/{PEERS_TOKEN}"),
            "dns": plan.names.peers_address(),
            "address": format!(":{PEERS_PORT}"),
            "tls": {
                "ca_file": format!("{PEERS_TLS_DIR}/{CA_CERTIFICATE}"),
                // The variable of the pod's name.
                "cert_file": format!("{PEERS_TLS_DIR}/{}", certificate_file("${POD_NAME}")),
                "key_file": format!("{PEERS_TLS_DIR}/{}", key_file("${POD_NAME}")),
            },
        },
        "powerdns": {"control_socket": format!("{SOCKET_DIR}/pdns.controlsocket")},
        "log": {"format": "json"},
    });
    // With neither keys nor files the agent finds the service account's token by its environment.
    if !matches!(plan.store, StorePlan::WebIdentity(_)) {
        let options = &mut config["storage"]["options"];
        let files = [
            ("access_key_file", ACCESS_KEY_ID),
            ("secret_key_file", SECRET_ACCESS_KEY),
            ("session_token_file", SESSION_TOKEN),
        ];
        for (option, file) in files {
            options[option] = json!(format!("{STORE_DIR}/{file}"));
        }
    }
    if !plan.bucket.path_style {
        config["storage"]["options"]["path_style"] = json!(false);
    }
    if let Some(tls) = store_ca::options(plan) {
        config["storage"]["options"]["tls"] = tls;
    }
    if let Some(time) = &replication.serve_stale_for {
        config["serving"] = json!({"stale_for": time});
    }
    if let Some(keep) = &plan.spec.history.keep {
        config["history"] = json!({"keep": keep});
    }
    if let Some(most) = plan.spec.protection.max_deleted_zones_per_minute {
        config["protection"] = json!({"max_deleted_zones_per_minute": most});
    }
    if let Some(interval) = &replication.full_snapshot_interval {
        config["storage_force_snapshot_interval"] = json!(interval);
    }
    serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string())
}

/// The files of the `ConfigMap`, by name.
pub(super) fn files(plan: &Plan, servers: &ServerPlan) -> BTreeMap<String, String> {
    [
        (PDNS_CONF, pdns_conf(plan, servers)),
        ("agent.yaml", agent_yaml(plan, servers)),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// Names the files by their content, so that a server which is started again reads those it was made for.
pub(super) fn revision(files: &BTreeMap<String, String>) -> String {
    hex(&digest(files.values().map(String::as_str))[..5])
}

/// Changes when something changes that the pods read only at their start. Keys to the bucket, the peers' token and certificates
/// are not in it: the agent reads them again by itself.
pub(super) fn checksum(plan: &Plan, files: &BTreeMap<String, String>, servers: &ServerPlan) -> String {
    let api = api_conf(servers);
    let proxy = store_proxy::of(plan).map(|proxy| proxy.url().expose());
    let texts = files
        .values()
        .map(String::as_str)
        .chain([api.expose()])
        .chain(proxy);
    hex(&digest(texts)[..16])
}

fn digest<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().to_vec()
}
