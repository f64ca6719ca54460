//! Two real databases with one store, of which one comes to differ without anybody's doing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::memory::InMemory;
use tempfile::TempDir;

use super::*;
use crate::lmdb::{Environment, LmdbError, OpenOptions};
use crate::report::{Raised, ReportServing};
use crate::snapshot::Snapshot;
use crate::status::ServingStatus;
use crate::store::ObjectBackend;
use crate::sync::known::word::Word;
use crate::sync::serving::{Neighbour, Rules};
use crate::sync::{Origin, Received};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_795_510_850 * SECOND;
const DBI: &str = "records";
/// Entries that both have.
const ENTRIES: u32 = 3000;

struct Server {
    replica: Arc<Replica>,
    serving: Arc<Serving>,
    raised: Arc<Raised>,
    _dir: TempDir,
}

impl Server {
    fn new(name: &str, store: &Arc<InMemory>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(16 << 20);
        let env = Environment::open(&dir.path().join("db"), &options).unwrap();
        let origin = Origin {
            database: "main".into(),
            instance: name.into(),
            hostname: "test".into(),
        };
        let raised = Arc::new(Raised::default());
        let clock = AtomicU64::new(START);
        let replica = Arc::new(Replica::new(
            Arc::new(env),
            Arc::new(ObjectBackend::new(store.clone(), "")),
            raised.clone(),
            origin,
            Arc::new(move || clock.fetch_add(1, Ordering::Relaxed)),
        ));
        let rules = Rules {
            stale_for: Duration::ZERO,
            store_patience: Duration::ZERO,
        };
        let status: Arc<dyn ReportServing> = Arc::new(ServingStatus::default());
        let serving = Serving::new(rules, ["main".to_owned()], false, status, Arc::new(|| START));
        serving.join(replica.clone());
        Self {
            replica,
            serving: Arc::new(serving),
            raised,
            _dir: dir,
        }
    }

    /// PowerDNS writes.
    fn put(&self, keys: std::ops::Range<u32>, time: u64, value: &[u8]) {
        let written = self.replica.env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi(DBI)?;
            for key in keys {
                writer.put(&dbi, &key.to_be_bytes(), time, false, value)?;
            }
            Ok(())
        });
        written.unwrap();
    }

    /// Nobody has done what was done since this transaction.
    fn nobody_did_it(&self, since: u64) {
        let last = self.replica.env.last_txn_id();
        let mut state = self.replica.state();
        state.log.let_go_of_all_states();
        state.log.absorb(&(since + 1..=last).collect::<Vec<_>>());
    }

    fn lose(&self, key: u32) {
        let before = self.replica.env.last_txn_id();
        let lost = self.replica.env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi(DBI)?;
            writer.delete(&dbi, &key.to_be_bytes())
        });
        lost.unwrap();
        self.nobody_did_it(before);
    }

    fn value(&self, key: u32) -> Option<Vec<u8>> {
        let read = self.replica.env.read::<_, LmdbError>(|reader| {
            let Some(dbi) = reader.dbi(DBI)? else {
                return Ok(None);
            };
            let found = reader.get(&dbi, &key.to_be_bytes())?;
            Ok(found
                .filter(|(header, _)| !header.deleted)
                .map(|(_, value)| value.to_vec()))
        });
        read.unwrap()
    }

    fn time(&self, key: u32) -> u64 {
        let read = self.replica.env.read::<_, LmdbError>(|reader| {
            let dbi = reader.dbi(DBI)?.unwrap();
            Ok(reader.get(&dbi, &key.to_be_bytes())?.unwrap().0.timestamp)
        });
        read.unwrap()
    }

    async fn receive(&self) {
        while self.replica.receive().await.unwrap() != Received::All {}
    }
}

/// Both have all that either has stored.
async fn pair() -> (Server, Server) {
    let store = Arc::new(InMemory::new());
    let (a, b) = (Server::new("a", &store), Server::new("b", &store));
    a.put(0..ENTRIES, START - SECOND, b"value");
    for _ in 0..2 {
        for server in [&a, &b] {
            server.receive().await;
            server.replica.send(false).await.unwrap();
        }
    }
    a.receive().await;
    (a, b)
}

/// The one that is asked, and what it gave.
struct Line<'s> {
    from: &'s str,
    to: &'s Server,
    given: Mutex<Vec<u64>>,
}

impl<'s> Line<'s> {
    fn new(from: &'s str, to: &'s Server) -> Self {
        Self {
            from,
            to,
            given: Mutex::default(),
        }
    }

    fn given(&self) -> Vec<u64> {
        self.given.lock().unwrap().clone()
    }
}

#[async_trait]
impl Neighbours for Line<'_> {
    async fn ask(&self) -> Vec<Neighbour> {
        Vec::new()
    }

    async fn take(
        &self,
        _from: &Neighbour,
        _database: &str,
        _into: SpooledTempFile,
        _most: u64,
    ) -> Result<(Word, SpooledTempFile), NotTaken> {
        Err(NotTaken::Busy)
    }

    fn reached(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    async fn question(&self, _address: &str, database: &str, question: &Question) -> Option<Reply> {
        // As on the wire.
        let question = serde_json::from_str(&serde_json::to_string(question).unwrap()).unwrap();
        let reply = self.to.serving.reply(Some(self.from), database, question).await?;
        serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap()
    }

    async fn entries(
        &self,
        _address: &str,
        database: &str,
        wanted: &Wanted,
        _into: SpooledTempFile,
        _most: u64,
    ) -> Result<SpooledTempFile, NotTaken> {
        let given = self.to.serving.entries_of(database, wanted.clone()).await;
        let (object, _) = given.ok_or(NotTaken::Busy)?;
        let mut snapshot = Snapshot::open(object).unwrap();
        let mut entries = 0;
        let counted = snapshot.for_each_entry(|_, _| {
            entries += 1;
            Ok::<_, crate::snapshot::DecodeError>(())
        });
        counted.unwrap();
        self.given.lock().unwrap().push(entries);
        let (object, _) = self
            .to
            .serving
            .entries_of(database, wanted.clone())
            .await
            .unwrap();
        Ok(object)
    }
}

async fn heals(server: &Server, line: &Line<'_>) -> Outcome {
    let name = line.to.replica.own.clone();
    heal(&server.replica, (&name, ""), line).await.unwrap()
}

fn differ(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Differ(dbis, _) if *dbis == [DBI.to_owned()].into())
}

#[tokio::test(start_paused = true)]
async fn databases_with_the_same_changes_are_equal_and_nothing_is_asked_for() {
    let (a, b) = pair().await;
    let line = Line::new("a", &b);
    assert_eq!(heals(&a, &line).await, Outcome::Equal);
    assert!(line.given().is_empty());
    // Again after a change that both have.
    a.put(7..8, START, b"later");
    a.replica.send(false).await.unwrap();
    assert_eq!(heals(&a, &line).await, Outcome::Unknown, "it is not there yet");
    b.receive().await;
    assert_eq!(heals(&a, &line).await, Outcome::Equal);
    assert!(a.raised.names().is_empty() && b.raised.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_one_has_lost_it_takes_from_the_other_and_of_that_little_more() {
    let (a, b) = pair().await;
    b.lose(1234);
    let line = Line::new("b", &a);
    assert_eq!(heals(&b, &line).await, Outcome::Unknown, "it is to be told first");
    assert_eq!(b.value(1234).as_deref(), Some(&b"value"[..]));
    let given = line.given();
    assert!(
        given.iter().sum::<u64>() < 20,
        "of {ENTRIES} entries {given:?} were sent"
    );
    assert_eq!(b.raised.names(), ["differences"]);
    // The store has it with the next change, whoever of the two was right.
    assert!(b.replica.has_changes());
    b.replica.send(false).await.unwrap();
    a.receive().await;
    assert_eq!(heals(&b, &line).await, Outcome::Equal);
    assert!(a.raised.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_only_one_has_comes_to_the_other_which_is_told_that_they_differ() {
    let (a, b) = pair().await;
    let before = a.replica.env.last_txn_id();
    a.put(ENTRIES..ENTRIES + 1, START - SECOND, b"more");
    a.nobody_did_it(before);
    let line = Line::new("a", &b);
    let outcome = heals(&a, &line).await;
    assert!(differ(&outcome), "{outcome:?}");
    assert!(a.raised.names().is_empty(), "nothing was missing here");
    assert_eq!(b.serving.suspects.next().as_deref(), Some("a"));
    heals(&b, &Line::new("b", &a)).await;
    assert_eq!(b.value(ENTRIES).as_deref(), Some(&b"more"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_came_back_is_replaced_by_the_later_one() {
    let (a, b) = pair().await;
    a.put(5..6, START, b"later");
    a.replica.send(false).await.unwrap();
    b.receive().await;
    let before = b.replica.env.last_txn_id();
    b.put(5..6, START - SECOND, b"value");
    b.nobody_did_it(before);
    heals(&b, &Line::new("b", &a)).await;
    assert_eq!(b.value(5).as_deref(), Some(&b"later"[..]));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_over_an_entry_that_a_peer_was_given_is_later_though_the_clock_was_set_back() {
    let (a, _b) = pair().await;
    a.put(5..6, START + 10 * SECOND, b"ahead");
    let wanted = Wanted {
        dbis: [(DBI.to_owned(), BTreeSet::new())].into(),
        marks_since: 0,
    };
    a.serving.entries_of("main", wanted).await.unwrap();
    a.put(5..6, START + SECOND, b"later");
    a.replica.send(false).await.unwrap();
    assert!(a.time(5) > START + 10 * SECOND);
    assert_eq!(a.value(5).as_deref(), Some(&b"later"[..]));
}

#[tokio::test(start_paused = true)]
async fn while_something_is_on_its_way_nothing_is_compared() {
    let (a, b) = pair().await;
    b.lose(1);
    b.put(2..3, START, b"not told yet");
    assert_eq!(heals(&b, &Line::new("b", &a)).await, Outcome::Unknown);
    assert_eq!(b.value(1), None);
}

#[tokio::test(start_paused = true)]
async fn who_differs_in_vain_round_by_round_is_left_alone_for_a_while() {
    let mut vain = Vain::default();
    for times in 1..=IN_VAIN {
        assert!(!vain.rests("b", "main"));
        assert_eq!(vain.again("b", "main"), times == IN_VAIN);
        assert_eq!(vain.again("b", "main"), times == IN_VAIN, "it asks back at once");
        tokio::time::advance(ROUND).await;
    }
    assert!(vain.rests("b", "main"));
    assert!(!vain.rests("c", "main") && !vain.rests("b", "shard"));
    vain.over("b", "main");
    assert!(!vain.rests("b", "main"));
}

#[tokio::test(start_paused = true)]
async fn all_that_answer_have_their_turn_beginning_with_the_one_behind() {
    let store = Arc::new(InMemory::new());
    let server = Server::new("b", &store);
    let reached = ["a", "b", "c", "d"]
        .map(|name| (name.to_owned(), String::new()))
        .into();
    let turns: Vec<_> = (0..4)
        .filter_map(|round| server.serving.nth_after(round, &reached))
        .collect();
    assert_eq!(turns, ["c", "d", "a", "c"]);
    assert_eq!(server.serving.nth_after(0, &BTreeMap::new()), None);
}

#[tokio::test(start_paused = true)]
async fn names_of_tables_that_are_not_there_cost_nothing() {
    let (a, _b) = pair().await;
    let parts = async |names: &[&str]| {
        let dbis = names.iter().map(|name| ((*name).to_owned(), BTreeSet::new()));
        let wanted = Wanted {
            dbis: dbis.collect(),
            marks_since: 0,
        };
        a.replica.parts(wanted).await.unwrap()
    };
    assert_eq!(parts(&["made", "up"]).await, parts(&[]).await);
    assert_ne!(parts(&[DBI, "made up"]).await, parts(&[]).await);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_busy_is_no_reason_for_an_alarm() {
    struct Busy<'s>(Line<'s>);

    #[async_trait]
    impl Neighbours for Busy<'_> {
        async fn ask(&self) -> Vec<Neighbour> {
            Vec::new()
        }
        async fn take(
            &self,
            _from: &Neighbour,
            _database: &str,
            _into: SpooledTempFile,
            _most: u64,
        ) -> Result<(Word, SpooledTempFile), NotTaken> {
            Err(NotTaken::Busy)
        }
        fn reached(&self) -> BTreeMap<String, String> {
            BTreeMap::new()
        }
        async fn question(&self, address: &str, database: &str, question: &Question) -> Option<Reply> {
            self.0.question(address, database, question).await
        }
        async fn entries(
            &self,
            _address: &str,
            _database: &str,
            _wanted: &Wanted,
            _into: SpooledTempFile,
            _most: u64,
        ) -> Result<SpooledTempFile, NotTaken> {
            Err(NotTaken::Busy)
        }
    }
    let (a, b) = pair().await;
    b.lose(7);
    let busy = Busy(Line::new("b", &a));
    let outcome = heal(&b.replica, ("a", ""), &busy).await.unwrap();
    assert_eq!(outcome, Outcome::Unknown);
}
