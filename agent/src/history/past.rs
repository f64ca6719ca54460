//! What was fetched of a database's history to answer a question, and going through it in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use futures::StreamExt as _;

use super::HistoryError;
use super::catalog::{Catalog, SLACK};
use super::fetch::fetch;
use super::spans::{Span, Spans, needed};
use super::stash::{Place, Stash};
use crate::snapshot::{
    BaseName, Cut, DecodeError, DeltaName, Entry, Segment, SegmentName, Snapshot, SnapshotName, Vector,
};
use crate::store::{Store, spool};

/// How often is begun anew when agents put away what is being fetched.
const ATTEMPTS: usize = 5;

/// What whoever reads the history should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Before this time, in ns since the epoch, there is none.
    Begins(u64),
    /// What the instance wrote then is in no segment: only a later base snapshot may tell of it.
    Missing { instance: String, span: Span },
    /// An object that does not decode.
    Damaged { name: String, error: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Base,
    /// A snapshot with which deltas begin, or begin anew.
    Start,
    Segment,
    Delta,
}

struct Source {
    kind: Kind,
    instance: String,
    name: String,
    span: Span,
    place: Place,
}

/// All objects that a question needs.
pub struct Past {
    stash: Stash,
    /// By where their spans begin. The first is a base snapshot.
    sources: Vec<Source>,
    pub notes: Vec<Note>,
}

/// What is called with the instance that stored a cut, the cut, and each of its entries.
pub(super) type Visit<'v, E> = &'v mut dyn FnMut(&str, Cut, &str, &Entry<'_>) -> Result<(), E>;

impl Past {
    /// Fetches what shows the states of a database from `since` to `until`, in ns since the epoch. `progress` is called with how many
    /// objects of how many are there. Temporary files are in `folder`.
    ///
    /// # Errors
    /// Those of the store, and [`HistoryError::None`].
    pub async fn fetch(
        store: &dyn Store,
        folder: &Path,
        database: &str,
        (since, until): (u64, u64),
        progress: impl Fn(usize, usize),
    ) -> Result<Self, HistoryError> {
        let mut attempt = 1;
        loop {
            match Self::try_fetch(store, folder, database, (since, until), &progress).await? {
                Some(past) => return Ok(past),
                None if attempt < ATTEMPTS => attempt += 1,
                None => return Err(HistoryError::Moving),
            }
        }
    }

    /// The same; `None` when an object went while it was looked for.
    async fn try_fetch(
        store: &dyn Store,
        folder: &Path,
        database: &str,
        (since, until): (u64, u64),
        progress: &impl Fn(usize, usize),
    ) -> Result<Option<Self>, HistoryError> {
        // Deltas first: what is archived meanwhile is then in both listings.
        let deltas = store.list(&DeltaName::folder(database)).await?;
        let deltas: Vec<_> = deltas
            .iter()
            .filter_map(|object| DeltaName::parse(database, &object.name).ok())
            .collect();
        let segments = store.list(&SegmentName::folder(database)).await?;
        let bases = store.list(&BaseName::folder(database)).await?;
        let catalog = Catalog::sort(database, &segments, &bases);
        let mut past = Self {
            stash: Stash::new(folder)?,
            sources: Vec::new(),
            notes: Vec::new(),
        };
        let mut vector = None;
        let mut bases = catalog
            .bases()
            .rev()
            .skip_while(|base| base.time() > since)
            .peekable();
        let first = bases.peek().is_none().then(|| catalog.bases().next()).flatten();
        if let Some(first) = first {
            past.notes.push(Note::Begins(first.time()));
        }
        for base in bases.chain(first) {
            let Some(object) = store.get(base.as_str(), spool(folder)).await? else {
                return Ok(None);
            };
            let place = past.stash.put(object)?;
            match past.open(place) {
                Ok(snapshot) => {
                    let span = Span {
                        since: 0,
                        time: base.time(),
                    };
                    past.add(Kind::Base, base.instance(), base.as_str(), (span, place));
                    vector = Some((base.time(), snapshot.outline().meta.vector.clone()));
                    break;
                }
                Err(error) => past.note_damaged(base.as_str(), &error),
            }
        }
        let Some((from, vector)) = vector else {
            return Err(HistoryError::None(database.to_owned()));
        };
        let mut wanted = past.wanted(database, &catalog, &deltas, (from, &vector), until);
        let later = catalog
            .bases()
            .filter(|base| base.time() > from && base.time() <= until);
        wanted.extend(later.map(|base| {
            let (since, time) = (base.time() - 1, base.time());
            (
                Kind::Base,
                base.instance().to_owned(),
                base.to_string(),
                Span { since, time },
            )
        }));
        let total = wanted.len();
        let wanted = wanted.into_iter();
        let wanted = wanted.map(|(kind, instance, name, span)| (name.clone(), (kind, instance, name, span)));
        let mut fetched = fetch(store, folder, wanted);
        let mut done = 0;
        while let Some(((kind, instance, name, span), object)) = fetched.next().await {
            let Some(object) = object? else {
                if kind == Kind::Start {
                    past.notes.push(Note::Missing { instance, span });
                    continue;
                }
                return Ok(None);
            };
            let place = past.stash.put(object)?;
            past.add(kind, &instance, &name, (span, place));
            done += 1;
            progress(done, total);
        }
        drop(fetched);
        past.sources
            .sort_by_key(|source| (source.span.since, source.span.time));
        Ok(Some(past))
    }

    fn add(&mut self, kind: Kind, instance: &str, name: &str, (span, place): (Span, Place)) {
        let (instance, name) = (instance.to_owned(), name.to_owned());
        self.sources.push(Source {
            kind,
            instance,
            name,
            span,
            place,
        });
    }

    /// The segments and deltas that tell what came after a base snapshot, which was taken at `from` and has what `vector` says.
    fn wanted(
        &mut self,
        database: &str,
        catalog: &Catalog,
        deltas: &[DeltaName],
        (from, vector): (u64, &Vector),
        until: u64,
    ) -> Vec<(Kind, String, String, Span)> {
        let mut instances: Vec<&str> = deltas.iter().map(DeltaName::instance).collect();
        instances.extend(catalog.instances().map(String::as_str));
        instances.sort_unstable();
        instances.dedup();
        let mut wanted = Vec::new();
        for instance in instances {
            let had = vector.get(instance).map(|had| had.time);
            let from = had.unwrap_or(from.saturating_sub(SLACK));
            let is_asked = |span: &Span| span.time > from && span.since < until;
            let segments = catalog
                .of(instance)
                .map(|name| (name.since(), name.time(), name.to_string()));
            let segments = segments.map(|(since, time, name)| (Span { since, time }, name));
            let segments = needed(
                segments.filter(|(span, _)| is_asked(span)).collect(),
                Spans::default(),
            );
            let of = deltas.iter().filter(|name| name.instance() == instance);
            let of = of.map(|name| {
                let (since, time) = (name.since(), name.time());
                (Span { since, time }, name.to_string())
            });
            let of = needed(
                of.filter(|(span, _)| is_asked(span)).collect(),
                catalog.spans(instance),
            );
            let mut spans = catalog.spans(instance);
            let all = deltas.iter().filter(|name| name.instance() == instance);
            for (since, time) in all.clone().map(|name| (name.since(), name.time())) {
                spans.add(Span { since, time });
            }
            for time in all
                .filter(|name| name.since() == name.time())
                .map(DeltaName::time)
            {
                let last = time - 1;
                let is_new = !spans.have(Span { since: last, time });
                let since = spans.before(time).unwrap_or(last).min(last);
                let span = Span { since, time };
                spans.add(span);
                if is_new
                    && is_asked(&span)
                    && let Ok(name) = SnapshotName::new(database, instance, time)
                {
                    wanted.push((Kind::Start, instance.to_owned(), name.to_string(), span));
                }
            }
            let gaps = had.map(|had| spans.gaps(had)).unwrap_or_default();
            let gaps = gaps.into_iter().filter(|gap| gap.since < until);
            self.notes.extend(gaps.map(|span| Note::Missing {
                instance: instance.to_owned(),
                span,
            }));
            let named = |kind| move |(span, name)| (kind, instance.to_owned(), name, span);
            wanted.extend(segments.into_iter().map(named(Kind::Segment)));
            wanted.extend(of.into_iter().map(named(Kind::Delta)));
        }
        wanted
    }

    /// Says it once, however often the object is read.
    fn note_damaged(&mut self, name: &str, error: &DecodeError) {
        let note = Note::Damaged {
            name: name.to_owned(),
            error: error.to_string(),
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn open(&mut self, place: Place) -> Result<Snapshot, DecodeError> {
        Snapshot::open(self.stash.get(place).map_err(DecodeError::Spool)?)
    }

    /// Hands out the tables and keys of all that was fetched.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn for_each_key(&mut self, mut visit: impl FnMut(&str, &[u8])) -> Result<(), HistoryError> {
        self.for_each::<HistoryError>(&mut |_, _, dbi, entry| {
            visit(dbi, entry.key);
            Ok(())
        })
    }

    /// Hands out every entry, cut by cut in the order of their times.
    ///
    /// # Errors
    /// Those of `visit`, and of the temporary file. What does not decode is noted.
    pub(super) fn for_each<E: From<HistoryError> + From<DecodeError>>(
        &mut self,
        visit: Visit<'_, E>,
    ) -> Result<(), E> {
        let sources = std::mem::take(&mut self.sources);
        let result = self.walk(&sources, visit);
        self.sources = sources;
        result
    }

    fn walk<E: From<HistoryError> + From<DecodeError>>(
        &mut self,
        sources: &[Source],
        visit: Visit<'_, E>,
    ) -> Result<(), E> {
        let mut open = BinaryHeap::new();
        let mut segments: Vec<Option<(Segment, Cut)>> = sources.iter().map(|_| None).collect();
        let mut next = 0;
        loop {
            // Everything that may have an earlier cut than the earliest of those that are open.
            while let Some(source) = sources.get(next).filter(|source| {
                open.peek()
                    .is_none_or(|Reverse((time, _))| source.span.since < *time)
            }) {
                let time = match source.kind {
                    Kind::Segment => match self.begin(source) {
                        Ok(Some((segment, cut))) => {
                            segments[next] = Some((segment, cut));
                            Some(cut.time)
                        }
                        Ok(None) => None,
                        Err(error) => {
                            self.note_damaged(&source.name, &error);
                            None
                        }
                    },
                    Kind::Base | Kind::Start | Kind::Delta => Some(source.span.time),
                };
                open.extend(time.map(|time| Reverse((time, next))));
                next += 1;
            }
            let Some(Reverse((_, at))) = open.pop() else {
                return Ok(());
            };
            let source = &sources[at];
            if let Some((mut segment, cut)) = segments[at].take() {
                segment.entries(|dbi, entry| visit(&source.instance, cut, dbi, entry))?;
                if let Some(cut) = segment.cut().map_err(HistoryError::from)? {
                    open.push(Reverse((cut.time, at)));
                    segments[at] = Some((segment, cut));
                }
                continue;
            }
            match self.open(source.place) {
                Ok(mut snapshot) => {
                    let cut = Cut {
                        since: source.span.since,
                        time: source.span.time,
                        by_others: source.kind != Kind::Delta || !snapshot.outline().meta.adopted.is_empty(),
                    };
                    snapshot.for_each_entry(|dbi, entry| {
                        visit(&source.instance, cut, &dbi.header.name, &entry)
                    })?;
                }
                Err(error) => self.note_damaged(&source.name, &error),
            }
        }
    }

    fn begin(&mut self, source: &Source) -> Result<Option<(Segment, Cut)>, DecodeError> {
        let object = self.stash.get(source.place).map_err(DecodeError::Spool)?;
        let mut segment = Segment::open(object, |_, _| {})?;
        Ok(segment.cut()?.map(|cut| (segment, cut)))
    }
}
