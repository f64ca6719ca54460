//! What waits for one peer, and how it stands with it. No input or output.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Changes, lock};
use crate::clocks::Moment;
use crate::skew::{Estimator, Sample, Skew};

/// How it stands with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not yet greeted.
    New,
    Reached,
    /// It does not answer: nothing waits for it until it does.
    Away,
    /// It is this agent.
    Own,
}

/// Changes that wait for a peer, or are just being told.
pub(super) struct Waiting {
    pub changes: Arc<Changes>,
    pub since: Instant,
    /// How often the peer had no room for it.
    pub refusals: u32,
    _counted: Counted,
}

/// Counts until it is dropped, whatever becomes of what it is part of.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[derive(Debug, Clone)]
pub(super) struct LinkState {
    pub standing: Standing,
    pub instance: Option<String>,
    pub boot: Option<String>,
    pub told: u64,
    pub dropped: u64,
    pub failed: u64,
    pub contact: Option<Instant>,
    pub last_error: Option<String>,
    /// Messages and bytes that wait.
    pub queued: usize,
    pub queued_bytes: usize,
    /// Something was dropped since the last hello, which shows the peer where to look for it.
    missed: bool,
    greet: bool,
}

struct Inner {
    queue: VecDeque<Waiting>,
    state: LinkState,
    clock: Estimator,
}

/// One address of a peer.
pub(super) struct Link {
    /// `http://host:port`.
    pub address: String,
    /// Cancelled when the address is no peer's any more.
    pub gone: CancellationToken,
    pub wake: Notify,
    most_messages: usize,
    most_bytes: usize,
    /// Messages that wait, of all links.
    waiting: watch::Sender<usize>,
    inner: Mutex<Inner>,
}

impl Link {
    pub(super) fn new(
        address: String,
        gone: CancellationToken,
        (most_messages, most_bytes): (usize, usize),
        waiting: watch::Sender<usize>,
    ) -> Self {
        let state = LinkState {
            standing: Standing::New,
            instance: None,
            boot: None,
            told: 0,
            dropped: 0,
            failed: 0,
            contact: None,
            last_error: None,
            queued: 0,
            queued_bytes: 0,
            missed: false,
            greet: false,
        };
        Self {
            address,
            gone,
            wake: Notify::new(),
            most_messages,
            most_bytes,
            waiting,
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                state,
                clock: Estimator::default(),
            }),
        }
    }

    pub(super) fn state(&self) -> LinkState {
        lock(&self.inner).state.clone()
    }

    pub(super) fn standing(&self) -> Standing {
        lock(&self.inner).state.standing
    }

    /// The start of the agent at this address, if it answers.
    pub(super) fn reached_boot(&self) -> Option<String> {
        let inner = lock(&self.inner);
        let state = &inner.state;
        state.boot.clone().filter(|_| state.standing == Standing::Reached)
    }

    /// Puts changes into the queue, or drops them: if there is no room, or if nobody answers.
    pub(super) fn offer(&self, changes: &Arc<Changes>, since: Instant) {
        let mut inner = lock(&self.inner);
        let Inner { queue, state, .. } = &mut *inner;
        let bytes = state.queued_bytes + changes.object.len();
        match state.standing {
            Standing::Own => return,
            Standing::New | Standing::Reached
                if queue.len() < self.most_messages && bytes <= self.most_bytes => {}
            _ => {
                state.dropped += 1;
                state.missed = true;
                return;
            }
        }
        queue.push_back(Waiting {
            changes: changes.clone(),
            since,
            refusals: 0,
            _counted: Counted::new(&self.waiting),
        });
        (state.queued, state.queued_bytes) = (queue.len(), bytes);
        drop(inner);
        self.wake.notify_one();
    }

    /// The next changes to tell. They count as waiting until they are told, dropped or put back.
    pub(super) fn take(&self) -> Option<Waiting> {
        let mut inner = lock(&self.inner);
        let Inner { queue, state, .. } = &mut *inner;
        if state.standing != Standing::Reached {
            return None;
        }
        let next = queue.pop_front()?;
        state.queued = queue.len();
        state.queued_bytes -= next.changes.object.len();
        Some(next)
    }

    /// The peer has no room now; the order stays.
    pub(super) fn put_back(&self, waiting: Waiting) {
        let mut inner = lock(&self.inner);
        let Inner { queue, state, .. } = &mut *inner;
        state.queued_bytes += waiting.changes.object.len();
        queue.push_front(waiting);
        state.queued = queue.len();
    }

    /// Changes that were taken have arrived.
    pub(super) fn told(&self) {
        let mut inner = lock(&self.inner);
        inner.state.told += 1;
        inner.state.contact = Some(Instant::now());
        inner.state.last_error = None;
    }

    /// Changes that were taken are dropped; the peer answers all the same.
    pub(super) fn dropped(&self, reason: String) {
        let mut inner = lock(&self.inner);
        inner.state.dropped += 1;
        inner.state.failed += 1;
        inner.state.missed = true;
        inner.state.contact = Some(Instant::now());
        inner.state.last_error = Some(reason);
    }

    /// The start of the agent at this address and how far the own clock is ahead of its, if it answers and has told its time.
    pub(super) fn skew(&self, now: Moment) -> Option<(String, Skew)> {
        let inner = lock(&self.inner);
        let boot = inner.state.boot.clone();
        let boot = boot.filter(|_| inner.state.standing == Standing::Reached)?;
        Some((boot, inner.clock.at(now)?))
    }

    /// The peer has answered a hello, and told its time unless it is too old for that. True if it had not answered before.
    pub(super) fn greeted(&self, instance: String, boot: String, time: Option<Sample>) -> bool {
        let mut inner = lock(&self.inner);
        let Inner { state, clock, .. } = &mut *inner;
        match time {
            Some(time) if state.boot.as_ref() == Some(&boot) => clock.observe(&time),
            Some(time) => {
                *clock = Estimator::default();
                clock.observe(&time);
            }
            None => *clock = Estimator::default(),
        }
        state.instance = Some(instance);
        state.boot = Some(boot);
        state.contact = Some(Instant::now());
        state.last_error = None;
        let before = std::mem::replace(&mut state.standing, Standing::Reached);
        before != Standing::Reached
    }

    /// The peer does not answer: what waits is dropped, and `taken` besides. True if it had answered before, or never.
    pub(super) fn lost(&self, reason: String, taken: usize) -> bool {
        let mut inner = lock(&self.inner);
        inner.state.failed += 1;
        inner.state.last_error = Some(reason);
        let before = std::mem::replace(&mut inner.state.standing, Standing::Away);
        clear(&mut inner, taken);
        before != Standing::Away
    }

    /// The peer is this agent: nothing of it counts. True if that is news.
    pub(super) fn is_own(&self, taken: usize) -> bool {
        let mut inner = lock(&self.inner);
        let before = std::mem::replace(&mut inner.state.standing, Standing::Own);
        let dropped = inner.state.dropped;
        clear(&mut inner, taken);
        inner.state.dropped = dropped;
        inner.state.last_error = None;
        before != Standing::Own
    }

    /// The address is no peer's any more.
    pub(super) fn end(&self) {
        self.gone.cancel();
        let mut inner = lock(&self.inner);
        inner.state.standing = Standing::Away;
        clear(&mut inner, 0);
    }

    /// A hello is due, whatever the time is: because it was asked for, or because something got lost that nothing tells of.
    pub(super) fn must_greet(&self) -> bool {
        let mut inner = lock(&self.inner);
        let Inner { queue, state, .. } = &mut *inner;
        let asked = std::mem::take(&mut state.greet);
        let missed =
            state.standing == Standing::Reached && queue.is_empty() && std::mem::take(&mut state.missed);
        asked || missed
    }

    /// Asks for a hello at once, of those for whom `wanted` is true.
    pub(super) fn greet_if(&self, wanted: impl FnOnce(&LinkState) -> bool) {
        let mut inner = lock(&self.inner);
        if wanted(&inner.state) {
            inner.state.greet = true;
            drop(inner);
            self.wake.notify_one();
        }
    }
}

fn clear(inner: &mut Inner, taken: usize) {
    let dropped = inner.queue.len() + taken;
    inner.queue.clear();
    (inner.state.queued, inner.state.queued_bytes) = (0, 0);
    inner.state.dropped += dropped as u64;
    inner.state.missed |= dropped > 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(bytes: usize) -> Arc<Changes> {
        Arc::new(Changes {
            database: "main".into(),
            name: "n".into(),
            object: vec![0; bytes].into(),
        })
    }

    fn link() -> (Link, watch::Receiver<usize>) {
        let waiting = watch::Sender::new(0);
        let watched = waiting.subscribe();
        let link = Link::new("http://x".into(), CancellationToken::new(), (3, 100), waiting);
        (link, watched)
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_newest_by_count_and_by_bytes_and_asks_for_a_hello_once_it_is_empty() {
        let (link, waiting) = link();
        link.greeted("b".into(), "1".into(), None);
        for bytes in [40, 40, 40, 10, 5] {
            link.offer(&changes(bytes), Instant::now());
        }
        let state = link.state();
        assert_eq!((state.queued, state.queued_bytes, state.dropped), (3, 90, 2));
        assert_eq!(*waiting.borrow(), 3);
        assert!(!link.must_greet());
        let sizes: Vec<_> = std::iter::from_fn(|| {
            let taken = link.take()?;
            link.told();
            Some(taken.changes.object.len())
        })
        .collect();
        assert_eq!(sizes, [40, 40, 10]);
        assert_eq!(*waiting.borrow(), 0);
        assert!(link.must_greet());
        assert!(!link.must_greet());
    }

    #[tokio::test]
    async fn nothing_waits_for_a_peer_that_is_away_and_all_that_is_dropped_counts() {
        let (link, waiting) = link();
        link.offer(&changes(1), Instant::now());
        assert!(link.take().is_none(), "it was not greeted yet");
        link.greeted("b".into(), "1".into(), None);
        link.offer(&changes(1), Instant::now());
        let taken = link.take().unwrap();
        assert!(link.lost("no route".into(), 1));
        drop(taken);
        assert!(!link.lost("no route".into(), 0));
        link.offer(&changes(1), Instant::now());
        let state = link.state();
        assert_eq!((state.dropped, state.queued, state.failed), (3, 0, 2));
        assert_eq!(*waiting.borrow(), 0);
        assert!(link.greeted("b".into(), "2".into(), None));
        assert!(link.must_greet(), "the peer must learn that it missed something");
    }

    #[tokio::test]
    async fn the_own_address_neither_waits_nor_counts() {
        let (link, waiting) = link();
        link.offer(&changes(1), Instant::now());
        assert!(link.is_own(0));
        link.offer(&changes(1), Instant::now());
        let state = link.state();
        assert_eq!((state.dropped, state.queued, *waiting.borrow()), (0, 0, 0));
    }

    #[tokio::test]
    async fn what_is_put_back_stays_first() {
        let (link, _) = link();
        link.greeted("b".into(), "1".into(), None);
        link.offer(&changes(1), Instant::now());
        link.offer(&changes(2), Instant::now());
        let taken = link.take().unwrap();
        link.put_back(taken);
        assert_eq!(link.take().unwrap().changes.object.len(), 1);
        assert_eq!(link.state().queued_bytes, 2);
    }

    #[tokio::test]
    async fn the_clock_of_a_peer_counts_while_it_answers_and_tells_it() {
        let moment = |seconds: i64| Moment {
            wall: 1_790_000_000_000_000_000 + seconds * 1_000_000_000,
            steady: seconds * 1_000_000_000,
        };
        let (link, _) = link();
        let time = |ahead: u64, at: i64| {
            let said = 1_790_000_000_000_000_000 + at.unsigned_abs() * 1_000_000_000 + ahead;
            Sample::exact(said, moment(at), moment(at))
        };
        let ahead = |at: i64| link.skew(moment(at)).map(|(boot, skew)| (boot, skew.ahead()));
        assert_eq!(ahead(0), None);
        link.greeted("b".into(), "1".into(), time(7, 0));
        assert_eq!(ahead(0), Some(("1".into(), -7)));
        link.greeted("b".into(), "2".into(), time(9, 2));
        assert_eq!(ahead(2), Some(("2".into(), -9)));
        link.lost("no route".into(), 0);
        assert_eq!(ahead(2), None);
        link.greeted("b".into(), "2".into(), None);
        assert_eq!(ahead(2), None, "it was replaced by an older one");
        assert!(Sample::exact(u64::MAX, moment(0), moment(0)).is_none());
    }
}
