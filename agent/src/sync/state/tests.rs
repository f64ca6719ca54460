use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn names_are_later_than_all_own_ones_and_than_those_seen_unless_a_clock_is_far_off() {
    let mut state = State::default();
    assert_eq!(state.next_time(100 * SECOND), 100 * SECOND);
    // The clock was set back.
    assert_eq!(state.next_time(50 * SECOND), 100 * SECOND + 1);
    state.newest_seen = 130 * SECOND;
    assert_eq!(state.next_time(100 * SECOND), 130 * SECOND + 1);
    state.saw([155 * SECOND, 1_000_000 * SECOND], 100 * SECOND);
    assert_eq!(state.next_time(100 * SECOND), 155 * SECOND + 1);
    state.newest_seen = 1_000_000 * SECOND;
    assert_eq!(state.next_time(100 * SECOND), 160 * SECOND);
}

#[test]
fn foreign_transactions_are_no_changes() {
    let mut state = State::default();
    state.advance(5);
    state.absorb(&[6, 7, 9]);
    assert_eq!(state.synced_txn, 7);
    assert!(!state.has_changes_after(7, 7));
    assert!(state.has_changes_after(7, 9));
    assert!(!state.has_changes_after(8, 9));
    state.advance(8);
    assert_eq!(state.synced_txn, 9);
}

fn told(have: u64) -> State {
    let mut state = State::default();
    let name = SnapshotName::new("main", "a", 10 * SECOND).unwrap();
    state.listing.entry("a".into()).or_default().insert(name.clone());
    state.known.merged(&name);
    state.known.reached("a", have * SECOND);
    state.hear("a", have * SECOND);
    state
}

fn delta(since: u64, time: u64) -> DeltaName {
    DeltaName::new("main", "a", since * SECOND, time * SECOND).unwrap()
}

#[test]
fn what_a_lost_peer_told_of_is_stored_by_those_who_know_it_once() {
    let mut state = told(11);
    let minute = PATIENCE;
    assert!(state.adopt(20 * SECOND).is_empty());
    assert!(state.adopt(20 * SECOND + minute).is_empty());
    assert_eq!(state.adopt(21 * SECOND + minute), ["a"]);
    assert!(state.snapshot_is_due("b", false, 0));
    assert!(state.adopt(22 * SECOND + 2 * minute).is_empty());
}

#[test]
fn what_the_peer_stored_itself_is_left_to_it() {
    let mut state = told(12);
    let minute = PATIENCE;
    assert!(state.adopt(20 * SECOND).is_empty());
    // It stores a part, tells of more, and so on: it lives.
    state.deltas.insert(delta(10, 12), 1);
    state.hear("a", 13 * SECOND);
    assert!(state.adopt(21 * SECOND + minute).is_empty());
    state.deltas.insert(delta(12, 13), 1);
    assert!(state.adopt(22 * SECOND + 2 * minute).is_empty());
    assert!(!state.snapshot_wanted);
}

#[test]
fn a_snapshot_is_due_when_deltas_outgrow_the_last_one_and_after_every_change_for_lightning_stream() {
    let mut state = State::default();
    // Nothing is stored yet.
    assert!(state.snapshot_is_due("b", true, 0));
    assert!(!state.snapshot_is_due("b", false, 0));
    state.stored.time = 5;
    assert!(!state.snapshot_is_due("b", true, 0));
    state.since_snapshot = SinceSnapshot {
        size: 1 << 20,
        deltas: 10,
        delta_bytes: (1 << 19) + 1,
    };
    assert!(state.snapshot_is_due("b", true, 0));
    state.since_snapshot.delta_bytes = 100;
    assert!(!state.snapshot_is_due("b", true, 0));
    let name = SnapshotName::new("main", "theirs", 10 * SECOND).unwrap();
    state.listing.entry("theirs".into()).or_default().insert(name);
    state.lightning_stream.insert("theirs".into());
    assert!(state.snapshot_is_due("b", false, 20 * SECOND));
    assert!(!state.snapshot_is_due("b", true, 20 * SECOND + SILENT));
    state.since_snapshot.deltas = 0;
    assert!(!state.snapshot_is_due("b", false, 20 * SECOND));
}
