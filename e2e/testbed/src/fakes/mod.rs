//! Services that cannot run on loopback, played by small servers. They check each request as strictly as the documentation
//! of the real ones allows, and the keys that they give are real ones of a MinIO with the scope that was asked for: what may be
//! done with them can be tried.

pub mod aws_sts;
pub mod cloudflare;
mod signature;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A server on loopback that ends with this.
struct Server {
    port: u16,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(router: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server that serves");
        });
        Self { port, task }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was asked, in words.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The policy of keys that read and write objects under the prefixes, or in all of the bucket when there are none.
fn policy(bucket: &str, prefixes: &[String]) -> Value {
    let arn = format!("arn:aws:s3:::{bucket}");
    let all = [String::new()];
    let prefixes = if prefixes.is_empty() { &all } else { prefixes };
    let under: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}*")).collect();
    let objects: Vec<String> = under.iter().map(|under| format!("{arn}/{under}")).collect();
    json!({"Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [arn],
            "Condition": {"StringLike": {"s3:prefix": under}},
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": objects,
        },
    ]})
}
