//! The options of the S3 store against a real S3 server.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use zonetide_agent::store::{
    ClientSettings, MarkedStore, Proxies, S3Options, Store, StoreError, TlsSettings, UPDATE_MARKER, open_s3,
    spool,
};
use zonetide_testbed::Garage;
use zonetide_testbed::garage::Bucket;

const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn options(bucket: &Bucket) -> S3Options {
    let _ = rustls::crypto::ring::default_provider().install_default();
    S3Options {
        bucket: bucket.name.clone(),
        endpoint_url: bucket.endpoint.clone(),
        region: bucket.region.to_owned(),
        access_key: bucket.access_key.clone(),
        secret_key: bucket.secret_key.clone(),
        global_prefix: "ns/schema-5/".into(),
        client: ClientSettings {
            content_md5: true,
            ..client()
        },
        ..S3Options::default()
    }
}

pub(crate) fn client() -> ClientSettings {
    ClientSettings {
        idle_conn_timeout: Duration::from_secs(90),
        max_idle_conns: 100,
        connect_timeout: Duration::from_secs(20),
        dial_keep_alive: Duration::from_secs(10),
        client_timeout: Duration::from_secs(60),
        content_md5: false,
        proxies: Proxies::default(),
        tls: TlsSettings::default(),
    }
}

/// Objects of every size arrive as they are: the largest goes in parts.
pub(crate) async fn check_small_and_large_objects(store: &dyn Store) {
    let large: Vec<u8> = (0..=250).cycle().take(20 << 20).collect();
    for content in [&b""[..], b"small", &large] {
        put(store, "main__a", content).await.unwrap();
        assert!(get(store, "main__a").await == content, "{} bytes", content.len());
        let start = store.get_start("main__a", 1000).await.unwrap().unwrap();
        assert!(
            start == content[..content.len().min(1000)],
            "{} bytes",
            content.len()
        );
    }
    assert_eq!(store.get_start("main__none", 1000).await.unwrap(), None);
}

pub(crate) async fn put(store: &dyn Store, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let mut object = spool(&std::env::temp_dir());
    object.write_all(content).unwrap();
    store.put(name, object).await
}

pub(crate) async fn get(store: &dyn Store, name: &str) -> Vec<u8> {
    let object = store.get(name, spool(&std::env::temp_dir())).await.unwrap();
    let mut content = Vec::new();
    object.unwrap().read_to_end(&mut content).unwrap();
    content
}

pub(crate) async fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut names: Vec<_> = store
        .list(prefix)
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_bucket_is_made_at_the_first_use_and_may_be_there_at_the_next() {
    let garage = Garage::start().await;
    let bucket = garage.bucket_to_make("new-zones").await;
    let without = open_s3(&options(&bucket)).unwrap();
    assert!(without.list("main__").await.is_err());
    let making = S3Options {
        create_bucket: Some(Duration::from_secs(20)),
        ..options(&bucket)
    };
    for _ in 0..2 {
        let store = open_s3(&making).unwrap();
        put(store.as_ref(), "main__a", b"1").await.unwrap();
        assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
    }
    // A key that may not make buckets gets an answer that says what to do.
    let other = garage.bucket("zones").await;
    let forbidden = S3Options {
        bucket: "elsewhere".into(),
        create_bucket: Some(Duration::from_secs(20)),
        ..options(&other)
    };
    let error = open_s3(&forbidden)
        .unwrap()
        .list("")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("elsewhere") && error.contains("create_bucket"),
        "{error}"
    );
}

#[tokio::test]
async fn renewed_keys_in_files_are_used_at_once_when_the_old_ones_are_refused() {
    let garage = Garage::start().await;
    let (old, new) = (garage.bucket_to_make("other").await, garage.bucket("zones").await);
    let dir = tempfile::tempdir().unwrap();
    let files: (PathBuf, PathBuf) = (dir.path().join("access"), dir.path().join("secret"));
    let write = |keys: &Bucket| {
        std::fs::write(&files.0, &keys.access_key).unwrap();
        std::fs::write(&files.1, &keys.secret_key).unwrap();
    };
    write(&old);
    let store = open_s3(&S3Options {
        key_files: Some(files.clone()),
        secrets_refresh_interval: LONG,
        ..options(&new)
    })
    .unwrap();
    let error = store.list("main__").await.unwrap_err().to_string();
    assert!(error.contains("refuses the keys"), "{error}");
    assert!(!error.contains(&old.secret_key), "{error}");
    write(&new);
    put(store.as_ref(), "main__a", b"1").await.unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
}

#[tokio::test]
async fn small_and_large_objects_arrive_with_checksum_and_storage_class() {
    let garage = Garage::start().await;
    let store = open_s3(&S3Options {
        storage_class: "STANDARD".into(),
        ..options(&garage.bucket("zones").await)
    })
    .unwrap();
    check_small_and_large_objects(store.as_ref()).await;
}

#[tokio::test]
async fn the_update_marker_is_below_the_prefix_and_tells_other_instances() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let plain = open_s3(&options(&bucket)).unwrap();
    let open = || MarkedStore::new(open_s3(&options(&bucket)).unwrap(), "ns/schema-5/", LONG);
    let (a, b) = (open(), open());
    put(&a, "main__a", b"1").await.unwrap();
    assert_eq!(names(&b, "main__").await, ["main__a"]);
    // Nobody who leaves the marker alone is seen.
    put(plain.as_ref(), "main__b", b"1").await.unwrap();
    assert_eq!(names(&b, "main__").await, ["main__a"]);
    let marker = String::from_utf8(get(plain.as_ref(), UPDATE_MARKER).await).unwrap();
    assert!(marker.starts_with("ns/schema-5/main__a:"), "{marker}");
    // Lightning Stream writes an ETag too.
    let theirs = b"ns/schema-5/main__b:0cc175b9c0f1b6a831c399e269772661:1764000000000000000:false";
    put(plain.as_ref(), UPDATE_MARKER, theirs).await.unwrap();
    assert_eq!(names(&b, "main__").await, ["main__a", "main__b"]);
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// TLS before a server that has none; it wants a client certificate of the test's own authority.
async fn with_tls(endpoint: &str) -> String {
    let authority = CertificateDer::from_pem_file(pem("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let server = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(pem("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(pem("server.key")).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let behind = endpoint.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await.ok()?;
                let mut server = TcpStream::connect(behind).await.ok()?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
            });
        }
    });
    format!("https://{address}")
}

#[tokio::test]
async fn an_own_authority_and_a_client_certificate_are_used_and_strangers_refused() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let endpoint_url = with_tls(&bucket.endpoint).await;
    let open = |tls: TlsSettings| {
        let mut options = S3Options {
            endpoint_url: endpoint_url.clone(),
            ..options(&bucket)
        };
        options.client.tls = tls;
        open_s3(&options).unwrap()
    };
    let trusted = TlsSettings {
        ca_file: pem("ca.pem"),
        cert_file: pem("client.pem"),
        key_file: pem("client.key"),
        ..TlsSettings::default()
    };
    let store = open(trusted.clone());
    put(store.as_ref(), "main__a", b"1").await.unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);

    let unverified = TlsSettings {
        ca_file: PathBuf::new(),
        insecure_skip_verify: true,
        ..trusted.clone()
    };
    assert_eq!(names(open(unverified).as_ref(), "main__").await, ["main__a"]);
    let no_certificate = TlsSettings {
        cert_file: PathBuf::new(),
        key_file: PathBuf::new(),
        ..trusted.clone()
    };
    assert!(open(no_certificate).list("main__").await.is_err());
    let system_only = TlsSettings {
        ca_file: PathBuf::new(),
        ..trusted
    };
    assert!(open(system_only).list("main__").await.is_err());
}

#[tokio::test]
async fn certificates_that_are_renewed_are_used_by_the_running_store_and_half_a_renewal_is_not() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let renew = |name: &str, with: &str| std::fs::copy(pem(with), file(name)).unwrap();
    // An authority that the server is not of.
    renew("ca.pem", "client.pem");
    renew("client.pem", "client.pem");
    renew("client.key", "client.key");
    let mut options = S3Options {
        endpoint_url: with_tls(&bucket.endpoint).await,
        ..options(&bucket)
    };
    options.client.tls = TlsSettings {
        ca_file: file("ca.pem"),
        cert_file: file("client.pem"),
        key_file: file("client.key"),
        watch: Some(Duration::ZERO),
        ..TlsSettings::default()
    };
    let store = open_s3(&options).unwrap();
    assert!(store.list("main__").await.is_err(), "the server is a stranger");
    renew("ca.pem", "ca.pem");
    put(store.as_ref(), "main__a", b"1").await.unwrap();

    std::fs::write(file("ca.pem"), "half of a certif").unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
    std::fs::remove_file(file("client.key")).unwrap();
    assert_eq!(names(store.as_ref(), "main__").await, ["main__a"]);
    renew("client.key", "client.key");
    renew("ca.pem", "client.pem");
    assert!(
        store.list("main__").await.is_err(),
        "the server is a stranger again"
    );
}
