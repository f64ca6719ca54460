//! The Azure store against Azurite, which checks every signature.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use zonetide_agent::store::{AzureAccess, AzureOptions, Store, open_azure};
use zonetide_testbed::Azurite;
use zonetide_testbed::emulators::{AZURE_ACCOUNT, AZURE_KEYS};

use crate::node::{Node, ZONE};
use crate::store::{check_small_and_large_objects, client, names, put};

const LONG: Duration = Duration::from_secs(3600);
const WRONG_KEY: &str = "c29tZWJvZHkgZWxzZSdzIGtleQ==";

fn open(azure: &Azurite, access: AzureAccess) -> Arc<dyn Store> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    open_azure(&AzureOptions {
        account_name: AZURE_ACCOUNT.into(),
        container: "zones".into(),
        endpoint_url: azure.endpoint(),
        access,
        global_prefix: "ns/schema-5/".into(),
        create_container: Some(Duration::from_secs(20)),
        client: client(),
    })
    .unwrap()
}

fn with_key(azure: &Azurite, key: &str) -> Arc<dyn Store> {
    open(azure, AzureAccess::Key(key.into()))
}

fn write(file: &Path, key: &str) {
    std::fs::write(file, format!("{key}\n")).unwrap();
}

#[tokio::test]
async fn two_servers_replicate_through_a_container_that_the_first_makes() {
    let azure = Azurite::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    write(&file, AZURE_KEYS[0]);
    let storage = json!({"type": "azure", "options": {
        "endpoint_url": azure.endpoint(),
        "account_name": AZURE_ACCOUNT,
        "account_key_file": file,
        "use_shared_key": true,
        "secrets_refresh_interval": "1s",
        "container": "zones",
        "create_container": true,
        "global_prefix": "ns/",
    }});
    let (mut a, mut b) = (Node::new("a", &storage), Node::new("b", &storage));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;

    // A wrong key stops both, and the other right one lets them go on, without a restart.
    write(&file, WRONG_KEY);
    a.comes_to_fail("the store refuses the keys").await;
    a.write("www", "192.0.2.2").await;
    write(&file, AZURE_KEYS[1]);
    b.comes_to_say("www", "192.0.2.2").await;
    b.write("www", "192.0.2.3").await;
    a.comes_to_say("www", "192.0.2.3").await;
}

#[tokio::test]
async fn a_wrong_key_is_said_and_a_renewed_one_is_used_at_once() {
    let azure = Azurite::start().await;
    let error = with_key(&azure, WRONG_KEY)
        .list("main__")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("403") && !error.contains(WRONG_KEY), "{error}");
    put(with_key(&azure, AZURE_KEYS[0]).as_ref(), "main__a", b"1")
        .await
        .unwrap();

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    write(&file, AZURE_KEYS[0]);
    let store = open(&azure, AzureAccess::KeyFile(file.clone(), LONG));
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
    // Nobody looks at the file for an hour, but for a refusal.
    write(&file, WRONG_KEY);
    let refused = open(&azure, AzureAccess::KeyFile(file.clone(), LONG));
    let error = refused.list("main__").await.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    write(&file, AZURE_KEYS[1]);
    put(refused.as_ref(), "main__b", b"1").await.unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a", "main__b"]);
}

#[tokio::test]
async fn objects_of_every_size_go_there_and_back_and_vanish() {
    let azure = Azurite::start().await;
    let store = with_key(&azure, AZURE_KEYS[0]);
    check_small_and_large_objects(store.as_ref()).await;
    store.delete("main__a").await.unwrap();
    assert!(names(store.as_ref(), "").await.is_empty());
}
