//! What `history`, `zone show` and `restore` have in common: times as people write them, and what is fetched for a question.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::output::time;
use super::refused::Refused;
use super::store::open_store;
use super::sync::now;
use crate::config::{Config, Span};
use crate::content::keys::presented;
use crate::history::{HistoryError, Note, Past, Scope, Timeline, Written, replay};
use crate::show;
use crate::store::Store;

/// A moment, ns since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When(pub(super) u64);

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Span(ago)) = Span::from_str(text) {
            let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
            return Ok(Self(now().saturating_sub(ago)));
        }
        let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).map(|time| time.timestamp());
        let read = Timestamp::from_str(text).or_else(|_| DateTime::from_str(text).and_then(utc));
        let nanos = read
            .ok()
            .and_then(|time| u64::try_from(time.as_nanosecond()).ok());
        nanos.map(Self).ok_or_else(|| {
            format!("{text:?} is no time: write 2026-11-30T10:00:00Z, 2026-11-30 10:00 (UTC), or 90m for so long ago")
        })
    }
}

/// The name of a zone, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZoneName(pub(super) String);

impl FromStr for ZoneName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = domain::base::Name::<Vec<u8>>::from_str(&text.to_ascii_lowercase());
        let name = name.map_err(|error| format!("{text:?} is no name of a zone: {error}"))?;
        let labels = name.iter().filter(|label| !label.is_root());
        let labels: Vec<Vec<u8>> = labels.map(|label| label.as_slice().to_vec()).collect();
        Ok(Self(presented(labels.iter().map(Vec::as_slice))))
    }
}

/// What was fetched for a question, of all databases.
pub(super) struct Pasts {
    pub(super) scope: Scope,
    /// By the names of the databases.
    pub(super) all: BTreeMap<String, Past>,
    /// Names of zones by the IDs that they have or had.
    pub(super) zones: HashMap<u32, String>,
    /// Where temporary files are.
    pub(super) folder: PathBuf,
}

/// Where temporary files can be: the usual place, or else beside the first database. A container may have none but that.
pub(super) fn scratch(config: &Config) -> PathBuf {
    let usual = std::env::temp_dir();
    let beside = || Some(config.lmdbs.values().next()?.path.parent()?.to_owned());
    match tempfile::tempfile_in(&usual) {
        Ok(_) => usual,
        Err(_) => beside().unwrap_or(usual),
    }
}

impl Pasts {
    /// Fetches what shows the states from `since` to `until`, and what is in scope of it.
    pub(super) async fn fetch(
        config: &Config,
        mut scope: Scope,
        (since, until): (u64, u64),
    ) -> anyhow::Result<Self> {
        let store: Arc<dyn Store> = open_store(&config.storage)?;
        let (mut all, mut zones) = (BTreeMap::new(), HashMap::new());
        let folder = scratch(config);
        for database in config.lmdbs.keys() {
            // Drawn on a terminal only.
            let bar = ProgressBar::new(0).with_message(format!("history of {database}"));
            bar.set_style(ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}")?);
            let progress = |done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            };
            let past = Past::fetch(&*store, &folder, database, (since, until), progress).await;
            bar.finish_and_clear();
            let mut past = past?;
            past.for_each_key(|dbi, key| {
                scope.learn(dbi, key);
                if dbi.starts_with("domains_v")
                    && dbi.ends_with("_0")
                    && scope.has(dbi, key)
                    && let Some((name, id)) = show::zone_of_index(key)
                {
                    zones.insert(id, name);
                }
            })?;
            all.insert(database.clone(), past);
        }
        Ok(Self {
            scope,
            all,
            zones,
            folder,
        })
    }

    /// Makes the state of each database at `until`, and calls `on_change` with what changed on the way.
    pub(super) fn replay(
        &mut self,
        until: u64,
        mut on_change: impl FnMut(&HashMap<u32, String>, &Written<'_>) -> Result<(), HistoryError>,
    ) -> anyhow::Result<BTreeMap<String, Timeline>> {
        let mut timelines = BTreeMap::new();
        for (database, past) in &mut self.all {
            let (scope, zones) = (&self.scope, &self.zones);
            let timeline = replay(
                past,
                &self.folder,
                until,
                |dbi, key| scope.has(dbi, key),
                |written| on_change(zones, written),
            );
            timelines.insert(
                database.clone(),
                timeline.with_context(|| format!("cannot read the history of {database}"))?,
            );
        }
        Ok(timelines)
    }

    /// What is missing.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> + '_ {
        let notes = self
            .all
            .iter()
            .flat_map(|(database, past)| past.notes.iter().map(move |note| (database, note)));
        notes.map(|(database, note)| match note {
            Note::Begins(from) => format!("the history of {database} begins at {}", time(*from)),
            Note::Missing { instance, span } => format!(
                "what {instance} wrote to {database} between {} and {} is only seen by the next base snapshot",
                time(span.since),
                time(span.time)
            ),
            Note::Damaged { name, error } => {
                format!("{name} is damaged, and what it says is missing: {error}")
            }
        })
    }

    /// Says what is missing, on standard error.
    pub(super) fn tell_notes(&self) {
        self.notes().for_each(|note| tracing::warn!("{note}"));
    }

    /// # Errors
    /// That something is missing in it.
    pub(super) fn is_whole(&self) -> Result<(), Refused> {
        let notes = self.all.values().flat_map(|past| &past.notes);
        let missing = notes.filter(|note| !matches!(note, Note::Begins(_))).count();
        (missing == 0).then_some(()).ok_or(Refused::Gaps)
    }

    /// # Errors
    /// That the history of a database begins later.
    pub(super) fn reach_back_to(&self, at: u64) -> Result<(), Refused> {
        for (database, past) in &self.all {
            for note in &past.notes {
                if let Note::Begins(from) = note
                    && *from > at
                {
                    return Err(Refused::BeforeHistory {
                        database: database.clone(),
                        from: time(*from),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_in_utc_or_how_long_ago() {
        let at = |text: &str| When::from_str(text).unwrap().0;
        let expected = 1_795_510_851_000_000_000;
        assert_eq!(at("2026-11-24T09:00:51Z"), expected);
        assert_eq!(at("2026-11-24T10:00:51+01:00"), expected);
        assert_eq!(at("2026-11-24 09:00:51"), expected);
        assert_eq!(at("2026-11-24T09:00"), expected - 51_000_000_000);
        let hour = 3_600_000_000_000;
        assert!((now() - at("1h")).abs_diff(hour) < hour / 60);
        let error = When::from_str("yesterday").unwrap_err();
        assert!(error.contains("2026-11-30 10:00"), "{error}");
    }

    #[test]
    fn a_zone_is_named_with_or_without_the_dot_at_the_end() {
        let name = |text: &str| ZoneName::from_str(text).map(|name| name.0);
        assert_eq!(name("Example.org").unwrap(), "example.org.");
        assert_eq!(name("example.org.").unwrap(), "example.org.");
        assert_eq!(name(".").unwrap(), ".");
        assert!(name("a..b").unwrap_err().contains("no name of a zone"));
    }
}
