//! Looks again and again at what is known, asks the peers, and does what the rules say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Serving;
use super::neighbours::{Neighbour, Neighbours, NotTaken};
use super::peers::Peers;
use super::rule::{FAILURE, MOST_FAILURES, PeerSeen, Seen, Step, is_young, step, step_while_serving};
use crate::human::age;
use crate::report::Basis;
use crate::store::spool;
use crate::sync::inbound::hand_over::TakenOver;
use crate::sync::known::word::Word;

/// Between two looks of a server that does not serve yet, and of one that does.
const STARTING: Duration = Duration::from_millis(250);
const SERVING: Duration = Duration::from_secs(5);
/// Between two rounds of questions, and after something could not be taken.
const ASKING: Duration = Duration::from_secs(2);
/// Between two rounds of one that serves while its store is silent.
const ASKING_WHILE_SERVING: Duration = Duration::from_secs(10);
/// Time that all peers together have to hand databases over while the own data could be served.
const HURRY: Duration = Duration::from_secs(30);
/// After a server that serves has taken something, it takes nothing for this time, and for so many times as long as that took.
const TAKING: Duration = Duration::from_secs(60);
const SHARE: u32 = 20;
/// What one who decides keeps in mind.
#[derive(Default)]
struct Memory {
    peers: Peers,
    /// Until when peers may hold back own data that could be served.
    hurry: Option<Instant>,
    /// When a peer that is up to date had nothing that was not here, ns since the epoch, while the store is silent.
    caught_up: Option<u64>,
    /// Before this nothing is taken while serving.
    next_take: Option<Instant>,
}

impl Serving {
    /// Decides until `shutdown` is cancelled. Without `neighbours` nobody is asked.
    pub async fn keep(self: Arc<Self>, neighbours: Option<Arc<dyn Neighbours>>, shutdown: CancellationToken) {
        let mut memory = Memory::default();
        let deciding = async {
            loop {
                let pause = match self.status.basis() {
                    None => self.start(&mut memory, neighbours.as_deref()).await,
                    Some(basis) => self.go_on(basis, &mut memory, neighbours.as_deref()).await,
                };
                sleep(pause).await;
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(deciding).await;
        self.members.note(memory.caught_up, true).await;
    }

    /// One look of a server that does not serve yet. Returns the time until the next.
    async fn start(&self, memory: &mut Memory, neighbours: Option<&dyn Neighbours>) -> Duration {
        let peers = &mut memory.peers;
        let silent = self.members.silent();
        let words = match silent {
            Some(_) => self.members.words().await,
            // It is of no interest, and a merge may be under way.
            None => BTreeMap::new(),
        };
        let own = self.own();
        let is_impatient = silent.is_some_and(|silent| silent >= self.rules.store_patience);
        if !is_impatient {
            peers.forget_answers();
            memory.hurry = None;
        }
        let own_data = self.members.own_data(&words);
        let hurry = (is_impatient && is_young(&self.rules, &own_data))
            .then(|| *memory.hurry.get_or_insert_with(|| Instant::now() + HURRY));
        let answers = peers.were_asked().then(|| {
            let answers = peers.answers().iter();
            answers.map(|peer| peers.seen(&own, &words, peer)).collect()
        });
        let seen = Seen {
            bucket: self.members.have_the_bucket(),
            open: self.members.are_in(&words),
            silent,
            own: own_data,
            late: hurry.is_some_and(|until| Instant::now() >= until),
            peers: answers,
        };
        let next = step(&self.rules, &seen);
        // Only when there is nothing left to do with what they said: whoever writes has always more.
        let in_vain = seen.peers.is_some() && matches!(next, Step::Wait(_));
        if in_vain && peers.must_ask(ASKING) {
            peers.ask(neighbours, self.members.now()).await;
            return Duration::ZERO;
        }
        match next {
            Step::Serve(basis) => {
                self.serve(basis);
                return Duration::ZERO;
            }
            Step::Ask => {
                self.status
                    .wait("the store does not answer; asking peers".to_owned());
                peers.ask(neighbours, self.members.now()).await;
                return Duration::ZERO;
            }
            Step::Take(number) => {
                let peer = peers.answers()[number].clone();
                let instance = &peer.instance;
                self.status.wait(format!(
                    "the store does not answer; taking over what {instance} has"
                ));
                if self.take(&words, peers, &peer, neighbours, hurry).await {
                    return Duration::ZERO;
                }
                return ASKING;
            }
            Step::Wait(why) => {
                if self.status.wait(why.clone()) && in_vain {
                    tracing::warn!("not ready: {why}");
                }
            }
        }
        STARTING
    }

    /// One look of a server that serves. Returns the time until the next.
    async fn go_on(
        &self,
        basis: Basis,
        memory: &mut Memory,
        neighbours: Option<&dyn Neighbours>,
    ) -> Duration {
        if basis != Basis::Bucket && self.members.have_the_bucket() {
            self.serve(Basis::Bucket);
        }
        let silent = self.members.silent();
        let is_away = silent.is_some_and(|silent| silent >= self.rules.store_patience);
        if !is_away || self.rules.stale_for.is_zero() {
            memory.caught_up = None;
        } else if memory.peers.must_ask(ASKING_WHILE_SERVING) {
            memory.peers.ask(neighbours, self.members.now()).await;
            self.follow(basis, memory, neighbours).await;
        }
        self.members.note(memory.caught_up, false).await;
        self.status.in_sync(self.members.last_in_sync());
        if basis == Basis::Bucket {
            SERVING
        } else {
            STARTING * 4
        }
    }

    /// Takes what peers have had for a while and is not here: it was lost on its way, and there is no store to find it in.
    async fn follow(&self, basis: Basis, memory: &mut Memory, neighbours: Option<&dyn Neighbours>) {
        let own = self.own();
        let words = self.members.words().await;
        if !self.members.are_in(&words) {
            return;
        }
        let peers = &mut memory.peers;
        let before = peers.said_before();
        // Whoever writes tells of it: only states count here.
        let has_more = |peer: &Neighbour| {
            let mut words = words.iter();
            words.any(|(name, word)| peers.has_more_states(&own, word, name, peer))
        };
        let seen: Vec<_> = before
            .peers
            .iter()
            .map(|peer| PeerSeen {
                has_more: has_more(peer),
                ..peers.seen(&own, &words, peer)
            })
            .collect();
        let is_level = |peer: &PeerSeen| peer.basis >= Some(Basis::Peers) && !peer.has_more;
        if seen.iter().any(is_level) {
            memory.caught_up = Some(before.asked);
        }
        match step_while_serving(basis, &seen) {
            Some(Step::Serve(basis)) => self.serve(basis),
            Some(Step::Take(number)) if memory.next_take.is_none_or(|next| Instant::now() >= next) => {
                let started = Instant::now();
                self.take(&words, peers, &before.peers[number], neighbours, None)
                    .await;
                memory.next_take = Some(Instant::now() + TAKING.max(started.elapsed() * SHARE));
            }
            _ => {}
        }
    }

    /// The instance as object names show it.
    pub(super) fn own(&self) -> String {
        let members = self.members.all();
        members
            .first()
            .map(|member| member.replica.own.clone())
            .unwrap_or_default()
    }

    fn serve(&self, basis: Basis) {
        let now = self.members.now();
        if basis != Basis::Bucket {
            self.members.begin_to_serve(self.receive_only);
        }
        let last_in_sync = self.members.last_in_sync();
        self.status.in_sync(last_in_sync);
        if !self.status.serve(basis, now) {
            return;
        }
        match basis {
            Basis::Bucket => tracing::info!("ready: all that the bucket has is merged"),
            Basis::Peers => tracing::warn!(
                "ready though the store does not answer: all that the peers within reach have is here"
            ),
            Basis::OwnData => tracing::warn!(
                "ready though neither the store nor an up to date peer answers: {}",
                last_in_sync.map_or_else(
                    || "it is not known when own data was last in sync".to_owned(),
                    |time| format!("own data was in sync {} ago", age(time, now))
                )
            ),
        }
    }

    /// Takes all databases over of which a peer has more, until `hurry` at most. False: not all could be had.
    async fn take(
        &self,
        words: &BTreeMap<String, Word>,
        peers: &mut Peers,
        peer: &Neighbour,
        neighbours: Option<&dyn Neighbours>,
        hurry: Option<Instant>,
    ) -> bool {
        let own = self.own();
        let Some(neighbours) = neighbours else {
            return false;
        };
        let members = self.members.all();
        let lacks = |name: &str| {
            let mine = words.get(name);
            mine.is_some_and(|mine| peers.has_more(&own, mine, name, peer))
        };
        let must_judge = members.iter().any(|member| {
            let replica = &member.replica;
            lacks(replica.database()) && replica.must_ask_main(&peer.instance)
        });
        let chosen: Vec<_> = members
            .iter()
            .map(|member| member.replica.clone())
            .filter(|replica| lacks(replica.database()) || must_judge && replica.schemas.main)
            .collect();
        for replica in chosen {
            let (database, most) = (replica.database().to_owned(), replica.env.map_size());
            let taking = neighbours.take(peer, &database, spool(replica.env.folder()), most);
            let taken = match hurry {
                Some(until) => {
                    let late = Err(NotTaken::Failed("it takes too long".to_owned()));
                    timeout_at(until, taking).await.unwrap_or(late)
                }
                None => taking.await,
            };
            let (weight, reason) = match taken {
                Ok((word, object)) => match replica.take_over(&peer.instance, &word, object).await {
                    Ok(TakenOver::Merged(_)) => continue,
                    Ok(TakenOver::Refused) => (MOST_FAILURES, "it has a newer schema of PowerDNS".to_owned()),
                    Ok(TakenOver::Again) => {
                        (FAILURE, "what is known of the store changed meanwhile".to_owned())
                    }
                    Ok(TakenOver::Later) => (FAILURE, "its schema is not known".to_owned()),
                    Err(error) => {
                        replica.status.failed(error.category(), &error);
                        (FAILURE, error.to_string())
                    }
                },
                Err(NotTaken::Busy) if hurry.is_none() => {
                    tracing::info!(database, peer = %peer.instance, "a peer gives to somebody else first");
                    peers.was_busy(&peer.boot);
                    return false;
                }
                Err(NotTaken::Busy) => (FAILURE, "it cannot hand it over now".to_owned()),
                Err(NotTaken::Failed(reason)) => (FAILURE, reason),
            };
            tracing::warn!(database, peer = %peer.instance, reason, "cannot take over what a peer has");
            peers.failed(&peer.boot, weight);
            return false;
        }
        peers.gave(&peer.boot);
        true
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
