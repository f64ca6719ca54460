//! The order in which the databases of one PowerDNS go: what was written to the main one before something was written to a shard is
//! told, and merged, before that.
//!
//! PowerDNS makes a zone, its metadata and its keys in the main database, and then its records in a shard. With the SOA record the zone is
//! there to those who ask: whoever has that before the keys answers without signatures.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Longest wait for the main database, which something may hold up: longer than a slow disk takes to commit, and short enough for what
/// waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far the main database is.
#[derive(Default)]
pub struct Order {
    main: String,
    /// By its transactions, what peers were told.
    told: watch::Sender<Reached>,
    /// By their number, the deltas that peers told and that are merged.
    taken: watch::Sender<Reached>,
}

/// Up to where something was reached, and up to where it was waited for in vain.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Reached {
    up_to: u64,
    in_vain: u64,
}

impl Reached {
    /// Nobody waits for this: it was reached, or what came before it was waited for in vain and is not reached yet.
    fn lets_pass(self, place: u64) -> bool {
        self.up_to >= place || self.up_to < self.in_vain
    }

    /// Returns whether that is news.
    fn reach(&mut self, place: u64) -> bool {
        let is_news = place > self.up_to;
        self.up_to = self.up_to.max(place);
        is_news
    }

    fn give_up(&mut self, place: u64) {
        self.in_vain = self.in_vain.max(place);
    }
}

impl Order {
    /// Of a PowerDNS whose main database has this name.
    pub fn new(main: &str) -> Self {
        Self {
            main: main.to_owned(),
            ..Self::default()
        }
    }

    /// The name of the main database; empty where nothing goes in order.
    pub(in crate::sync) fn main(&self) -> &str {
        &self.main
    }

    /// Peers were told all that the main database had up to this transaction, as far as they are to be told.
    pub(in crate::sync) fn has_told(&self, txn_id: u64) {
        self.told.send_if_modified(|told| told.reach(txn_id));
    }

    /// So many more of the deltas that peers told are merged into the main database, or will not be.
    pub(in crate::sync) fn has_taken(&self, deltas: usize) {
        self.taken
            .send_if_modified(|taken| taken.reach(taken.up_to.saturating_add(deltas as u64)));
    }

    /// Waits until peers were told what the main database had up to this transaction.
    pub(in crate::sync) async fn until_told(&self, txn_id: u64) {
        until(&self.told, txn_id).await;
    }

    /// Waits until so many deltas that peers told are merged into the main database.
    pub(in crate::sync) async fn until_taken(&self, deltas: u64) {
        until(&self.taken, deltas).await;
    }
}

async fn until(reached: &watch::Sender<Reached>, place: u64) {
    if reached.borrow().lets_pass(place) {
        return;
    }
    let mut news = reached.subscribe();
    let waiting = timeout(PATIENCE, news.wait_for(|reached| reached.lets_pass(place)));
    if waiting.await.is_err() {
        tracing::debug!(
            place,
            "the main database is held up: its shards do not wait for it until it has come so far"
        );
        reached.send_modify(|reached| reached.give_up(place));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn what_was_reached_lets_pass_and_everything_does_while_what_was_waited_for_in_vain_is_not() {
        let mut reached = Reached::default();
        assert!(reached.lets_pass(0) && !reached.lets_pass(1));
        assert!(reached.reach(3) && !reached.reach(2));
        assert!(reached.lets_pass(3) && !reached.lets_pass(4));
        reached.give_up(5);
        assert!(reached.lets_pass(5) && reached.lets_pass(6));
        assert!(reached.reach(4) && reached.lets_pass(6), "it is held up still");
        assert!(reached.reach(5) && reached.lets_pass(5) && !reached.lets_pass(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_waits_for_the_main_database_but_never_for_long_and_not_again_while_it_is_held_up() {
        let order = Order::new("main");
        let began = Instant::now();
        let merging = async {
            tokio::time::sleep(PATIENCE / 4).await;
            order.has_taken(1);
            tokio::time::sleep(PATIENCE / 4).await;
            order.has_taken(2);
        };
        tokio::join!(order.until_taken(3), merging);
        assert_eq!(began.elapsed(), PATIENCE / 2);
        for deltas in [5, 4, 5, 6] {
            order.until_taken(deltas).await;
        }
        assert_eq!(began.elapsed(), PATIENCE / 2 + PATIENCE);
        // It has caught up.
        order.has_taken(2);
        order.until_taken(6).await;
        assert_eq!(began.elapsed(), PATIENCE / 2 + 2 * PATIENCE);
        order.has_told(7);
        order.until_told(7).await;
        assert_eq!(began.elapsed(), PATIENCE / 2 + 2 * PATIENCE);
    }
}
