//! Uploads in parts that servers have begun and will never end: they cost money, and no listing of objects shows them.

use std::time::Instant;

use aws_sdk_s3::{Client, error::SdkError};
use futures::{StreamExt, TryStreamExt};

use super::{
    Keys, Own, S3Bucket, StoreError,
    bucket::code_of,
    bucket_contents::{AT_ONCE, LONGEST},
};

impl S3Bucket {
    /// Ends the unfinished uploads of the cluster's own servers under the prefix, and says how many. None where the store does
    /// not list them, or not for these keys: there a lifecycle rule is all that helps.
    pub async fn abort_uploads(&self, keys: &Keys, own: &Own) -> Result<u64, StoreError> {
        let client = &self.client(keys);
        let begun = Instant::now();
        let mut aborted = 0;
        let (mut after, mut after_id) = (None, None);
        loop {
            let listing = client
                .list_multipart_uploads()
                .bucket(&self.bucket.name)
                .prefix(&self.bucket.prefix)
                .set_key_marker(after)
                .set_upload_id_marker(after_id);
            let page = match listing.send().await {
                Ok(page) => page,
                Err(error @ (SdkError::DispatchFailure(_) | SdkError::TimeoutError(_))) => {
                    return Err(self.explain(&error));
                }
                Err(error) => {
                    tracing::info!(
                        bucket = self.bucket.name,
                        error = %self.explain(&error),
                        "the store does not list unfinished uploads"
                    );
                    return Ok(aborted);
                }
            };
            let more = page.is_truncated() == Some(true);
            (after, after_id) = (page.next_key_marker, page.next_upload_id_marker);
            let mut requests = Vec::new();
            for upload in page.uploads.unwrap_or_default() {
                if let (Some(name), Some(id)) = (upload.key, upload.upload_id)
                    && name
                        .strip_prefix(&self.bucket.prefix)
                        .is_some_and(|rest| own.has(rest))
                {
                    requests.push(self.abort(client, name, id));
                }
            }
            aborted += futures::stream::iter(requests)
                .buffer_unordered(AT_ONCE)
                .try_fold(0, |sum, ()| std::future::ready(Ok(sum + 1)))
                .await?;
            // Of others there may be any number.
            if !more || after.is_none() || begun.elapsed() > LONGEST {
                return Ok(aborted);
            }
        }
    }

    async fn abort(&self, client: &Client, name: String, id: String) -> Result<(), StoreError> {
        let request = client.abort_multipart_upload().bucket(&self.bucket.name);
        match request.key(name).upload_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) if code_of(&error).as_deref() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(self.explain(&error)),
        }
    }
}

#[cfg(test)]
#[path = "uploads_tests.rs"]
mod tests;
