//! Writing history: deltas become segments, and segments longer ones.

use std::path::Path;

use futures::StreamExt as _;
use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use super::HistoryError;
use super::catalog::{Catalog, HOUR};
use super::fetch::fetch;
use super::spans::{Span, Spans, needed};
use super::stash::leave_room;
use crate::snapshot::{
    Cut, DecodeError, DeltaName, Segment, SegmentName, SegmentWriter, Snapshot, SnapshotName,
};
use crate::store::{Store, spool};

type Writer = SegmentWriter<SpooledTempFile>;

/// A segment that is being written.
struct Open {
    writer: Writer,
    span: Span,
}

/// Puts what an instance's deltas say into history, less what is there already. The deltas must be of `instance`, and may go once this has
/// succeeded. One that does not decode is left out: it says nothing to anybody. Temporary files are in `folder`.
///
/// # Errors
/// Those of the store; what was put there is in the catalog.
pub async fn archive(
    store: &dyn Store,
    folder: &Path,
    database: &str,
    instance: &str,
    deltas: impl IntoIterator<Item = DeltaName>,
    catalog: &mut Catalog,
) -> Result<u64, HistoryError> {
    let spans = deltas.into_iter().map(|name| {
        let (since, time) = (name.since(), name.time());
        (Span { since, time }, name)
    });
    let wanted = needed(spans.collect(), catalog.spans(instance));
    let wanted = wanted
        .into_iter()
        .map(|(span, name)| (name.to_string(), (span, name)));
    let mut fetched = fetch(store, folder, wanted);
    let (mut open, mut entries) = (None::<Open>, 0);
    while let Some(((span, name), object)) = fetched.next().await {
        // What somebody removed, or is torn, is in no segment, so none may say that it has it.
        let Some(object) = object? else { continue };
        leave_room(folder)?;
        let delta = match blocking("reading a delta", move || Snapshot::open(object)).await? {
            Err(DecodeError::Spool(error)) => return Err(HistoryError::Stash(error)),
            Err(error) => {
                tracing::warn!(%name, %error, "what this delta says is missing in the history");
                continue;
            }
            Ok(delta) => delta,
        };
        if let Some(done) = open.take_if(|open| span.since > open.span.time) {
            entries += put(store, database, instance, done, catalog).await?;
        }
        let (mut writer, before) = match open.take() {
            Some(Open { writer, span }) => (writer, span),
            None => (SegmentWriter::new(spool(folder))?, span),
        };
        let writer = blocking("reading a delta", move || {
            add_delta(&mut writer, span, delta).map(|()| writer)
        });
        open = Some(Open {
            writer: writer.await??,
            span: before.with(span),
        });
    }
    if let Some(done) = open {
        entries += put(store, database, instance, done, catalog).await?;
    }
    Ok(entries)
}

/// Puts into history what only a snapshot tells: the one of state `time`, in ns since the epoch, with which an instance's deltas begin, or
/// begin anew. What is older than what is there of the instance is left out; of one that is new all counts, for it may have brought
/// old entries along. Does nothing if it is there, or the snapshot is not any more.
///
/// # Errors
/// Those of the store.
pub async fn archive_start(
    store: &dyn Store,
    folder: &Path,
    database: &str,
    (instance, time): (&str, u64),
    catalog: &mut Catalog,
) -> Result<(), HistoryError> {
    let spans = catalog.spans(instance);
    let last = time.saturating_sub(1);
    if spans.have(Span { since: last, time }) {
        return Ok(());
    }
    let name = SnapshotName::new(database, instance, time)?;
    let Some(object) = store.get(name.as_str(), spool(folder)).await? else {
        return Ok(());
    };
    let before = spans.before(time);
    let from = before.map(|before| before.saturating_sub(HOUR));
    let span = Span {
        since: before.unwrap_or(last).min(last),
        time,
    };
    leave_room(folder)?;
    let mut writer = SegmentWriter::new(spool(folder))?;
    let added = blocking("reading a snapshot", move || {
        let snapshot = Snapshot::open(object)?;
        add_snapshot(&mut writer, span, from, snapshot).map(|()| writer)
    });
    match added.await? {
        Err(HistoryError::Decode(error)) => {
            tracing::warn!(%name, %error, "what this snapshot says is missing in the history");
            Ok(())
        }
        writer => {
            let writer = writer?;
            put(store, database, instance, Open { writer, span }, catalog).await?;
            Ok(())
        }
    }
}

/// Makes one segment of several, between whose spans nothing is missing, and removes them. Temporary files are in `folder`.
///
/// # Errors
/// Those of the store, and of a segment that does not decode: then nothing is removed.
pub async fn compact(
    store: &dyn Store,
    folder: &Path,
    database: &str,
    names: &[SegmentName],
    catalog: &mut Catalog,
) -> Result<(), HistoryError> {
    let Some(first) = names.first() else { return Ok(()) };
    let instance = first.instance();
    let spans = names.iter().map(|name| (span_of(name), name));
    let wanted = needed(spans.collect(), Spans::default()).into_iter();
    let wanted = wanted.map(|(span, name)| (name.to_string(), (span, name.clone())));
    let mut fetched = fetch(store, folder, wanted);
    let mut writer = SegmentWriter::new(spool(folder))?;
    let (mut whole, mut known) = (span_of(first), Spans::default());
    while let Some(((span, name), object)) = fetched.next().await {
        // Somebody else removed it: another agent of this name, or a person. What is left stays as it is.
        let Some(object) = object? else { return Ok(()) };
        leave_room(folder)?;
        let had = known.clone();
        let added = blocking("putting segments together", move || {
            add_segment(&mut writer, &had, object).map(|()| writer)
        });
        writer = added.await?.map_err(|error| match error {
            HistoryError::Decode(error) => HistoryError::Damaged(name, error),
            other => other,
        })?;
        known.add(span);
        whole = whole.with(span);
    }
    put(store, database, instance, Open { writer, span: whole }, catalog).await?;
    let whole = SegmentName::new(database, instance, whole.since, whole.time)?;
    for name in names.iter().filter(|name| **name != whole) {
        store.delete(name.as_str()).await?;
        catalog.remove_segment(name);
    }
    Ok(())
}

fn span_of(name: &SegmentName) -> Span {
    Span {
        since: name.since(),
        time: name.time(),
    }
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HistoryError> {
    spawn_blocking(work)
        .await
        .map_err(|_| HistoryError::Crashed(what))
}

fn add_delta(writer: &mut Writer, span: Span, mut delta: Snapshot) -> Result<(), HistoryError> {
    writer.cut(Cut {
        since: span.since,
        time: span.time,
        by_others: !delta.outline().meta.adopted.is_empty(),
    })?;
    delta.for_each_entry(|dbi, entry| Ok(writer.entry(&dbi.header.name, &entry)?))
}

/// Adds what is younger than `from` as one cut, or all.
fn add_snapshot(
    writer: &mut Writer,
    span: Span,
    from: Option<u64>,
    mut snapshot: Snapshot,
) -> Result<(), HistoryError> {
    writer.cut(Cut {
        since: span.since,
        time: span.time,
        by_others: true,
    })?;
    snapshot.for_each_entry(|dbi, entry| {
        if from.is_none_or(|from| entry.timestamp > from) {
            writer.entry(&dbi.header.name, &entry)?;
        }
        Ok(())
    })
}

/// Adds the cuts of a segment but those that are in `known`.
fn add_segment(writer: &mut Writer, known: &Spans, object: SpooledTempFile) -> Result<(), HistoryError> {
    let mut segment = Segment::open(object, |_, _| {})?;
    while let Some(cut) = segment.cut()? {
        let (since, time) = (cut.since, cut.time);
        if !known.have(Span { since, time }) {
            writer.cut(cut)?;
            segment.entries(|dbi, entry| Ok::<(), HistoryError>(writer.entry(dbi, entry)?))?;
        }
    }
    Ok(())
}

async fn put(
    store: &dyn Store,
    database: &str,
    instance: &str,
    Open { writer, span }: Open,
    catalog: &mut Catalog,
) -> Result<u64, HistoryError> {
    let name = SegmentName::new(database, instance, span.since, span.time)?;
    let entries = writer.entries();
    let mut object = writer.finish()?;
    let size = std::io::Seek::stream_position(&mut object)?;
    store.put(name.as_str(), object).await?;
    tracing::debug!(%name, entries, "stored a segment of history");
    catalog.add_segment(name, size);
    Ok(entries)
}
