use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_snapshot_is_due_when_deltas_outgrow_the_last_one_and_after_every_change_for_lightning_stream() {
    let mut state = State::default();
    // Nothing is stored yet.
    assert!(state.snapshot_is_due("b", true, 0));
    assert!(!state.snapshot_is_due("b", false, 0));
    state.log.go_on_from((1, 5), false);
    assert!(!state.snapshot_is_due("b", true, 0));
    state.log.found_since_snapshot(1 << 20, &[(1 << 19) + 1]);
    assert!(state.snapshot_is_due("b", true, 0));
    state.log.found_since_snapshot(1 << 20, &[100]);
    assert!(!state.snapshot_is_due("b", true, 0));
    let name = SnapshotName::new("main", "theirs", 10 * SECOND).unwrap();
    state.listing.entry("theirs".into()).or_default().insert(name);
    state.lightning_stream.insert("theirs".into());
    assert!(state.snapshot_is_due("b", false, 20 * SECOND));
    assert!(!state.snapshot_is_due("b", true, 20 * SECOND + SILENT));
    state.log.found_since_snapshot(1 << 20, &[]);
    assert!(!state.snapshot_is_due("b", false, 20 * SECOND));
}
