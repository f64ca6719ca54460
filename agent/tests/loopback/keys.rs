//! Keys that end while they are used: in the middle of a large upload, and under two running agents.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use zonetide_agent::store::{S3Options, Store, StoreError, open_s3, spool};
use zonetide_testbed::fault_proxy::{Fault, FaultProxy, Hold, Refusal, Request};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, eventually};

use crate::faults::{Pair, comes_to_fail_with};
use crate::node::SOON;
use crate::store::options;

/// Key files as a mounted Secret has them.
struct KeyFiles(TempDir);

impl KeyFiles {
    fn new(keys: &Bucket) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(keys);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, keys: &Bucket) {
        std::fs::write(self.path("access"), &keys.access_key).unwrap();
        std::fs::write(self.path("secret"), &keys.secret_key).unwrap();
    }
}

/// A part and a half.
fn large() -> Vec<u8> {
    (0..=250).cycle().take(12 << 20).collect()
}

async fn put(store: &dyn Store, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let mut object = spool(&std::env::temp_dir());
    object.write_all(content).unwrap();
    store.put(name, object).await
}

async fn get(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
    let mut object = store.get(name, spool(&std::env::temp_dir())).await.unwrap()?;
    let mut content = Vec::new();
    object.read_to_end(&mut content).unwrap();
    Some(content)
}

/// A store whose second part of an upload is held for as long as the test wants, once.
struct Upload {
    garage: Garage,
    bucket: Bucket,
    files: KeyFiles,
    store: std::sync::Arc<dyn Store>,
    hold: Hold,
    _proxy: FaultProxy,
}

impl Upload {
    /// Garage counts them a moment after it has answered.
    async fn comes_to_leave(&self, uploads: u64) {
        eventually(SOON, "no more uploads are unfinished", async || {
            let found = self.garage.unfinished_uploads("zones").await;
            if found == uploads {
                Ok(())
            } else {
                Err(found.to_string())
            }
        })
        .await;
    }

    async fn start() -> Self {
        let garage = Garage::start().await;
        let bucket = garage.bucket("zones").await;
        let proxy = FaultProxy::start(&bucket);
        let hold = Hold::default();
        let mut once = Some(Fault::Hold(hold.clone()));
        proxy.plan(move |request: &Request| {
            if request.target.contains("partNumber=2") {
                once.take()
            } else {
                None
            }
        });
        let files = KeyFiles::new(&bucket);
        let store = open_s3(&S3Options {
            key_files: Some((files.path("access"), files.path("secret"))),
            secrets_refresh_interval: Duration::from_secs(3600),
            ..options(&proxy.bucket(&bucket))
        })
        .unwrap();
        Self {
            garage,
            bucket,
            files,
            store,
            hold,
            _proxy: proxy,
        }
    }
}

#[tokio::test]
async fn an_upload_whose_key_is_revoked_between_two_parts_begins_again_with_the_new_one() {
    let upload = Upload::start().await;
    let content = large();
    let renew = async {
        upload.hold.arrived().await;
        let new = upload.garage.another_key(&upload.bucket).await;
        upload.files.write(&new);
        upload.garage.revoke(&upload.bucket).await;
        upload.hold.let_go();
    };
    let (sent, ()) = tokio::join!(put(upload.store.as_ref(), "main__a", &content), renew);
    sent.unwrap();
    assert!(get(upload.store.as_ref(), "main__a").await.unwrap() == content);
    upload.comes_to_leave(0).await;
}

#[tokio::test]
async fn an_upload_whose_key_is_revoked_fails_as_a_whole_and_its_parts_go_when_there_is_a_new_one() {
    let upload = Upload::start().await;
    let content = large();
    let revoke = async {
        upload.hold.arrived().await;
        upload.garage.revoke(&upload.bucket).await;
        upload.hold.let_go();
    };
    let (sent, ()) = tokio::join!(put(upload.store.as_ref(), "main__a", &content), revoke);
    let error = sent.unwrap_err().to_string();
    assert!(error.contains("check the keys"), "{error}");
    // Nobody may remove it yet.
    upload.comes_to_leave(1).await;
    upload
        .files
        .write(&upload.garage.another_key(&upload.bucket).await);
    assert_eq!(
        get(upload.store.as_ref(), "main__a").await,
        None,
        "half an object"
    );
    // The next attempt has another name, as every snapshot has.
    put(upload.store.as_ref(), "main__b", &content).await.unwrap();
    assert!(get(upload.store.as_ref(), "main__b").await.unwrap() == content);
    upload.comes_to_leave(0).await;
}

#[tokio::test]
async fn an_upload_that_is_broken_off_leaves_no_parts_once_another_object_is_stored() {
    let upload = Upload::start().await;
    let content = large();
    tokio::select! {
        _ = put(upload.store.as_ref(), "main__a", &content) => panic!("a part is held"),
        () = upload.hold.arrived() => {}
    }
    upload.hold.let_go();
    put(upload.store.as_ref(), "main__b", b"small").await.unwrap();
    upload.comes_to_leave(0).await;
}

#[tokio::test]
async fn agents_whose_keys_end_say_so_and_go_on_with_the_new_ones_without_a_restart() {
    let mut pair = Pair::configured(|node, keys| {
        let dir = KeyFiles::new(keys);
        for (option, value) in [
            ("access_key", json!(null)),
            ("secret_key", json!(null)),
            ("access_key_file", json!(dir.path("access"))),
            ("secret_key_file", json!(dir.path("secret"))),
            ("secrets_refresh_interval", json!("1s")),
        ] {
            node.agent.set_store_option(option, value);
        }
        dir
    })
    .await;
    let started = pair.a.agent.status().await["started"].clone();
    pair.garage.revoke(&pair.bucket).await;
    pair.a.write("a-revoked", "192.0.2.30").await;
    pair.b.write("b-revoked", "192.0.2.31").await;
    for node in pair.nodes() {
        comes_to_fail_with(node, "check the keys").await;
        node.says("www", "192.0.2.1").await.unwrap();
    }
    let new = pair.garage.another_key(&pair.bucket).await;
    for files in &pair.kept {
        files.write(&new);
    }
    pair.a.comes_to_say("b-revoked", "192.0.2.31").await;
    pair.b.comes_to_say("a-revoked", "192.0.2.30").await;
    pair.comes_to_be_well().await;
    assert_eq!(pair.a.agent.status().await["started"], started);

    // A store that refuses only the old key, as one that does not know yet of the new one the other way round.
    let old = new.access_key.clone();
    pair.proxy.plan(move |request| {
        let refused = request.authorization.contains(&old);
        refused.then_some(Fault::Refuse(Refusal::EXPIRED))
    });
    pair.a.write("a-expired", "192.0.2.32").await;
    comes_to_fail_with(&pair.a, "ExpiredToken").await;
    let newest = pair.garage.another_key(&pair.bucket).await;
    for files in &pair.kept {
        files.write(&newest);
    }
    pair.b.comes_to_say("a-expired", "192.0.2.32").await;
    pair.comes_to_be_well().await;
    eventually(SOON, "the log names the change", async || {
        let log = pair.a.agent.log();
        if log.matches("the keys of the store changed").count() >= 2 {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    pair.a.stop();
}
