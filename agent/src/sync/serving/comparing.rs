//! Compares the databases with those of one peer after the other, and takes what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tempfile::SpooledTempFile;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Serving;
use super::neighbours::{Neighbours, NotTaken, Question, Reply};
use crate::store::spool;
use crate::sync::error::SyncError;
use crate::sync::known::schema::Verdict;
use crate::sync::known::sums::Wanted;
use crate::sync::state::replica::Replica;

/// Between two rounds, each with one peer: a server that differs from all others is found in one of them.
const ROUND: Duration = Duration::from_secs(15);
/// Two servers seldom have the same changes while somebody writes all the time: so often they are looked at in a round, after such a
/// pause.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// Time that entries have to come.
const COMING: Duration = Duration::from_secs(600);
/// Rounds in which a peer may differ in vain before it is left alone for a while.
const IN_VAIN: u32 = 3;
const REST: Duration = Duration::from_secs(600);

/// How a comparison ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Equal,
    /// They do not have the same changes, or one of them cannot tell.
    Unknown,
    /// They differ in these DBIs; tombstones were compared from this time on, ns since the epoch.
    Differ(BTreeSet<String>, u64),
}

/// What did not help, by peer and database.
#[derive(Default)]
struct Vain(BTreeMap<(String, String), (u32, Instant)>);

impl Vain {
    fn rests(&mut self, peer: &str, database: &str) -> bool {
        let name = (peer.to_owned(), database.to_owned());
        match self.0.get(&name) {
            Some((times, last)) if *times >= IN_VAIN && last.elapsed() < REST => true,
            Some((times, _)) if *times >= IN_VAIN => {
                self.0.remove(&name);
                false
            }
            _ => false,
        }
    }

    /// It still differs. True if that was so too often.
    fn again(&mut self, peer: &str, database: &str) -> bool {
        let name = (peer.to_owned(), database.to_owned());
        let (times, last) = self.0.entry(name).or_insert((0, Instant::now()));
        // A peer that is asked asks back at once.
        if *times == 0 || last.elapsed() >= ROUND {
            *times += 1;
            *last = Instant::now();
        }
        *times >= IN_VAIN
    }

    fn over(&mut self, peer: &str, database: &str) {
        self.0.remove(&(peer.to_owned(), database.to_owned()));
    }
}

impl Serving {
    /// Compares until `shutdown` is cancelled. Without `neighbours` there is nobody.
    pub async fn compare(
        self: Arc<Self>,
        neighbours: Option<Arc<dyn Neighbours>>,
        shutdown: CancellationToken,
    ) {
        let Some(neighbours) = neighbours else { return };
        let comparing = async {
            let (mut round, mut vain) = (0, Vain::default());
            loop {
                let _ = timeout(ROUND, self.suspects.news()).await;
                let reached = neighbours.reached();
                self.forget_old_differences(&reached);
                let suspect = self
                    .suspects
                    .next()
                    .filter(|suspect| reached.contains_key(suspect));
                let peer = suspect.or_else(|| self.nth_after(round, &reached));
                round += 1;
                // What the bucket or peers still have is not here.
                if let (Some(peer), Some(_)) = (peer, self.status.basis()) {
                    let address = &reached[&peer];
                    self.compare_with((&peer, address), &*neighbours, &mut vain).await;
                }
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(comparing).await;
    }

    /// The instance whose turn it is: one after the other, from the one behind this on, so that not all ask one.
    fn nth_after(&self, round: usize, reached: &BTreeMap<String, String>) -> Option<String> {
        let own = self.own();
        let behind = reached.keys().filter(|name| **name > own);
        let ring: Vec<_> = behind.chain(reached.keys().filter(|name| **name < own)).collect();
        let place = round.checked_rem(ring.len())?;
        ring.get(place).map(|name| (*name).clone())
    }

    fn forget_old_differences(&self, reached: &BTreeMap<String, String>) {
        let there = reached.keys().cloned().collect();
        for member in self.members.all() {
            member.replica.forget_old_differences(&there);
        }
    }

    async fn compare_with(&self, peer: (&str, &str), neighbours: &dyn Neighbours, vain: &mut Vain) {
        for member in self.members.all() {
            let (replica, name) = (&*member.replica, peer.0);
            let database = replica.database();
            if replica.schemas.guard.verdict(name) != Verdict::Merge {
                continue;
            }
            let compared = if vain.rests(name, database) {
                compare(replica, peer, neighbours).await
            } else {
                heal(replica, peer, neighbours).await
            };
            match compared {
                Ok(Outcome::Equal) => {
                    vain.over(name, database);
                    replica.is_equal_to(name);
                }
                Ok(Outcome::Unknown) => {}
                Ok(Outcome::Differ(dbis, _)) => {
                    // What is written on one that only receives may differ for ever.
                    if vain.again(name, database) && !self.receive_only {
                        replica.stays_unlike(name, &dbis);
                    }
                }
                Err(error) => {
                    vain.again(name, database);
                    replica.status.failed(error.category(), &error);
                    tracing::warn!(database, peer = name, %error, "cannot compare the database with a peer's");
                }
            }
        }
    }

    /// Answers what another server asks about a database; `None`: there is no answer now. `from`: who asks, unless it only receives.
    pub async fn reply(&self, from: Option<&str>, database: &str, question: Question) -> Option<Reply> {
        if self.receive_only {
            return None;
        }
        let replica = self.members.of(database)?;
        let failed = |error: SyncError| {
            tracing::warn!(database, %error, "cannot compare the database with a peer's");
        };
        match question {
            Question::Digest(theirs) => {
                let ours = replica.digest().await.map_err(failed).ok()??;
                let differ = replica
                    .compare(&ours, &theirs)
                    .is_some_and(|(dbis, _)| !dbis.is_empty());
                if let Some(from) = from.filter(|_| differ) {
                    self.suspects.note(from);
                }
                Some(Reply::Digest(ours))
            }
            Question::Parts(wanted) => {
                let parts = replica.parts(wanted).await;
                parts.map_err(failed).ok().map(Reply::Parts)
            }
        }
    }

    /// Some entries of a database, as an object, and its length in bytes; `None`: they cannot be had now.
    pub async fn entries_of(&self, database: &str, wanted: Wanted) -> Option<(SpooledTempFile, u64)> {
        if self.receive_only {
            return None;
        }
        let entries = self.members.of(database)?.entries_of(wanted).await;
        entries
            .inspect_err(|error| tracing::warn!(database, %error, "cannot give what differs to a peer"))
            .ok()
    }
}

/// Compares a database with that of a peer, takes what differs, and says how it is then.
async fn heal(
    replica: &Replica,
    peer: (&str, &str),
    neighbours: &dyn Neighbours,
) -> Result<Outcome, SyncError> {
    let outcome = compare(replica, peer, neighbours).await?;
    let Outcome::Differ(dbis, marks_since) = outcome else {
        return Ok(outcome);
    };
    let (name, address) = peer;
    tracing::warn!(
        database = %replica.database(), peer = name, ?dbis,
        "the database differs from a peer's, though no change is missing on either: what differs is compared"
    );
    let mut wanted = Wanted {
        dbis: dbis.iter().map(|dbi| (dbi.clone(), BTreeSet::new())).collect(),
        marks_since,
    };
    let (database, question) = (replica.database(), Question::Parts(wanted.clone()));
    let Some(Reply::Parts(theirs)) = neighbours.question(address, database, &question).await else {
        return Ok(Outcome::Unknown);
    };
    wanted.dbis = replica.parts(wanted.clone()).await?.differences(&theirs);
    if !wanted.dbis.is_empty() {
        let most = replica.env.map_size();
        let into = spool(replica.env.folder());
        let coming = timeout(COMING, neighbours.entries(address, database, &wanted, into, most)).await;
        match coming.unwrap_or_else(|_| Err(NotTaken::Failed("it takes too long".to_owned()))) {
            Ok(object) => drop(replica.take_differing(name, object).await?),
            // It is tried again in the next round.
            Err(NotTaken::Busy) => return Ok(Outcome::Unknown),
            Err(NotTaken::Failed(reason)) => {
                tracing::warn!(database, peer = name, reason, "cannot take what differs");
                return Ok(Outcome::Unknown);
            }
        }
    }
    compare(replica, peer, neighbours).await
}

/// Compares a database with that of a peer as soon as both have the same changes. What differs does so twice.
async fn compare(
    replica: &Replica,
    (name, address): (&str, &str),
    neighbours: &dyn Neighbours,
) -> Result<Outcome, SyncError> {
    let mut differs = false;
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        let Some(ours) = replica.digest().await? else {
            continue;
        };
        let question = Question::Digest(ours.clone());
        let reply = neighbours.question(address, replica.database(), &question).await;
        let Some(Reply::Digest(theirs)) = reply else {
            continue;
        };
        match replica.compare(&ours, &theirs) {
            None => {}
            Some((dbis, _)) if dbis.is_empty() => return Ok(Outcome::Equal),
            Some((dbis, since)) if differs => return Ok(Outcome::Differ(dbis, since)),
            Some((dbis, _)) => {
                tracing::debug!(database = %replica.database(), peer = name, ?dbis, "differs");
                differs = true;
            }
        }
    }
    Ok(Outcome::Unknown)
}

#[cfg(test)]
#[path = "comparing_tests.rs"]
mod tests;
