use super::*;
use crate::lmdb::{Environment, LmdbError, OpenOptions};
use crate::snapshot::Entry;

const SECOND: u64 = 1_000_000_000;

impl Log {
    /// The time that the next state gets.
    pub(in crate::sync) fn next_time(&mut self, now: u64) -> u64 {
        self.times.next(now)
    }
}

/// A database, for its states.
struct Database {
    env: Arc<Environment>,
    _dir: tempfile::TempDir,
}

impl Database {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(1 << 20);
        let env = Environment::open(&dir.path().join("db"), &options).unwrap();
        Self {
            env: Arc::new(env),
            _dir: dir,
        }
    }

    /// The state after one more transaction.
    fn next(&self) -> Arc<KeptReader> {
        let wrote = self.env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi("records")?;
            writer.put(&dbi, b"key", 1, false, b"value")
        });
        wrote.unwrap();
        Arc::new(self.env.keep_reader().unwrap())
    }
}

const STORE: Whom = Whom::Store {
    always: false,
    anew: false,
};
const SNAPSHOT: Whom = Whom::Store {
    always: true,
    anew: false,
};
const ANEW: Whom = Whom::Store {
    always: true,
    anew: true,
};

/// A cut of what was written up to a state.
fn cut(log: &mut Log, whom: Whom, to: &Arc<KeptReader>, now: u64) -> u64 {
    let (from, known) = log.span(whom);
    let to = known
        .as_ref()
        .and_then(|known| known.reader.clone())
        .unwrap_or(to.clone());
    log.cut(
        whom,
        (&from, known.as_ref()),
        (&to, to.txn_id() > from.txn, Some(&[])),
        now,
    )
}

/// One whose chain in the store begins with a snapshot of a state, which peers know.
fn stored(state: &Arc<KeptReader>, time: u64) -> Log {
    let mut log = Log::default();
    log.snapshot_is_stored(time, (state.txn_id(), 100), 0);
    assert!(log.is_stored(time, state.clone()));
    log.tell_on_from_the_store(time);
    log.own_is_known(time);
    log
}

#[test]
fn foreign_transactions_are_no_changes() {
    let mut log = Log::default();
    log.advance(5);
    log.absorb(&[6, 7, 9]);
    assert_eq!(log.synced_txn(), 7);
    assert!(!log.has_changes_after(7, 7));
    assert!(log.has_changes_after(7, 9));
    assert!(!log.has_changes_after(8, 9));
    log.advance(8);
    assert_eq!(log.synced_txn(), 9);
}

#[test]
fn transactions_are_kept_in_mind_for_as_long_as_a_state_before_them_is_compared_with() {
    let database = Database::new();
    let (first, second) = (database.next(), database.next());
    let mut log = stored(&first, 5);
    let (from, to) = (first.txn_id(), second.txn_id());
    log.settle([to]);
    log.absorb(&[to]);
    assert_eq!(log.synced_txn(), to);
    assert_eq!(log.foreign_after(from), [to].into());
    assert_eq!(log.foreign_after(u64::MAX), [].into());
    assert_eq!(log.settled(), &[to].into());
    log.keep_in_their_place(&second);
    assert_eq!((log.stored().txn, log.told().txn), (to, to));
    assert_eq!((log.stored().time, log.told().time), (5, 5));
    assert!(log.foreign().is_empty() && log.settled().is_empty());
    // What another one wrote meanwhile is in a later state, which is not in their place.
    log.keep_in_their_place(&database.next());
    assert_eq!(log.stored().txn, to);
}

#[test]
fn the_store_gets_the_states_that_peers_were_told_of() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    let second = database.next();
    let told = cut(&mut log, Whom::Peers, &second, 20 * SECOND);
    assert_eq!((told, log.told().time), (20 * SECOND, 20 * SECOND));
    // More is written meanwhile: it is told first.
    let third = database.next();
    let (from, known) = log.span(STORE);
    assert_eq!((from.time, known.unwrap().txn), (10 * SECOND, second.txn_id()));
    assert_eq!(cut(&mut log, STORE, &third, 30 * SECOND), told);
    assert!(log.is_stored(told, second));
    assert_eq!(log.stored().time, told);
    // Nothing to be stored is left of what peers know, and no time is given for that but for a snapshot.
    assert_eq!(cut(&mut log, STORE, &third, 40 * SECOND), told);
    assert_eq!(cut(&mut log, SNAPSHOT, &third, 50 * SECOND), 50 * SECOND);
    assert_eq!(log.told().time, 50 * SECOND);
}

#[test]
fn what_peers_were_told_is_known_for_the_delta_until_the_store_has_it_or_begins_anew() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    let entry = Entry {
        key: b"key",
        value: b"value",
        timestamp: 1,
        deleted: false,
    };
    let written = vec![Written::new("records", &entry)];
    let tell = |log: &mut Log, to: &Arc<KeptReader>| {
        let (from, _) = log.span(Whom::Peers);
        log.cut(
            Whom::Peers,
            (&from, None),
            (to, true, Some(&written)),
            20 * SECOND,
        )
    };
    assert_eq!(log.told_in_span(), None);
    let second = database.next();
    let told = tell(&mut log, &second);
    assert_eq!(log.told_in_span(), Some(written.clone()));
    assert!(log.is_stored(told, second));
    assert_eq!(log.told_in_span(), None);
    tell(&mut log, &database.next());
    assert_eq!(log.told_in_span(), Some(written.clone()));
    let mut lost = log;
    lost.let_go_of_all_states();
    assert_eq!(lost.told_in_span(), None);
    // What is told while the store has no chain is in the snapshot with which one begins.
    let mut log = stored(&first, 10 * SECOND);
    log.want_snapshot();
    log.begin_anew();
    log.begin_to_tell(30 * SECOND, Synced::default(), true);
    tell(&mut log, &database.next());
    assert_eq!(log.told_in_span(), None);
}

#[test]
fn what_is_told_in_vain_gives_the_state_no_new_time() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    // A merge alone.
    let (from, _) = log.span(Whom::Peers);
    let second = database.next();
    log.cut(
        Whom::Peers,
        (&from, None),
        (&second, false, Some(&[])),
        20 * SECOND,
    );
    assert_eq!((log.told().time, log.told().txn), (10 * SECOND, second.txn_id()));
}

#[test]
fn a_state_that_all_are_to_read_is_another_one_for_peers_and_is_taken_back_if_it_is_not_stored() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    let told = log.told().time;
    let time = cut(&mut log, ANEW, &first, 20 * SECOND);
    assert_eq!((time, log.told().time), (20 * SECOND, 20 * SECOND));
    log.take_back(time, told);
    assert_eq!(log.told().time, 10 * SECOND);
    // Not if they were told more meanwhile.
    let time = cut(&mut log, ANEW, &first, 30 * SECOND);
    let later = cut(&mut log, Whom::Peers, &database.next(), 40 * SECOND);
    log.take_back(time, told);
    assert_eq!(log.told().time, later);
}

#[test]
fn what_others_told_is_stored_after_all_that_peers_were_told_of_here() {
    let database = Database::new();
    let first = database.next();
    assert!(
        Log::default().cut_for_others(SECOND).is_none(),
        "there is no chain"
    );
    let mut log = stored(&first, 10 * SECOND);
    let second = database.next();
    let told = cut(&mut log, Whom::Peers, &second, 20 * SECOND);
    assert!(log.cut_for_others(30 * SECOND).is_none());
    assert!(log.is_stored(told, second));
    let (from, time, before) = log.cut_for_others(30 * SECOND).unwrap();
    assert_eq!((from.time, time, before), (told, 30 * SECOND, told));
    assert_eq!(
        log.told().time,
        time,
        "what is told next joins for those who have read it"
    );
    assert!(log.is_stored_for_others(from.time, time));
    assert_eq!(log.stored().time, time);
    assert!(!log.is_stored_for_others(from.time, time));
}

#[test]
fn an_older_state_is_not_stored_over_a_later_one() {
    let database = Database::new();
    let (first, second) = (database.next(), database.next());
    let mut log = stored(&second, 20 * SECOND);
    assert!(!log.is_stored(30 * SECOND, first));
    assert_eq!(log.stored().time, 20 * SECOND);
}

#[test]
fn the_chain_begins_anew_once_for_each_reason_and_peers_are_told_on_from_what_they_know() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    log.begin_anew();
    assert!(log.has_stored(), "there was no reason");
    log.want_snapshot();
    log.want_snapshot();
    assert_eq!(log.reasons(), 1);
    log.begin_anew();
    assert!(!log.has_stored() && !log.is_telling());
    assert_eq!(log.synced_txn(), 0);
    // It cannot be stored, and peers are told: on from the state that they know, by a time that they do not know.
    let newest = Synced::default();
    log.begin_to_tell(20 * SECOND, newest, true);
    assert_eq!((log.told().time, log.told().txn), (20 * SECOND, first.txn_id()));
    log.begin_anew();
    assert!(log.is_telling(), "it has begun for that reason");
    log.want_another_snapshot();
    log.begin_anew();
    assert!(!log.is_telling());
    // The snapshot is stored, and another reason came up meanwhile.
    let reasons = log.reasons();
    log.want_another_snapshot();
    log.snapshot_is_stored(30 * SECOND, (first.txn_id(), 100), reasons);
    assert!(log.wants_snapshot());
    log.snapshot_is_stored(40 * SECOND, (first.txn_id(), 100), log.reasons());
    assert!(!log.needs_snapshot());
}

#[test]
fn a_snapshot_is_due_when_deltas_outgrow_the_last_one_or_one_is_owed() {
    let mut log = Log::default();
    // Nothing is stored yet.
    assert!(log.snapshot_is_due(true) && !log.snapshot_is_due(false));
    log.go_on_from((1, 5), false);
    assert!(!log.snapshot_is_due(true));
    log.found_since_snapshot(1 << 20, &[1 << 18, (1 << 18) + 1]);
    assert!(log.has_deltas() && log.snapshot_is_due(true) && !log.snapshot_is_due(false));
    log.owe_snapshot();
    assert!(log.snapshot_is_due(false));
    log.snapshot_is_stored(6, (1, 100), log.reasons());
    assert!(!log.has_deltas() && !log.snapshot_is_due(true));
    log.mistrust_the_store();
    assert!(log.snapshot_is_due(false));
    assert_eq!(log.snapshot_txn(), 0);
}

#[test]
fn states_are_let_go_of_when_they_are_old_and_the_newest_is_as_good_where_others_wrote_all_of_it() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    log.set_limits(Limits {
        kept: 2,
        ..Limits::default()
    });
    let merged = database.next();
    log.foreign.insert(merged.txn_id());
    log.keep(merged.clone());
    let kept = |log: &Log| log.newest_kept().map(|kept| kept.txn_id());
    assert_eq!(kept(&log), Some(merged.txn_id()));
    assert_eq!(log.oldest_kept(), first.txn_id());
    assert_eq!(log.let_go_of_old_states(merged.txn_id()), None);
    assert_eq!(log.let_go_of_old_states(first.txn_id() + 3), Some(3));
    assert!(log.stored().reader.is_none());
    assert_eq!(log.told().txn, merged.txn_id());
    log.let_go_of_all_states();
    assert_eq!((kept(&log), log.oldest_kept()), (None, u64::MAX));
}

#[tokio::test]
async fn where_no_state_can_be_kept_it_is_not_tried_again_at_once() {
    let database = Database::new();
    let first = database.next();
    let mut log = stored(&first, 10 * SECOND);
    let (now, last) = (Instant::now(), first.txn_id() + 5000);
    assert!(log.is_to_keep_newer(last, now) && log.lacks_newest(last));
    let until = now + std::time::Duration::from_secs(60);
    log.cannot_keep(last, until);
    assert!(!log.is_to_keep_newer(last, now) && !log.lacks_newest(last));
    assert!(log.is_to_keep_newer(last, until));
}
