//! What an agent is told by its configuration.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::{Agent, PEERS_TOKEN};

impl Agent {
    pub(super) fn config(&self) -> String {
        let http_port = self.http_port;
        let mut storage = self.storage.section();
        if let Some(options) = storage["options"].as_object_mut() {
            options.extend(self.store_options.iter().cloned());
            options.retain(|_, value| !value.is_null());
        }
        let main = self.database.display();
        let lmdb_poll = self.lmdb_poll.as_millis();
        let options = format!(
            "{{no_subdir: true, create: true, map_size: {}MB}}",
            self.map_size_mb
        );
        let storage_poll = self.storage_poll.as_millis();
        let peers = if self.peers.is_empty() {
            String::new()
        } else {
            let files = self.certificates();
            let mut peers = json!({
                "token": PEERS_TOKEN,
                "address": format!("127.0.0.1:{}", self.peers_port),
                "list": self.peers,
                "tls": {"ca_file": files.path("ca"), "cert_file": files.path("cert"), "key_file": files.path("key")},
            });
            if let Some(size) = self.told {
                peers["max_object"] = json!(size);
            }
            format!("peers: {peers}\n")
        };
        let mut sections = String::new();
        for (name, section) in &self.sections {
            let _ = writeln!(sections, "{name}: {section}");
        }
        let powerdns = json!({"control_socket": self.control_socket.as_deref().unwrap_or(Path::new(""))});
        format!(
            "instance: ${{ZONETIDE_INSTANCE}}
lmdbs:
  main: {{path: {main}, schema_tracks_changes: true, options: {options}}}
  shard: {{path: {main}-0, schema_tracks_changes: true, options: {options}}}
storage_poll_interval: {storage_poll}ms
lmdb_poll_interval: {lmdb_poll}ms
storage_retry_interval: 500ms
storage: {storage}
powerdns: {powerdns}
{sections}{peers}http: {{address: \"127.0.0.1:{http_port}\"}}
log: {{level: debug, format: human}}
"
        )
    }
}
