//! The databases of an agent, seen together: a server may be asked when all of them may.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::neighbours::Says;
use super::rule::OwnData;
use crate::report::{Basis, ReportServing};
use crate::sync::database::dump::Dump;
use crate::sync::files::in_sync;
use crate::sync::known::fleet_time::Clock;
use crate::sync::known::word::Word;
use crate::sync::state::replica::Replica;

/// Between two times that "in sync" is written down.
const WRITING: Duration = Duration::from_secs(60);

/// A database that is open.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) replica: Arc<Replica>,
    /// When it was last in sync, ns since the epoch.
    in_sync: Option<u64>,
    /// What was last written down, and when.
    written: Option<(u64, Instant)>,
}

/// The databases of an agent, by name.
pub(super) struct Members {
    names: Vec<String>,
    open: Mutex<BTreeMap<String, Member>>,
    clock: Clock,
    started: Instant,
}

impl Members {
    pub(super) fn new(names: Vec<String>, clock: Clock) -> Self {
        Self {
            names,
            open: Mutex::default(),
            clock,
            started: Instant::now(),
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A database is open; its store has been silent since the start of the agent until it answers.
    pub(super) fn join(&self, replica: Arc<Replica>) {
        {
            let mut state = replica.state();
            if state.awaited.is_none() {
                state.looks.silent_since = Some(self.started);
            }
        }
        let in_sync = in_sync::read(&replica.env);
        let name = replica.database().to_owned();
        let member = Member {
            replica,
            in_sync,
            written: None,
        };
        self.open().insert(name, member);
    }

    /// Those that are open, main databases first: they judge whether a peer's schema fits.
    pub(super) fn all(&self) -> Vec<Member> {
        let mut members: Vec<_> = self.open().values().cloned().collect();
        members.sort_by_key(|member| !member.replica.schemas.main);
        members
    }

    pub(super) fn of(&self, database: &str) -> Option<Arc<Replica>> {
        self.open().get(database).map(|member| member.replica.clone())
    }

    pub(super) fn are_open(&self) -> bool {
        let open = self.open();
        self.names.iter().all(|name| open.contains_key(name))
    }

    /// It is known of all of them what they have.
    pub(super) fn are_in(&self, words: &BTreeMap<String, Word>) -> bool {
        self.names.iter().all(|name| words.contains_key(name))
    }

    /// All that the store had at the first look is merged.
    pub(super) fn have_the_bucket(&self) -> bool {
        self.are_open() && self.open().values().all(|member| member.replica.is_ready())
    }

    /// By what the server may be asked.
    pub(super) fn basis(&self, status: &dyn ReportServing) -> Option<Basis> {
        if self.have_the_bucket() {
            Some(Basis::Bucket)
        } else {
            status.basis()
        }
    }

    /// For how long the store has not answered, of the database for which that is longest.
    pub(super) fn silent(&self) -> Option<Duration> {
        let open = self.open();
        if open.len() < self.names.len() {
            return Some(self.started.elapsed());
        }
        let silent = open
            .values()
            .filter_map(|member| member.replica.state().looks.silent_since);
        silent.min().map(|since| since.elapsed())
    }

    /// What each has.
    pub(super) async fn words(&self) -> BTreeMap<String, Word> {
        let mut words = BTreeMap::new();
        for member in self.all() {
            match member.replica.word().await {
                Ok(word) => {
                    words.insert(member.replica.database().to_owned(), word);
                }
                Err(error) => {
                    tracing::warn!(database = %member.replica.database(), %error, "cannot say what is here");
                }
            }
        }
        words
    }

    pub(super) async fn say(&self, status: &dyn ReportServing, gives: bool) -> Says {
        // The basis first: who becomes up to date meanwhile says so with the next answer.
        let basis = self.basis(status);
        Says {
            basis,
            gives,
            databases: self
                .words()
                .await
                .into_iter()
                .map(|(name, word)| (name, word.said()))
                .collect(),
        }
    }

    /// What the own data is worth on its own.
    pub(super) fn own_data(&self, words: &BTreeMap<String, Word>) -> OwnData {
        let now = self.now();
        let open = self.open();
        let age = |name: &String| in_sync::age(open.get(name)?.in_sync?, now);
        let ages: Option<Vec<u64>> = self.names.iter().map(age).collect();
        let blank = |(name, word): (&String, &Word)| {
            word.empty && open.get(name).is_none_or(|member| member.in_sync.is_none())
        };
        OwnData {
            in_sync: ages
                .and_then(|ages| ages.into_iter().max())
                .map(Duration::from_nanos),
            empty: words.values().all(|word| word.empty),
            blank: words.iter().any(blank),
        }
    }

    /// When all were last in sync, ns since the epoch.
    pub(super) fn last_in_sync(&self) -> Option<u64> {
        let open = self.open();
        let times: Option<Vec<u64>> = self.names.iter().map(|name| open.get(name)?.in_sync).collect();
        times?.into_iter().min()
    }

    /// The time, ns since the epoch.
    pub(super) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Notes when the databases were last in sync: with the store, or all of them with a peer. It is written down at most once a
    /// minute, and at the `end`. Not the present time: an agent that was stopped for a day knows what it knew the day before.
    pub(super) async fn note(&self, with_a_peer: Option<u64>, end: bool) {
        let mut due = Vec::new();
        let now = self.now();
        for member in self.open().values_mut() {
            if member.replica.is_refilling() {
                continue;
            }
            let times = [member.replica.was_in_sync(), with_a_peer].into_iter().flatten();
            // The clock may have been ahead then, and be right again.
            let Some(time) = times.filter(|time| in_sync::age(*time, now).is_some()).max() else {
                continue;
            };
            member.in_sync = Some(time);
            let is_due = |(last, when): (u64, Instant)| last != time && (end || when.elapsed() >= WRITING);
            if member.written.is_none_or(is_due) {
                member.written = Some((time, Instant::now()));
                due.push((member.replica.env.clone(), time));
            }
        }
        for (env, time) in due {
            let path = env.path().to_owned();
            let written = spawn_blocking(move || in_sync::write(&env, time)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(path = %path.display(), %error, "cannot write down that the database is in sync");
            }
        }
    }

    /// The server may be asked: it tells peers of its changes though the store has not been seen.
    pub(super) fn begin_to_serve(&self, receive_only: bool) {
        for member in self.all() {
            if let Err(error) = member.replica.begin_to_serve(receive_only) {
                tracing::warn!(
                    database = %member.replica.database(), %error,
                    "peers are told nothing until the store answers"
                );
            }
        }
    }

    pub(super) async fn hand_over(&self, database: &str) -> Option<(Word, Dump)> {
        let replica = self.of(database)?;
        match replica.hand_over().await {
            Ok(handed) => Some(handed),
            Err(error) => {
                tracing::warn!(database, %error, "cannot hand the database to a peer");
                None
            }
        }
    }
}
