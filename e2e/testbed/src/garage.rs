//! A real Garage, the S3 server that the operator runs as the managed object store, as one node on loopback.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{HOST, HttpClient};
use crate::net::{free_port, loopback};
use crate::process::Process;
use crate::sigv4::Signer;
use crate::tools;

/// What its admin API asks for.
pub const ADMIN_TOKEN: &str = "loopback-only";
/// Before this name, buckets may be named in that of the host. No DNS knows it.
pub const S3_HOST: &str = "s3.test";
const START_DEADLINE: Duration = Duration::from_secs(30);

pub struct Garage {
    /// First, so that it has ended and its log is read before the directory goes.
    process: Option<Process>,
    dir: TempDir,
    s3_port: u16,
    admin_port: u16,
    rpc_port: u16,
    /// It is one of three, which have to be made to know each other.
    of_three: bool,
}

/// A bucket and a key that may read and write in it, and nothing else.
#[derive(Clone)]
pub struct Bucket {
    pub endpoint: String,
    pub region: &'static str,
    pub name: String,
    pub access_key: String,
    pub secret_key: String,
}

impl Garage {
    /// Starts a Garage with an empty store and returns once it is healthy.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Starts one of three nodes, without a layout yet.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_of_three() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(of_three: bool) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("zt-garage-")
            .tempdir()
            .expect("a temporary directory");
        let mut garage = Self {
            dir,
            s3_port: free_port(),
            admin_port: free_port(),
            rpc_port: free_port(),
            of_three,
            process: None,
        };
        garage.configure();
        garage.up().await;
        garage
    }

    fn configure(&self) {
        let config = format!(
            r#"metadata_dir = "{dir}/meta"
data_dir = "{dir}/data"
db_engine = "lmdb"
replication_factor = {factor}
rpc_bind_addr = "127.0.0.1:{rpc_port}"
rpc_public_addr = "127.0.0.1:{rpc_port}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "garage"
root_domain = ".{S3_HOST}"
api_bind_addr = "127.0.0.1:{s3_port}"

[admin]
api_bind_addr = "127.0.0.1:{admin_port}"
admin_token = "{ADMIN_TOKEN}"
"#,
            dir = self.dir.path().display(),
            factor = if self.of_three { 3 } else { 1 },
            secret = "5a".repeat(32),
            rpc_port = self.rpc_port,
            s3_port = self.s3_port,
            admin_port = self.admin_port,
        );
        std::fs::write(self.dir.path().join("garage.toml"), config).expect("a written garage.toml");
    }

    /// Starts it again after `crash`, as one of three with what it has stored.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn up_of_three(&mut self) {
        self.of_three = true;
        self.configure();
        std::fs::remove_file(self.dir.path().join("meta/cluster_layout")).expect("a layout");
        self.up().await;
    }

    /// Starts it again after `crash`, with nothing of what it has stored, as on another volume.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn up_empty(&mut self) {
        for part in ["meta", "data"] {
            std::fs::remove_dir_all(self.dir.path().join(part)).expect("data of its own");
        }
        self.up().await;
    }

    /// Where the other nodes reach it.
    #[must_use]
    pub fn rpc_address(&self) -> String {
        format!("127.0.0.1:{}", self.rpc_port)
    }

    /// Starts it again after `crash`, with the same data and ports.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn up(&mut self) {
        let mut command = std::process::Command::new(tools::garage());
        command
            .arg("-c")
            .arg(self.dir.path().join("garage.toml"))
            .arg("server")
            .args((!self.of_three).then_some("--single-node"));
        let process = Process::start("garage", &mut command, &self.dir.path().join("log"));
        let admin = self.admin();
        let of_three = self.of_three;
        let healthy = async || match admin.json(Method::GET, "/v2/GetClusterHealth", None).await {
            Ok(health) if of_three || health["status"] == "healthy" => Ok(()),
            Ok(health) => Err(health.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.process
            .insert(process)
            .await_ready(START_DEADLINE, healthy)
            .await;
    }

    /// Takes it down at once, as a machine that is lost: connections to it are refused from now on.
    ///
    /// # Panics
    /// When it is not running.
    pub fn crash(&mut self) {
        self.process.take().expect("a running Garage").kill();
    }

    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running Garage").id()
    }

    /// The bucket under a name, as a proxy may know it: see [`S3_HOST`].
    #[must_use]
    pub fn by_name(&self, bucket: &Bucket) -> Bucket {
        Bucket {
            endpoint: format!("http://{S3_HOST}:{}", self.s3_port),
            ..bucket.clone()
        }
    }

    /// Where its admin API is.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    fn admin(&self) -> HttpClient {
        HttpClient::new(Arc::new(loopback(self.admin_port)))
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
    }

    /// Makes a bucket and a key for it.
    ///
    /// # Panics
    /// When Garage refuses.
    pub async fn bucket(&self, name: &str) -> Bucket {
        let bucket = self.post("/v2/CreateBucket", &json!({"globalAlias": name})).await;
        let key = self.post("/v2/CreateKey", &json!({"name": name})).await;
        let allow = json!({
            "bucketId": bucket["id"],
            "accessKeyId": key["accessKeyId"],
            "permissions": {"read": true, "write": true, "owner": false},
        });
        self.post("/v2/AllowBucketKey", &allow).await;
        self.named(name, &key)
    }

    /// Stores an object.
    ///
    /// # Panics
    /// When Garage refuses.
    pub async fn put(&self, bucket: &Bucket, name: &str, content: &[u8]) {
        let path = format!("/{}/{name}", bucket.name);
        let http = self.signed(bucket, &Method::PUT, &path, content);
        let body = Bytes::copy_from_slice(content);
        if let Err(error) = http.send_bytes(Method::PUT, &path, body).await {
            panic!("{error}");
        }
    }

    /// Reads an object by this node.
    ///
    /// # Panics
    /// When Garage does not give it.
    pub async fn get(&self, bucket: &Bucket, name: &str) -> Vec<u8> {
        let path = format!("/{}/{name}", bucket.name);
        let http = self.signed(bucket, &Method::GET, &path, b"");
        match http.send(Method::GET, &path, None).await {
            Ok(content) => content.to_vec(),
            Err(error) => panic!("{error}"),
        }
    }

    fn signed(&self, bucket: &Bucket, method: &Method, path: &str, body: &[u8]) -> HttpClient {
        let signer = Signer {
            access_key: &bucket.access_key,
            secret_key: &bucket.secret_key,
            session_token: "",
            region: bucket.region,
            service: "s3",
        };
        let mut http = HttpClient::new(Arc::new(loopback(self.s3_port)));
        for (name, value) in signer.headers(method, HOST, path, body) {
            http = http.header(name, value);
        }
        http
    }

    /// The file of its layout.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn layout(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("meta/cluster_layout")).expect("a layout")
    }

    /// How many blocks of objects' data this node has.
    ///
    /// # Panics
    /// When its directory cannot be read.
    #[must_use]
    pub fn blocks(&self) -> usize {
        fn files(dir: &Path) -> usize {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.path() {
                    path if path.is_dir() => files(&path),
                    // The one that says whose directory it is, and those that are being written, are none.
                    path => usize::from(path.file_name().is_some_and(|name| name.len() > 60)),
                })
                .sum()
        }
        files(&self.dir.path().join("data"))
    }

    /// The same bucket with a new key.
    ///
    /// # Panics
    /// When Garage refuses.
    pub async fn another_key(&self, bucket: &Bucket) -> Bucket {
        let name = &bucket.name;
        let key = self.post("/v2/CreateKey", &json!({"name": name})).await;
        let allow = json!({
            "bucketId": self.info(name).await["id"],
            "accessKeyId": key["accessKeyId"],
            "permissions": {"read": true, "write": true, "owner": false},
        });
        self.post("/v2/AllowBucketKey", &allow).await;
        self.named(name, &key)
    }

    /// Ends the key.
    ///
    /// # Panics
    /// When Garage refuses.
    pub async fn revoke(&self, bucket: &Bucket) {
        let path = format!("/v2/DeleteKey?id={}", bucket.access_key);
        if let Err(error) = self.admin().send(Method::POST, &path, None).await {
            panic!("{error}");
        }
    }

    /// Uploads in parts that were begun and neither completed nor aborted.
    ///
    /// # Panics
    /// When Garage does not say.
    pub async fn unfinished_uploads(&self, bucket: &str) -> u64 {
        let info = self.info(bucket).await;
        let unfinished = info["unfinishedMultipartUploads"].as_u64();
        unfinished.unwrap_or_else(|| panic!("not in {info}"))
    }

    /// Serves the bucket to everybody as a website, or does not any more.
    ///
    /// # Panics
    /// When Garage refuses.
    pub async fn serve_website(&self, bucket: &str, enabled: bool) {
        let id = self.info(bucket).await["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let path = format!("/v2/UpdateBucket?id={id}");
        let index = enabled.then_some("index.html");
        let body = json!({"websiteAccess": {"enabled": enabled, "indexDocument": index}});
        self.post(&path, &body).await;
    }

    async fn info(&self, bucket: &str) -> Value {
        let path = format!("/v2/GetBucketInfo?globalAlias={bucket}");
        match self.admin().json(Method::GET, &path, None).await {
            Ok(info) => info,
            Err(error) => panic!("{error}"),
        }
    }

    /// A bucket that is not there yet, and a key that may make it.
    ///
    /// # Panics
    /// When Garage refuses.
    pub async fn bucket_to_make(&self, name: &str) -> Bucket {
        let may = json!({"name": name, "allow": {"createBucket": true}});
        let key = self.post("/v2/CreateKey", &may).await;
        self.named(name, &key)
    }

    fn named(&self, name: &str, key: &Value) -> Bucket {
        let text = |field: &str| key[field].as_str().unwrap_or_default().to_owned();
        Bucket {
            endpoint: format!("http://127.0.0.1:{}", self.s3_port),
            region: "garage",
            name: name.to_owned(),
            access_key: text("accessKeyId"),
            secret_key: text("secretAccessKey"),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        match self.admin().json(Method::POST, path, Some(body)).await {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        }
    }
}
