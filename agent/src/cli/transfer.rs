//! What a person sees while an object travels.

use std::convert::Infallible;
use std::io::{Seek as _, SeekFrom};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::SpooledTempFile;

use crate::store::{Store, StoreError, Traffic, spool};

const LOOK: &str = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {msg}";
const REDRAW: Duration = Duration::from_millis(100);

/// Gets an object, with a bar on a terminal.
pub(super) async fn get(store: &Arc<dyn Store>, name: &str) -> Result<Option<SpooledTempFile>, StoreError> {
    let listed = store.list(name).await?;
    let size = listed
        .iter()
        .find(|object| object.name == name)
        .map(|object| object.size);
    let object = store.get(name, spool(&std::env::temp_dir()));
    watched(store, name, size.unwrap_or_default(), object).await
}

/// Puts an object, with a bar on a terminal.
pub(super) async fn put(
    store: &Arc<dyn Store>,
    name: &str,
    mut object: SpooledTempFile,
) -> Result<(), StoreError> {
    // Only for the bar: without it the object is sent all the same.
    let size = object.seek(SeekFrom::End(0)).unwrap_or_default();
    watched(store, name, size, store.put(name, object)).await
}

async fn watched<T>(store: &Arc<dyn Store>, name: &str, size: u64, transfer: impl Future<Output = T>) -> T {
    let Some(traffic) = store.traffic() else {
        return transfer.await;
    };
    // Drawn on a terminal only.
    let bar = ProgressBar::new(size).with_message(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template(LOOK) {
        bar.set_style(style);
    }
    let done = match select(pin!(transfer), pin!(draw(&bar, &traffic))).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    };
    bar.finish_and_clear();
    done
}

async fn draw(bar: &ProgressBar, traffic: &Traffic) -> Infallible {
    let before = traffic.bytes();
    loop {
        bar.set_position(traffic.bytes() - before);
        tokio::time::sleep(REDRAW).await;
    }
}
