//! A real database that starts while its store is silent, among peers that do as a test wants; the time is the test's.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::memory::InMemory;
use tempfile::{SpooledTempFile, TempDir};
use tokio::time::timeout;

use super::*;
use crate::lmdb::{Environment, LmdbError, OpenOptions};
use crate::report::Raised;
use crate::status::ServingStatus;
use crate::store::ObjectBackend;
use crate::sync::files::in_sync;
use crate::sync::known::heard::HeardState;
use crate::sync::known::sums::Wanted;
use crate::sync::serving::{Question, Reply, Rules, Says};
use crate::sync::{Origin, Received, Replica};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
/// When the tests begin.
const START: u64 = 1_795_510_850 * SECOND;
const STALE_FOR: Duration = Duration::from_secs(168 * 3600);
const PATIENCE: Duration = Duration::from_secs(10);

/// A database and its replica.
struct Server {
    replica: Arc<Replica>,
    clock: Arc<AtomicU64>,
    _dir: TempDir,
}

impl Server {
    /// With an entry of its own.
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(1 << 20);
        let env = Environment::open(&dir.path().join("db"), &options).unwrap();
        env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi("records_v5")?;
            writer.put(&dbi, name.as_bytes(), START, false, b"value")
        })
        .unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        let origin = Origin {
            database: "main".into(),
            instance: name.into(),
            hostname: "test".into(),
        };
        let store = ObjectBackend::new(Arc::new(InMemory::new()), "");
        let now = clock.clone();
        let replica = Replica::new(
            Arc::new(env),
            Arc::new(store),
            Arc::new(Raised::default()),
            origin,
            Arc::new(move || now.load(Ordering::Relaxed)),
        );
        replica.state().known.reached(name, START - HOUR);
        Self {
            replica: Arc::new(replica),
            clock,
            _dir: dir,
        }
    }

    /// Its data was last in sync so long before the tests began, ns.
    fn was_in_sync(self, ago: u64) -> Self {
        in_sync::write(&self.replica.env, START - ago).unwrap();
        self
    }

    /// It was told of these states of another one, and not of what came before them.
    fn heard(self, instance: &str, times: RangeInclusive<u64>) -> Self {
        for time in times {
            self.replica
                .state()
                .heard
                .hear(instance, time, HeardState::default());
        }
        self
    }

    /// Who decides for it.
    fn serving(&self) -> (Arc<Serving>, Arc<ServingStatus>) {
        let status = Arc::new(ServingStatus::default());
        let rules = Rules {
            stale_for: STALE_FOR,
            store_patience: PATIENCE,
        };
        let clock = self.clock.clone();
        let now = Arc::new(move || clock.load(Ordering::Relaxed));
        let serving = Serving::new(rules, ["main".to_owned()], false, status.clone(), now);
        serving.join(self.replica.clone());
        (Arc::new(serving), status)
    }
}

/// What a peer does that is asked for its database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Gives,
    /// It is told of one more state of another one before it does.
    Grows,
    /// It begins and does not go on.
    Stalls,
    /// It gives to somebody else first, so often.
    IsBusy(u32),
}

struct Peer {
    server: Server,
    basis: Option<Basis>,
    conduct: Conduct,
    asked_for_it: AtomicU32,
    /// The clock of who asks: a second passes until it answers.
    slow_for: Option<Arc<AtomicU64>>,
}

impl Peer {
    fn new(server: Server, basis: Option<Basis>, conduct: Conduct) -> Self {
        Self {
            server,
            basis,
            conduct,
            asked_for_it: AtomicU32::new(0),
            slow_for: None,
        }
    }

    fn times(&self) -> u32 {
        self.asked_for_it.load(Ordering::Relaxed)
    }
}

struct Crowd(Vec<Peer>);

#[async_trait]
impl Neighbours for Crowd {
    async fn ask(&self) -> Vec<Neighbour> {
        let mut answers = Vec::new();
        for peer in &self.0 {
            let (serving, _) = peer.server.serving();
            let says = serving.say().await.unwrap();
            let instance = peer.server.replica.own.clone();
            if let Some(clock) = &peer.slow_for {
                clock.fetch_add(SECOND, Ordering::Relaxed);
            }
            answers.push(Neighbour {
                boot: instance.clone(),
                address: instance.clone(),
                instance,
                says: Says {
                    basis: peer.basis,
                    ..says
                },
            });
        }
        answers
    }

    async fn take(
        &self,
        from: &Neighbour,
        _database: &str,
        _into: SpooledTempFile,
        _most: u64,
    ) -> Result<(Word, SpooledTempFile), NotTaken> {
        let mut peers = self.0.iter();
        let peer = peers
            .find(|peer| peer.server.replica.own == from.instance)
            .unwrap();
        let times = peer.asked_for_it.fetch_add(1, Ordering::Relaxed);
        assert!(times < 50, "it is asked again and again");
        match peer.conduct {
            Conduct::IsBusy(most) if times < most => return Err(NotTaken::Busy),
            Conduct::Stalls => std::future::pending().await,
            Conduct::Gives | Conduct::IsBusy(_) => {}
            Conduct::Grows => {
                let mut state = peer.server.replica.state();
                let next = state.heard.states()["c"].last_key_value().unwrap().0 + 1;
                state.heard.hear("c", next, HeardState::default());
            }
        }
        let (word, dump) = peer.server.replica.hand_over().await.unwrap();
        Ok((word, dump.object))
    }

    fn reached(&self) -> BTreeMap<String, String> {
        let names = self.0.iter().map(|peer| peer.server.replica.own.clone());
        names.map(|name| (name.clone(), name)).collect()
    }

    async fn question(&self, address: &str, database: &str, question: &Question) -> Option<Reply> {
        let peer = self.0.iter().find(|peer| peer.server.replica.own == address)?;
        let (serving, _) = peer.server.serving();
        serving.reply(Some("a"), database, question.clone()).await
    }

    async fn entries(
        &self,
        address: &str,
        database: &str,
        wanted: &Wanted,
        _into: SpooledTempFile,
        _most: u64,
    ) -> Result<SpooledTempFile, NotTaken> {
        let mut peers = self.0.iter();
        let peer = peers.find(|peer| peer.server.replica.own == address).unwrap();
        let (serving, _) = peer.server.serving();
        let entries = serving.entries_of(database, wanted.clone()).await;
        entries.map(|(object, _)| object).ok_or(NotTaken::Busy)
    }
}

/// Lets a server decide for so long, among these.
async fn decide(server: &Server, crowd: &Arc<Crowd>, seconds: u64) -> Arc<ServingStatus> {
    let (serving, status) = server.serving();
    let deciding = serving.keep(Some(crowd.clone()), CancellationToken::new());
    let _ = timeout(Duration::from_secs(seconds), deciding).await;
    status
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_told_of_more_than_can_be_said_is_taken_from_once() {
    for (own, conduct) in [(1000..=1070, Conduct::Gives), (1..=1, Conduct::Grows)] {
        let server = Server::new("a").was_in_sync(HOUR).heard("c", own);
        let giver = Server::new("b").heard("c", 100..=170);
        let crowd = Arc::new(Crowd(vec![Peer::new(giver, Some(Basis::Bucket), conduct)]));
        let status = decide(&server, &crowd, 15).await;
        assert_eq!(status.get().basis, Some(Basis::Peers));
        assert_eq!(crowd.0[0].times(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_serves_takes_nothing_again_from_a_peer_that_was_told_of_more_than_can_be_said() {
    let server = Server::new("a").was_in_sync(HOUR).heard("c", 1000..=1070);
    let giver = Server::new("b").heard("c", 100..=170);
    let peer = Peer::new(giver, Some(Basis::Bucket), Conduct::Gives);
    let crowd = Arc::new(Crowd(vec![peer]));
    decide(&server, &crowd, 600).await;
    assert_eq!(crowd.0[0].times(), 1);
}

#[tokio::test(start_paused = true)]
async fn data_too_old_wait_for_an_up_to_date_peer_that_is_busy_whoever_else_has_old_data() {
    let server = Server::new("a").was_in_sync(200 * HOUR);
    // It is tried every two seconds.
    let busy = Peer::new(Server::new("b"), Some(Basis::Bucket), Conduct::IsBusy(40));
    let old = Peer::new(Server::new("c"), None, Conduct::Gives);
    let crowd = Arc::new(Crowd(vec![busy, old]));
    let status = decide(&server, &crowd, 75).await;
    assert_eq!(status.get().basis, None, "{}", crowd.0[0].times());
    let status = decide(&server, &crowd, 75).await;
    assert_eq!(status.get().basis, Some(Basis::Peers));
}

#[tokio::test(start_paused = true)]
async fn peers_that_stall_hold_young_data_back_for_half_a_minute_all_together() {
    let server = Server::new("a").was_in_sync(HOUR);
    let stalls = |name| Peer::new(Server::new(name), Some(Basis::Bucket), Conduct::Stalls);
    let crowd = Arc::new(Crowd(vec![stalls("b"), stalls("c")]));
    let status = decide(&server, &crowd, 35).await;
    assert_eq!(status.get().basis, None);
    let status = decide(&server, &crowd, 10 + 30 + 3).await;
    assert_eq!(status.get().basis, Some(Basis::OwnData));
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_is_left_for_another_one_who_is_not() {
    let server = Server::new("a").was_in_sync(200 * HOUR);
    let busy = Peer::new(Server::new("b"), Some(Basis::Bucket), Conduct::IsBusy(40));
    let free = Peer::new(Server::new("c"), Some(Basis::Bucket), Conduct::Gives);
    let crowd = Arc::new(Crowd(vec![busy, free]));
    decide(&server, &crowd, 20).await;
    assert_eq!(crowd.0[1].times(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_servers_with_old_data_put_together_gets_no_younger_by_it() {
    for basis in [None, Some(Basis::OwnData)] {
        let server = Server::new("a").was_in_sync(200 * HOUR);
        let crowd = Arc::new(Crowd(vec![Peer::new(Server::new("b"), basis, Conduct::Gives)]));
        let status = decide(&server, &crowd, 120).await;
        let serving = status.get();
        assert_eq!(serving.basis, Some(Basis::OwnData));
        assert_eq!(serving.last_in_sync, Some(START - 200 * HOUR));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_is_forgotten_when_it_is_right_again() {
    let server = Server::new("a").was_in_sync(HOUR);
    server.replica.state().looks.saw_all = Some(START + 10 * HOUR);
    let peer = Peer::new(Server::new("b"), Some(Basis::Bucket), Conduct::Gives);
    let status = decide(&server, &Arc::new(Crowd(vec![peer])), 60).await;
    assert_eq!(status.get().last_in_sync, Some(START));
}

#[tokio::test(start_paused = true)]
async fn who_lacks_nothing_is_as_young_as_what_the_peer_knew_when_it_was_asked() {
    let server = Server::new("a").was_in_sync(HOUR);
    let mut peer = Peer::new(Server::new("b"), Some(Basis::Bucket), Conduct::Gives);
    peer.slow_for = Some(server.clock.clone());
    // It is asked after 10 s and after 20 s: what it said first is here by then.
    let status = decide(&server, &Arc::new(Crowd(vec![peer])), 25).await;
    assert_eq!(status.get().last_in_sync, Some(START));
}

#[test]
fn a_look_shows_what_was_there_when_it_began_if_nothing_of_it_waits() {
    let server = Server::new("a");
    server.replica.state().ready = true;
    let look = |received| {
        server.replica.note_look(&Ok(received), START - SECOND);
        server.replica.was_in_sync()
    };
    assert_eq!(look(Received::Waiting), None);
    assert_eq!(look(Received::Gap), None);
    assert_eq!(look(Received::All), Some(START - SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_states_that_no_clock_can_have_is_taken_from_once() {
    let server = Server::new("a").was_in_sync(HOUR);
    let giver = Server::new("b");
    giver.replica.state().known.reached("c", u64::MAX);
    let peer = Peer::new(giver, Some(Basis::Bucket), Conduct::Gives);
    let crowd = Arc::new(Crowd(vec![peer]));
    let status = decide(&server, &crowd, 600).await;
    assert_eq!(status.get().basis, Some(Basis::Peers));
    assert_eq!(crowd.0[0].times(), 1);
    assert_eq!(server.replica.state().known.have("c"), 0);
}
