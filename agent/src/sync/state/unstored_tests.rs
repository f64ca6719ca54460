use super::*;
use crate::snapshot::{Had, Vector};
use crate::sync::known::heard::{Adopted, Heard, HeardState, MOST_HEARD, PATIENCE, TURN};

const SECOND: u64 = 1_000_000_000;

/// An instance `a` that stored a snapshot, and told of a state after it.
fn told(time: u64) -> State {
    let mut state = State::default();
    state.log.go_on_from((1, 5 * SECOND), false);
    let name = SnapshotName::new("main", "a", 10 * SECOND).unwrap();
    state.listing.entry("a".into()).or_default().insert(name.clone());
    state.known.merged(&name);
    state.known.reached("a", time * SECOND);
    hear(&mut state, (10, time), &[5]);
    state
}

fn hear(state: &mut State, (since, time): (u64, u64), writes: &[u64]) {
    let told = HeardState {
        since: since * SECOND,
        writes: Some(writes.iter().copied().collect()),
    };
    state.heard.hear("a", time * SECOND, told);
}

fn delta(since: u64, time: u64) -> DeltaName {
    DeltaName::new("main", "a", since * SECOND, time * SECOND).unwrap()
}

/// A look by the first in turn, of whom `a` is lost.
fn look(state: &mut State, now: u64) -> Vec<String> {
    let orphans = state.adopt(now, |_| Some(0), |_| false);
    assert_eq!(orphans.by_snapshot, [""; 0]);
    orphans.adopted
}

#[test]
fn what_a_lost_peer_told_of_is_stored_once_by_those_who_know_it_with_a_delta() {
    let mut state = told(11);
    hear(&mut state, (11, 12), &[7, 8]);
    assert!(look(&mut state, 20 * SECOND).is_empty());
    assert!(look(&mut state, 20 * SECOND + PATIENCE).is_empty());
    assert_eq!(state.heard.adopted(), Adopted::default());
    assert_eq!(look(&mut state, 21 * SECOND + PATIENCE), ["a"]);
    let adopted = state.heard.adopted();
    assert_eq!(adopted.writes, [5, 7, 8].into());
    assert_eq!(
        adopted.states,
        [("a".to_owned(), [11 * SECOND, 12 * SECOND].into())].into()
    );
    assert!(!state.snapshot_is_due("b", false, 0));
    // It may begin anew after the state that the store has.
    assert_eq!(state.known.have("a"), 10 * SECOND);
    // Until it is stored it stays so, and is told once.
    assert!(look(&mut state, 22 * SECOND + 2 * PATIENCE).is_empty());
    assert_eq!(state.heard.adopted(), adopted);
    state.heard.are_stored(&adopted.states);
    assert!(state.heard.states().is_empty() && !state.heard.has_adopted());
    assert!(look(&mut state, 23 * SECOND + 4 * PATIENCE).is_empty());
}

#[test]
fn one_that_lives_and_cannot_store_goes_on_as_it_is() {
    let mut state = told(11);
    for time in [20 * SECOND, 21 * SECOND + PATIENCE] {
        state.adopt(time, |_| Some(0), |_| true);
    }
    assert!(state.heard.has_adopted());
    assert_eq!(state.known.have("a"), 11 * SECOND);
}

#[test]
fn each_waits_for_those_before_it_and_who_stores_nothing_adopts_nothing() {
    let mut state = told(11);
    let start = 20 * SECOND;
    let mut adopts = |place, after| {
        let adopted = state.adopt(start + after, |_| place, |_| false);
        !adopted.adopted.is_empty()
    };
    assert!(!adopts(Some(2), 0));
    assert!(!adopts(None, 100 * PATIENCE));
    assert!(!adopts(Some(2), PATIENCE + 2 * TURN));
    assert!(adopts(Some(2), PATIENCE + 2 * TURN + 1));
}

#[test]
fn what_another_one_has_stored_is_left_to_it() {
    let mut state = told(11);
    assert!(look(&mut state, 20 * SECOND).is_empty());
    state
        .heard
        .are_stored(&[("a".to_owned(), [11 * SECOND].into())].into());
    assert!(look(&mut state, 21 * SECOND + PATIENCE).is_empty());
    assert!(!state.heard.has_adopted());
    // The snapshot of another has all of it.
    let mut state = told(11);
    let name = SnapshotName::new("main", "c", 30 * SECOND).unwrap();
    let vector = Vector::from([(
        "a".to_owned(),
        Had {
            time: 11 * SECOND,
            schema: 5,
            goes: true,
            version: 2,
        },
    )]);
    state.listing.entry("c".into()).or_default().insert(name.clone());
    state.vectors.learn(&name, vector);
    assert!(look(&mut state, 20 * SECOND).is_empty());
    assert_eq!(state.heard, Heard::default());
}

#[test]
fn what_the_peer_stored_itself_is_left_to_it() {
    let mut state = told(12);
    assert!(look(&mut state, 20 * SECOND).is_empty());
    // It stores a part, tells of more, and so on: it lives.
    state.deltas.insert(delta(10, 12), 1);
    hear(&mut state, (12, 13), &[9]);
    assert!(look(&mut state, 21 * SECOND + PATIENCE).is_empty());
    state.deltas.insert(delta(12, 13), 1);
    assert!(look(&mut state, 22 * SECOND + 2 * PATIENCE).is_empty());
    assert!(!state.heard.has_adopted());
}

#[test]
fn a_state_is_stored_if_a_sound_delta_leads_over_it_or_a_later_snapshot_of_the_same_past() {
    let mut state = State::default();
    for (since, time) in [(10, 11), (11, 14), (20, 20), (20, 22)] {
        state.deltas.insert(delta(since, time), 1);
    }
    let torn = delta(11, 14);
    let has = |state: &State, time: u64| state.stored_of("a").has(time * SECOND);
    let of = |state: &State| (10..24).filter(|time| has(state, *time)).collect::<Vec<_>>();
    assert_eq!(of(&state), [11, 12, 13, 14, 21, 22]);
    state.known.corrupt_deltas.insert(torn, 1);
    assert_eq!(of(&state), [11, 21, 22]);
    let name = SnapshotName::new("main", "a", 20 * SECOND).unwrap();
    state.listing.entry("a".into()).or_default().insert(name);
    // It began anew with it, and may have lost what was before.
    assert_eq!(of(&state), [11, 21, 22]);
    let name = SnapshotName::new("main", "a", 23 * SECOND).unwrap();
    state.listing.entry("a".into()).or_default().insert(name);
    assert_eq!(of(&state), [11, 21, 22, 23]);
}

#[test]
fn what_is_not_known_change_by_change_is_stored_with_a_snapshot() {
    let mut state = told(11);
    state.heard.hear("a", 12 * SECOND, HeardState::default());
    state.adopt(20 * SECOND, |_| Some(0), |_| false);
    let orphans = state.adopt(21 * SECOND + PATIENCE, |_| Some(0), |_| false);
    assert_eq!(
        (orphans.adopted.len(), &orphans.by_snapshot[..]),
        (0, &["a".to_owned()][..])
    );
    assert!(state.snapshot_is_due("b", false, 0));
    assert_eq!(state.heard.adopted(), Adopted::default());
}

#[test]
fn who_has_stored_nothing_yet_stores_a_snapshot() {
    let mut state = told(11);
    state.log.forget_own();
    state.adopt(20 * SECOND, |_| Some(0), |_| false);
    let orphans = state.adopt(21 * SECOND + PATIENCE, |_| Some(0), |_| false);
    assert_eq!(orphans.by_snapshot, ["a"]);
    assert!(state.snapshot_is_due("b", false, 0));
}

#[test]
fn of_more_states_than_are_kept_in_mind_the_oldest_go_and_it_stays_known_what_came_before() {
    let mut state = State::default();
    for time in 1..=MOST_HEARD as u64 + 5 {
        hear(&mut state, (time - 1, time), &[time]);
    }
    let told = &state.heard.states()["a"];
    assert_eq!(told.len(), MOST_HEARD);
    let first = told.first_key_value().unwrap().1;
    assert_eq!(first.since, 0);
    // And what they changed.
    assert_eq!(first.writes, Some((1..=6).collect()));
}

#[test]
fn a_state_that_is_told_again_keeps_what_is_known_of_it() {
    let mut state = told(11);
    hear(&mut state, (10, 11), &[]);
    hear(&mut state, (9, 11), &[6]);
    let known = &state.heard.states()["a"][&(11 * SECOND)];
    assert_eq!(known.writes, Some([5, 6].into()));
    assert_eq!(known.since, 9 * SECOND);
    state.heard.hear("a", 11 * SECOND, HeardState::default());
    hear(&mut state, (10, 11), &[7]);
    assert_eq!(
        state.heard.states()["a"][&(11 * SECOND)].writes,
        Some([5, 6, 7].into())
    );
    // Where it was not known at first, what wrote it may have been here before.
    state.heard.hear("a", 12 * SECOND, HeardState::default());
    hear(&mut state, (11, 12), &[8]);
    assert_eq!(state.heard.states()["a"][&(12 * SECOND)].writes, None);
}

#[test]
fn what_a_lost_instance_stores_is_read_from_before_what_another_one_has_adopted_of_it() {
    let adopted = [("a".to_owned(), [11 * SECOND].into())].into();
    let mut state = told(11);
    state.are_adopted("b", &adopted, |_| true);
    assert_eq!(state.known.have("a"), 11 * SECOND);
    let mut state = told(11);
    state.are_adopted("b", &adopted, |_| false);
    assert_eq!(state.known.have("a"), 10 * SECOND);
    // Who has begun anew himself gives no state a time that others know.
    let mut state = State::default();
    state.are_adopted("a", &adopted, |_| false);
    assert_eq!(state.log.next_time(SECOND), 11 * SECOND + 1);
}
