//! A directory as a store, which must not be taken for an empty one when its volume is gone.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use tempfile::SpooledTempFile;

use super::{Listed, ObjectBackend, OpenError, Store, StoreError, StoreErrorReason, Traffic};

/// Opens a directory, and makes it when there is none.
///
/// # Errors
/// [`OpenError`] with the directory.
pub fn open(root: &Path, prefix: &str) -> Result<Arc<dyn Store>, OpenError> {
    let fail = |error: std::io::Error| OpenError::Option("root_path", format!("{}: {error}", root.display()));
    std::fs::create_dir_all(root).map_err(fail)?;
    let device = std::fs::read_dir(root)
        .and_then(|_| std::fs::metadata(root))
        .map_err(fail)?
        .dev();
    let files = LocalFileSystem::new_with_prefix(root)?;
    Ok(Arc::new(Folder {
        inner: ObjectBackend::new(Arc::new(files), prefix),
        root: root.to_owned(),
        device,
    }))
}

struct Folder {
    inner: ObjectBackend,
    root: PathBuf,
    /// The file system that it was on when it was opened: under an unmounted volume there is another.
    device: u64,
}

impl Folder {
    fn check(&self, operation: &'static str, name: &str) -> Result<(), StoreError> {
        let there =
            std::fs::metadata(&self.root).is_ok_and(|root| root.is_dir() && root.dev() == self.device);
        if there {
            return Ok(());
        }
        let reason = StoreErrorReason::NoFolder(self.root.clone());
        Err(StoreError {
            operation,
            name: name.to_owned(),
            reason,
        })
    }
}

#[async_trait]
impl Store for Folder {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.check("list", prefix)?;
        self.inner.list(prefix).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.check("read", name)?;
        self.inner.get(name, object).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        self.check("write", name)?;
        self.inner.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.check("remove", name)?;
        self.inner.delete(name).await
    }

    fn traffic(&self) -> Option<Traffic> {
        self.inner.traffic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::spool;

    #[tokio::test]
    async fn a_directory_that_is_gone_is_an_error_and_not_an_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("snapshots");
        let store = open(&root, "").unwrap();
        assert!(store.list("").await.unwrap().is_empty());
        assert_eq!(store.traffic().unwrap().bytes(), 0);
        std::fs::rename(&root, dir.path().join("elsewhere")).unwrap();
        let error = store.list("").await.unwrap_err().to_string();
        assert!(
            error.contains("snapshots") && error.contains("mounted"),
            "{error}"
        );
        assert!(store.put("a", spool(dir.path())).await.is_err());
        assert!(!root.exists());
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open(file.path(), "").err().unwrap().to_string();
        assert!(
            error.contains("root_path") && error.contains(file.path().to_str().unwrap()),
            "{error}"
        );
    }
}
