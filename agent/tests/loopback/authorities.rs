//! Which authorities the agent believes, as its configuration says it, before a real S3 server with TLS.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Minio, TlsFront};

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// A listing of the bucket with these keys of `tls`, on a machine that believes the certificates in `system`.
async fn list(endpoint: &str, bucket: &Bucket, system: &Path, tls: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.yaml");
    let Bucket {
        name,
        access_key,
        secret_key,
        region,
        ..
    } = bucket;
    let text = format!(
        "lmdbs: {{main: {{path: /nowhere, schema_tracks_changes: true}}}}
storage:
  type: s3
  options:
    endpoint_url: {endpoint}
    bucket: {name}
    region: {region}
    access_key: {access_key}
    secret_key: {secret_key}
    tls: {tls}
"
    );
    std::fs::write(&config, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_zonetide-agent"))
        .env("SSL_CERT_FILE", system)
        .env_remove("SSL_CERT_DIR")
        .args(["snapshots", "list", "--config"])
        .arg(&config)
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_systems_authorities_are_believed_beside_the_own_ones_only_if_that_is_said() {
    let minio = Minio::start().await;
    let bucket = minio.bucket("zones").await;
    let front = TlsFront::start(&bucket.endpoint).await;
    let endpoint = front.endpoint();
    // The server is of the first one.
    let (right, other) = (pem("ca.pem"), pem("client.pem"));
    let text = |path: &Path| serde_json::to_string(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (system, tls, believed) in [
        (&right, String::new(), true),
        (&other, String::new(), false),
        (&right, "{add_system_ca_pool: true}".to_owned(), true),
        (&right, format!("{{ca_file: {}}}", other.display()), false),
        (&right, format!("{{ca: {}}}", text(&other)), false),
        (&other, format!("{{ca_file: {}}}", right.display()), true),
        (&other, format!("{{ca: {}}}", text(&right)), true),
        (
            &right,
            format!("{{ca_file: {}, add_system_ca_pool: true}}", other.display()),
            true,
        ),
        (
            &right,
            format!("{{ca: {}, add_system_ca_pool: true}}", text(&other)),
            true,
        ),
        (
            &other,
            format!("{{ca_file: {}, add_system_ca_pool: true}}", right.display()),
            true,
        ),
        (
            &other,
            format!("{{ca_file: {}, add_system_ca_pool: true}}", other.display()),
            false,
        ),
        (&other, "{insecure_skip_verify: true}".to_owned(), true),
    ] {
        let output = list(&endpoint, &bucket, system, &tls).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.success(),
            believed,
            "{}, {tls}: {said}",
            system.display()
        );
        assert!(believed || said.contains("certificate"), "{tls}: {said}");
    }
}
