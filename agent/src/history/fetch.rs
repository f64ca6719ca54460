//! Fetching many objects, several at a time and in order.

use std::path::Path;

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use tempfile::SpooledTempFile;

use crate::store::{Store, StoreError, spool};

/// Objects that are fetched at a time.
const AT_A_TIME: usize = 16;

/// An object, with what is known of it; `None` where there is none of its name.
pub(super) type Fetched<T> = (T, Result<Option<SpooledTempFile>, StoreError>);

/// Fetches the objects of these names. Temporary files are in `folder`.
pub(super) fn fetch<'s, T: Send + 's>(
    store: &'s dyn Store,
    folder: &'s Path,
    wanted: impl IntoIterator<Item = (String, T)>,
) -> impl Stream<Item = Fetched<T>> + Send + 's {
    let one = |(name, about): (String, T)| -> BoxFuture<'s, Fetched<T>> {
        async move { (about, store.get(&name, spool(folder)).await) }.boxed()
    };
    let all: Vec<_> = wanted.into_iter().map(one).collect();
    stream::iter(all).buffered(AT_A_TIME)
}
