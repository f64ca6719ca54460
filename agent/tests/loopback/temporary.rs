//! Temporary keys of a real MinIO, in files as the kubelet mounts and replaces them.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::minio::Temporary;
use zonetide_testbed::{Minio, eventually};

use crate::faults::{comes_to_fail_with, failures};
use crate::node::{Node, SOON, ZONE};

const FILES: [&str; 3] = ["access-key-id", "secret-access-key", "session-token"];

/// A mounted Secret: its files are links through one directory, which is replaced as a whole.
struct Mounted {
    dir: TempDir,
    number: u32,
}

impl Mounted {
    fn new(texts: [&str; 3]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in FILES {
            symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
        }
        let mut mounted = Self { dir, number: 0 };
        mounted.replace(texts);
        mounted
    }

    fn replace(&mut self, texts: [&str; 3]) {
        self.number += 1;
        let data = self.path(&format!("..{}", self.number));
        std::fs::create_dir(&data).unwrap();
        for (name, text) in FILES.iter().zip(texts) {
            std::fs::write(data.join(name), text).unwrap();
        }
        symlink(&data, self.path("..data_tmp")).unwrap();
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        // An old one may still be read.
        if self.number > 1 {
            std::fs::remove_dir_all(self.path(&format!("..{}", self.number - 1))).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn texts(keys: &Temporary) -> [&str; 3] {
    [
        &keys.bucket.access_key,
        &keys.bucket.secret_key,
        &keys.session_token,
    ]
}

/// A server whose agent reads its keys from there.
fn node(name: &str, bucket: &Bucket, keys: &Mounted) -> Node {
    let mut node = Node::new(name, bucket);
    for (option, value) in [
        ("access_key", json!(null)),
        ("secret_key", json!(null)),
        ("access_key_file", json!(keys.path(FILES[0]))),
        ("secret_key_file", json!(keys.path(FILES[1]))),
        ("session_token_file", json!(keys.path(FILES[2]))),
        // Changes are seen without it.
        ("secrets_refresh_interval", json!("1h")),
    ] {
        node.agent.set_store_option(option, value);
    }
    node
}

/// What stands for a temporary key in the status.
fn fingerprint(key: &Temporary) -> Value {
    digits(&format!("{}\n{}", key.bucket.access_key, key.session_token))
}

fn digits(of: &str) -> Value {
    let digest = Sha256::digest(of.as_bytes());
    let digits: Vec<_> = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    json!(digits.concat())
}

pub(crate) async fn comes_to_use(node: &Node, key: &Temporary) {
    comes_to_show(node, fingerprint(key)).await;
}

async fn comes_to_show(node: &Node, fingerprint: Value) {
    eventually(SOON, "the status names the key", async || {
        let status = node.agent.status().await;
        let key = &status["store_key"];
        if *key == fingerprint {
            Ok(())
        } else {
            Err(format!("{key}, {:?}", failures(&status)))
        }
    })
    .await;
}

#[tokio::test]
async fn temporary_keys_are_followed_when_they_are_renewed_and_when_they_have_ended() {
    let minio = Minio::start().await;
    let bucket = minio.bucket("zones").await;
    let first = minio.temporary(&bucket).await;
    let mut keys = Mounted::new(texts(&first));
    let (mut a, mut b) = (node("a", &bucket, &keys), node("b", &bucket, &keys));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;
    let mut started = Vec::new();
    for node in [&a, &b] {
        comes_to_use(node, &first).await;
        started.push(node.agent.status().await["started"].clone());
    }

    // In time: nobody notices.
    let second = minio.temporary(&bucket).await;
    keys.replace(texts(&second));
    for node in [&a, &b] {
        comes_to_use(node, &second).await;
    }
    minio.revoke(&first).await;
    b.write("renewed", "192.0.2.2").await;
    a.comes_to_say("renewed", "192.0.2.2").await;
    for node in [&a, &b] {
        let status = node.agent.status().await;
        for database in ["main", "shard"] {
            assert_eq!(status["databases"][database]["troubles"], json!([]));
        }
    }

    // Too late: nothing is lost.
    minio.revoke(&second).await;
    a.write("ended", "192.0.2.3").await;
    for node in [&a, &b] {
        comes_to_fail_with(node, "check the keys").await;
        node.says("www", "192.0.2.1").await.unwrap();
        let status = node.agent.status().await;
        assert_eq!(status["store_key"], fingerprint(&second));
    }
    let third = minio.temporary(&bucket).await;
    keys.replace(texts(&third));
    b.comes_to_say("ended", "192.0.2.3").await;
    for (node, started) in [&a, &b].into_iter().zip(started) {
        comes_to_use(node, &third).await;
        assert_eq!(node.agent.status().await["started"], started);
        let page = node.agent.http().get_text("/").await.unwrap();
        let shown = fingerprint(&third);
        assert!(page.contains(shown.as_str().unwrap()), "{page}");
        for secret in [&third.session_token, &third.bucket.secret_key] {
            assert!(!page.contains(secret) && !node.agent.log().contains(secret));
        }
    }
}

#[tokio::test]
async fn an_empty_session_token_means_lasting_keys() {
    let minio = Minio::start().await;
    let bucket = minio.bucket("zones").await;
    let keys = Mounted::new([&bucket.access_key, &bucket.secret_key, "\n"]);
    let mut a = node("a", &bucket, &keys);
    a.start().await;
    comes_to_show(&a, digits(&bucket.access_key)).await;
}
