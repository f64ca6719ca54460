//! `--wait-for-marker-file`: nothing is read or written before an object is in the store.

use std::time::Duration;

use crate::report::Report;
use crate::store::{Store, spool};

/// What `--wait-for-marker-file` waits for.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) name: Option<String>,
    pub(super) poll: Duration,
}

impl Gate {
    /// Ends when the object is there.
    pub(super) async fn pass(&self, store: &dyn Store, database: &str, status: &dyn Report) {
        let Some(name) = &self.name else { return };
        tracing::info!(
            database,
            object = name,
            "waiting for the marker file in the store"
        );
        loop {
            match store.get(name, spool(&std::env::temp_dir())).await {
                Ok(Some(_)) => break,
                Ok(None) => {}
                Err(error) => {
                    status.failed(error.operation, &error);
                    tracing::warn!(database, %error, "cannot look for the marker file, will try again");
                }
            }
            tokio::time::sleep(self.poll).await;
        }
        tracing::info!(database, object = name, "the marker file is there");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::report::Raised;
    use crate::store::ObjectBackend;

    #[tokio::test(start_paused = true)]
    async fn replicas_wait_until_the_marker_file_is_in_the_store() {
        let store = ObjectBackend::new(Arc::new(InMemory::new()), "");
        let status = Raised::default();
        let gate = Gate {
            name: Some("go".into()),
            poll: Duration::from_secs(1),
        };
        let waiting = gate.pass(&store, "main", &status);
        let put = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let mut object = spool(&std::env::temp_dir());
            object.write_all(b"go").unwrap();
            store.put("go", object).await.unwrap();
            tokio::time::Instant::now()
        };
        let waiting = async {
            waiting.await;
            tokio::time::Instant::now()
        };
        let (passed, put) = tokio::join!(waiting, put);
        assert!(passed >= put);
        let none = Gate { name: None, ..gate };
        none.pass(&store, "main", &status).await;
    }
}
