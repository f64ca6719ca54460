//! Large objects go in parts, and parts of an upload that did not end well stay behind: they cost money and are seen by
//! nobody. They are removed as soon as the store lets us.

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use object_store::{Error, MultipartUpload};
use tempfile::SpooledTempFile;

use super::Traffic;

/// Length of the parts of a large upload, bytes. All but the last must be equally long and at least 5 MiB (R2, S3).
pub(super) const PART_LEN: usize = 8 << 20;
/// Uploads kept in mind to be removed; the oldest go.
const MOST_LEFT: usize = 16;

pub(super) enum PartError {
    Spool(std::io::Error),
    Store(Error),
}

/// Uploads whose parts are still to be removed.
#[derive(Default)]
pub(super) struct Leftovers(Mutex<Vec<Box<dyn MultipartUpload>>>);

impl Leftovers {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Box<dyn MultipartUpload>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes what it can; what fails is left for the next time.
    pub(super) async fn remove(&self) {
        let tries = self.change(|left| left.len());
        for _ in 0..tries {
            let Some(upload) = self.change(|left| (!left.is_empty()).then(|| left.remove(0))) else {
                return;
            };
            let mut upload = Unfinished::new(upload, self);
            match upload.abort().await {
                // Complete after all, or removed by a rule of the bucket.
                Ok(()) | Err(Error::NotFound { .. }) => upload.end(),
                Err(error) => {
                    tracing::debug!(%error, "cannot remove the parts of an upload that failed yet");
                }
            }
        }
    }
}

/// An upload that is left over when it is dropped, as it is when the agent is told to end, and is not ended before.
pub(super) struct Unfinished<'a> {
    upload: Option<Box<dyn MultipartUpload>>,
    leftovers: &'a Leftovers,
}

impl<'a> Unfinished<'a> {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, leftovers: &'a Leftovers) -> Self {
        Self {
            upload: Some(upload),
            leftovers,
        }
    }

    /// There is nothing left of it to be removed.
    fn end(mut self) {
        self.upload = None;
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        match &mut self.upload {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
    }

    /// Sends one part after the other, so that only one is in memory.
    pub(super) async fn send(
        mut self,
        object: &mut SpooledTempFile,
        traffic: &Traffic,
    ) -> Result<(), PartError> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        loop {
            let part = read_part(object).map_err(PartError::Spool)?;
            if part.is_empty() {
                break;
            }
            let bytes = part.len();
            upload.put_part(part.into()).await.map_err(PartError::Store)?;
            traffic.carried(bytes);
        }
        upload.complete().await.map_err(PartError::Store)?;
        self.end();
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.leftovers.change(|left| {
                if left.len() >= MOST_LEFT {
                    left.remove(0);
                }
                left.push(upload);
            });
        }
    }
}

pub(super) fn read_part(object: &mut SpooledTempFile) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    object.take(PART_LEN as u64).read_to_end(&mut part)?;
    Ok(part)
}
