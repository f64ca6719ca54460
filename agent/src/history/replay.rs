//! Going through the past: the state of a database at a time, and what was written on the way.

use std::collections::HashMap;
use std::path::Path;

use tempfile::TempDir;

use super::stash::{directory, leave_room};
use super::{HistoryError, Past};
use crate::lmdb::{Dbi, Environment, OpenOptions, Writer};
use crate::merge::replaces;
use crate::snapshot::{Cut, Entry};

/// Entries that are written to the temporary database with one transaction.
const AT_ONCE: usize = 50_000;

/// What was written, as the database saw it.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// Who stored it; of what only a base snapshot tells, who took that.
    pub instance: &'a str,
    /// When it was written, ns since the epoch.
    pub moment: u64,
    pub dbi: &'a str,
    pub key: &'a [u8],
    /// What was there before; deletion marks are not.
    pub before: Option<Entry<'a>>,
    pub after: Entry<'a>,
}

/// A state of a database in a temporary file.
pub struct Timeline {
    env: Environment,
    _dir: TempDir,
}

impl Timeline {
    fn new(folder: &Path) -> Result<Self, HistoryError> {
        let dir = directory(folder).map_err(HistoryError::Stash)?;
        let options = OpenOptions::of_a_new_file(64 << 30);
        let env = Environment::open(&dir.path().join("lmdb"), &options)?;
        Ok(Self { env, _dir: dir })
    }

    /// The state, as a database.
    pub fn env(&self) -> &Environment {
        &self.env
    }
}

/// Cuts whose times differ by more from what is in them, ns, have theirs only because times in names never go back: after a clock that was
/// ahead.
const ODD: u64 = 120_000_000_000;

/// When an entry of a cut was written, ns since the epoch. The writer's clock says it, as far as the cut allows that: what is in a cut
/// came after the state before it.
pub(super) fn moment(cut: Cut, timestamp: u64) -> u64 {
    if cut.by_others || timestamp.saturating_add(ODD) < cut.since {
        timestamp.min(cut.time)
    } else {
        timestamp.clamp(cut.since.saturating_add(1).min(cut.time), cut.time)
    }
}

/// Makes the state of a database at `until`, in ns since the epoch, of the entries that are `wanted`, and calls `on_change` with
/// what changed on the way to it. What lost against a later write changed nothing. Temporary files are in `folder`.
///
/// # Errors
/// Those of `on_change`, and of the temporary files.
pub fn replay(
    past: &mut Past,
    folder: &Path,
    until: u64,
    wanted: impl Fn(&str, &[u8]) -> bool,
    mut on_change: impl FnMut(&Written<'_>) -> Result<(), HistoryError>,
) -> Result<Timeline, HistoryError> {
    let timeline = Timeline::new(folder)?;
    let mut state = State::new(&timeline.env);
    past.for_each::<HistoryError>(&mut |instance, cut, dbi, entry| {
        let moment = moment(cut, entry.timestamp);
        if moment > until || !wanted(dbi, entry.key) {
            return Ok(());
        }
        state.write(dbi, entry, |before| {
            on_change(&Written {
                instance,
                moment,
                dbi,
                key: entry.key,
                before: before.filter(|entry| !entry.deleted),
                after: *entry,
            })
        })
    })?;
    state.commit()?;
    drop(state);
    Ok(timeline)
}

/// A temporary database that is being written.
struct State<'e> {
    env: &'e Environment,
    writer: Option<Writer<'e>>,
    dbis: HashMap<String, Dbi>,
    written: usize,
    /// What an entry replaces.
    before: Vec<u8>,
}

impl<'e> State<'e> {
    fn new(env: &'e Environment) -> Self {
        Self {
            env,
            writer: None,
            dbis: HashMap::new(),
            written: 0,
            before: Vec::new(),
        }
    }

    fn commit(&mut self) -> Result<(), HistoryError> {
        leave_room(self.env.folder())?;
        if let Some(writer) = self.writer.take() {
            writer.commit()?;
        }
        self.written = 0;
        Ok(())
    }

    /// Writes an entry if it wins, and tells what it replaces.
    fn write(
        &mut self,
        name: &str,
        entry: &Entry<'_>,
        tell: impl FnOnce(Option<Entry<'_>>) -> Result<(), HistoryError>,
    ) -> Result<(), HistoryError> {
        if self.written == AT_ONCE {
            self.commit()?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.env.begin_write()?),
        };
        if !self.dbis.contains_key(name) {
            self.dbis.insert(name.to_owned(), writer.dbi(name)?);
        }
        let dbi = &self.dbis[name];
        let before = writer.get(dbi, entry.key)?.map(|(header, value)| {
            self.before.clear();
            self.before.extend_from_slice(value);
            header
        });
        let before = before.map(|header| Entry {
            key: entry.key,
            value: &self.before,
            timestamp: header.timestamp,
            deleted: header.deleted,
        });
        if before.is_some_and(|before| !replaces(entry, &before)) {
            return Ok(());
        }
        tell(before)?;
        let (timestamp, deleted, value) = (entry.timestamp, entry.deleted, entry.value);
        if before.is_some() || !writer.append(dbi, entry.key, timestamp, deleted, value)? {
            writer.put(dbi, entry.key, timestamp, deleted, value)?;
        }
        self.written += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_as_old_as_its_time_says_within_the_cut_that_has_it() {
        let cut = Cut {
            since: 10,
            time: 20,
            by_others: false,
        };
        assert_eq!(moment(cut, 15), 15);
        // PowerDNS had begun its transaction before the state was cut.
        assert_eq!(moment(cut, 9), 11);
        // What it replaced had a time ahead of the clock.
        assert_eq!(moment(cut, 30), 20);
        let odd = Cut {
            since: 10 + ODD,
            time: 20 + ODD,
            ..cut
        };
        assert_eq!(moment(odd, 9), 9);
        assert_eq!(moment(odd, 10), 11 + ODD);
        let adopted = Cut {
            by_others: true,
            ..cut
        };
        assert_eq!(moment(adopted, 9), 9);
        assert_eq!(moment(adopted, 30), 20);
    }
}
