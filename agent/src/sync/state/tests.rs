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
