//! What `/healthz`, `/status` and `/` show, gathered at one moment. docs/endpoints.md explains the fields of the JSON.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::Status;
use super::events::Event;
use super::health::Check;
use super::powerdns::PowerDnsReport;
use super::quarantine::QuarantineReport;
use super::serving::Serving;
use super::state::{DatabaseState, Now};
use crate::human::age;
use crate::report::{Basis, Level, PeersReport};
use crate::store::Skew;

/// The version of `/status`: it grows when a field changes its meaning or goes; new fields leave it as it is.
const VERSION: u32 = 1;

/// A time, ns since the epoch; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct When(pub u64);

impl When {
    /// By RFC 3339, if there is such a time.
    pub(super) fn rfc3339(self) -> Option<String> {
        let time = jiff::Timestamp::from_nanosecond(self.0.into()).ok()?;
        Some(format!("{time:.3}"))
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rfc3339().serialize(serializer)
    }
}

/// `/healthz`, shaped as Lightning Stream's.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub ok: bool,
    pub has_warnings: bool,
    pub status: &'static str,
    pub time: When,
    pub since: When,
    pub metadata: BTreeMap<String, serde_json::Value>,
    pub failures: BTreeMap<String, String>,
    pub warnings: BTreeMap<String, String>,
}

/// `/status`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub version: u32,
    pub agent: &'static str,
    pub instance: String,
    pub time: When,
    pub started: When,
    pub ready: bool,
    pub serving: ServingReport,
    pub health: HealthSummary,
    pub store_clock: Option<ClockReport>,
    /// The fingerprint of the key that the store accepted last; null without such keys.
    pub store_key: Option<String>,
    pub powerdns: PowerDnsReport,
    pub databases: BTreeMap<String, DatabaseReport>,
    /// Null where no peers are configured.
    pub peers: Option<PeersReport>,
}

/// By what the server may be asked.
#[derive(Debug, Serialize)]
pub(super) struct ServingReport {
    pub basis: Option<Basis>,
    pub since: Option<When>,
    pub last_in_sync: Option<When>,
    /// What it waits for while it may not.
    pub waits_for: Option<String>,
}

impl From<Serving> for ServingReport {
    fn from(serving: Serving) -> Self {
        Self {
            basis: serving.basis,
            since: serving.basis.map(|_| When(serving.since)),
            last_in_sync: serving.last_in_sync.map(When),
            waits_for: Some(serving.waits).filter(|waits| !waits.is_empty()),
        }
    }
}

/// The own clock beside the store's, which all databases share.
#[derive(Debug, Serialize)]
pub(super) struct ClockReport {
    pub ahead_seconds: f64,
    pub uncertainty_seconds: f64,
    pub measured: When,
    /// The same for people.
    #[serde(skip)]
    pub text: String,
}

impl From<&Skew> for ClockReport {
    fn from(skew: &Skew) -> Self {
        // A tenth of a millisecond is far below what can be known.
        let seconds = |nanos: i64| jiff::SignedDuration::from_millis(nanos / 1_000_000).as_secs_f64();
        Self {
            ahead_seconds: seconds(skew.ahead()),
            uncertainty_seconds: seconds(skew.uncertainty()),
            measured: When(skew.measured),
            text: skew.to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct HealthSummary {
    pub ok: bool,
    pub failures: BTreeMap<String, String>,
    pub warnings: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct DatabaseReport {
    pub ready: bool,
    pub path: Option<String>,
    pub file_bytes: Option<u64>,
    pub map_bytes: Option<u64>,
    pub entries: Option<u64>,
    pub marks: Option<u64>,
    pub counted: Option<When>,
    pub last_txn: u64,
    pub synced_txn: u64,
    pub unsynced: bool,
    pub stored: Option<StoredReport>,
    pub instances: BTreeMap<String, InstanceReport>,
    pub failing: BTreeMap<&'static str, FailingReport>,
    pub conditions: BTreeMap<&'static str, ConditionReport>,
    pub corrupt: BTreeMap<String, String>,
    pub quarantine: QuarantineReport,
    /// When it was last found equal to the database of a peer.
    pub compared: Option<When>,
    pub work: Vec<EventReport>,
    pub troubles: Vec<EventReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct StoredReport {
    pub name: String,
    pub time: When,
    pub bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct InstanceReport {
    pub own: bool,
    /// It never comes back: its objects are removed as soon as others have stored all that they say.
    pub retired: bool,
    pub newest: When,
    /// The newest snapshot that is in this database, when it was taken, and when it was merged.
    pub merged: Option<String>,
    pub merged_taken: Option<When>,
    pub merged_at: Option<When>,
    pub written: Option<u64>,
    /// The database has everything that the instance has stored.
    pub up_to_date: bool,
    /// From taking the snapshot to merging it, where both happened while this agent was running.
    pub delay_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct FailingReport {
    pub seconds: u64,
    pub failures: u64,
    pub last_error: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ConditionReport {
    pub level: &'static str,
    pub text: String,
    pub since: When,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct EventReport {
    pub kind: &'static str,
    pub step: &'static str,
    pub text: String,
    pub first: When,
    pub last: When,
    pub times: u64,
}

impl From<&Event> for EventReport {
    fn from(event: &Event) -> Self {
        Self {
            kind: event.kind.word(),
            step: event.step,
            text: event.text.clone(),
            first: When(event.first),
            last: When(event.last),
            times: event.times,
        }
    }
}

/// What is to be said of a server that answers though the store has not told it all.
fn without_the_store(serving: &Serving, now: Now) -> Option<String> {
    let known = match serving.basis? {
        Basis::Bucket => return None,
        Basis::Peers => "it has what its peers have".to_owned(),
        Basis::OwnData => match serving.last_in_sync {
            Some(when) => format!(
                "it answers from its own data, in sync {} ago",
                age(when, now.wall)
            ),
            None => "it answers from its own data".to_owned(),
        },
    };
    Some(format!("the store does not answer since the start: {known}"))
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

impl Status {
    fn summary(&self, states: &BTreeMap<String, DatabaseState>, now: Now) -> HealthSummary {
        let (mut failures, mut warnings) = (BTreeMap::new(), BTreeMap::new());
        for finding in self.findings(states, now) {
            match finding.level {
                Level::Ok => None,
                Level::Warning => warnings.insert(finding.name, finding.text),
                Level::Error => failures.insert(finding.name, finding.text),
            };
        }
        if let Some(text) = without_the_store(&self.serving(states), now) {
            warnings.insert("serving".to_owned(), text);
        }
        HealthSummary {
            ok: failures.is_empty(),
            failures,
            warnings,
        }
    }

    pub(super) fn health(&self) -> Health {
        let now = (self.clock)();
        let states = self.states();
        let HealthSummary {
            ok,
            failures,
            warnings,
        } = self.summary(&states, now);
        let mut metadata = BTreeMap::from([
            ("instance".to_owned(), self.identity.instance.clone().into()),
            ("version".to_owned(), env!("CARGO_PKG_VERSION").into()),
        ]);
        if self.identity.health.start_in_metadata {
            let started = |(name, state): (&String, &DatabaseState)| {
                (format!("startup_{name}"), state.has_started().into())
            };
            metadata.extend(states.iter().map(started));
        }
        Health {
            ok,
            has_warnings: !warnings.is_empty(),
            status: if ok { "OK" } else { "Unavailable" },
            time: When(now.wall),
            since: When(self.started.wall),
            metadata,
            failures,
            warnings,
        }
    }

    pub(super) fn report(&self) -> Report {
        let now = (self.clock)();
        let states = self.states();
        let serving = self.serving(&states);
        Report {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION"),
            instance: self.identity.instance.clone(),
            time: When(now.wall),
            started: When(self.started.wall),
            ready: serving.basis.is_some(),
            serving: serving.into(),
            health: self.summary(&states, now),
            store_clock: states
                .values()
                .filter_map(|state| state.skew.as_ref())
                .max_by_key(|skew| skew.measured)
                .map(ClockReport::from),
            store_key: self.store.as_ref().and_then(|store| store.key()),
            powerdns: self.powerdns.report(),
            databases: states
                .into_iter()
                .map(|(name, state)| (name, database(&state, &self.identity.instance, now)))
                .collect(),
            peers: self.peers.as_ref().map(|report| report()),
        }
    }
}

fn database(state: &DatabaseState, own: &str, now: Now) -> DatabaseReport {
    let own = crate::snapshot::sanitize_instance(own);
    let file = state.file.as_ref();
    let content = state.content;
    let failing = Check::ALL.into_iter().filter_map(|check| {
        let streak = state.streaks.of(check)?;
        let lasting = now.steady.saturating_duration_since(streak.since);
        let report = FailingReport {
            seconds: lasting.as_secs(),
            failures: streak.failures,
            last_error: streak.last_error.clone(),
        };
        Some((check.name(), report))
    });
    let conditions = state.conditions.iter().map(|(name, condition)| {
        let report = ConditionReport {
            level: level_word(condition.level),
            text: condition.text.clone(),
            since: When(condition.since),
        };
        (*name, report)
    });
    DatabaseReport {
        ready: state.ready,
        path: file.map(|file| file.path.display().to_string()),
        file_bytes: file.map(|file| file.bytes),
        map_bytes: file.map(|file| file.map_bytes),
        entries: content.map(|content| content.entries),
        marks: content.map(|content| content.marks),
        counted: content.map(|content| When(content.counted)),
        last_txn: state.last_txn,
        synced_txn: state.synced_txn,
        unsynced: state.unsynced,
        stored: state.stored.as_ref().map(|stored| StoredReport {
            name: stored.name.clone(),
            time: When(stored.at),
            bytes: stored.bytes,
        }),
        instances: state
            .instances
            .iter()
            .map(|(name, instance)| {
                let merged = instance.merged.as_ref();
                let fresh = merged.filter(|merged| merged.fresh);
                let report = InstanceReport {
                    own: *name == own,
                    retired: state.retired.contains(name),
                    newest: When(instance.newest),
                    merged: merged.map(|merged| merged.name.clone()),
                    merged_taken: merged.map(|merged| When(merged.taken)),
                    merged_at: merged.map(|merged| When(merged.merged)),
                    written: merged.map(|merged| merged.written),
                    up_to_date: merged.is_some_and(|merged| merged.taken >= instance.newest),
                    delay_seconds: fresh.map(|fresh| milliseconds(fresh.merged.saturating_sub(fresh.taken))),
                };
                (name.clone(), report)
            })
            .collect(),
        failing: failing.collect(),
        conditions: conditions.collect(),
        corrupt: state.present_corrupt(),
        quarantine: (&state.quarantine).into(),
        compared: Some(state.compared).filter(|when| *when != 0).map(When),
        work: state.work.newest_first().map(EventReport::from).collect(),
        troubles: state.troubles.newest_first().map(EventReport::from).collect(),
    }
}

/// Seconds with three decimals.
fn milliseconds(nanos: u64) -> f64 {
    let rounded = std::time::Duration::from_millis(nanos / 1_000_000);
    rounded.as_secs_f64()
}
