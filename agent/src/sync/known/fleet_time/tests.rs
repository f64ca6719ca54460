use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// What the own clock says.
const OWN: u64 = 1_790_000_000_000_000_000;

/// The own clock is so far ahead of another, known to a hundredth of a second.
fn ahead(of: i64) -> Skew {
    Skew::between(of - SECOND / 100, of + SECOND / 100)
}

fn off(store: Option<i64>, peers: &[i64]) -> Option<i64> {
    let peers: Vec<_> = peers.iter().map(|peer| ahead(*peer)).collect();
    FleetTime::of(store.map(ahead).as_ref(), &peers).off()
}

#[test]
fn the_store_says_whether_the_own_clock_is_wrong_whatever_one_peer_says() {
    assert_eq!(off(Some(HOUR), &[]), Some(HOUR));
    assert_eq!(off(Some(-HOUR), &[-HOUR]), Some(-HOUR));
    assert_eq!(off(Some(HOUR), &[0]), None, "two against one");
    assert_eq!(off(Some(HOUR), &[2 * HOUR]), Some(HOUR));
    assert_eq!(off(Some(0), &[HOUR]), None, "the peer is wrong");
    assert_eq!(off(Some(SECOND / 2), &[]), None);
}

#[test]
fn without_a_store_the_median_of_three_counts_and_one_wrong_clock_moves_nothing() {
    for wrong in [HOUR, -HOUR, SECOND * 2, i64::MAX / 4] {
        assert!(!FleetTime::of(None, &[ahead(0), ahead(wrong)]).is_undecided());
        assert_eq!(off(None, &[0, wrong]), None);
        assert_eq!(off(None, &[SECOND / 10, wrong, -SECOND / 10, 0]), None);
        assert_eq!(off(None, &[wrong, wrong]), Some(wrong), "it is the own one");
    }
}

#[test]
fn of_two_servers_or_two_halves_nobody_knows_whose_clock_is_wrong_and_that_is_said() {
    for peers in [&[HOUR][..], &[0, HOUR, HOUR]] {
        let peers: Vec<_> = peers.iter().map(|peer| ahead(*peer)).collect();
        let fleet = FleetTime::of(None, &peers);
        assert_eq!(fleet.off(), None);
        assert!(fleet.is_undecided());
        assert!(fleet.to_string().contains("not known which is right"), "{fleet}");
        // The other may be right: what it writes is not too far ahead of what the time may be.
        let behind: Vec<_> = peers
            .iter()
            .map(|peer| Skew::between(-peer.high(), -peer.low()))
            .collect();
        let fleet = FleetTime::of(None, &behind);
        assert!(fleet.latest(OWN).unwrap() >= OWN + HOUR.unsigned_abs());
    }
    assert_eq!(off(None, &[]), None);
    assert_eq!(FleetTime::of(None, &[]).latest(OWN), None);
}

#[test]
fn a_store_that_two_servers_contradict_that_agree_moves_no_clock() {
    let agreeing = [ahead(0), ahead(SECOND / 10)];
    let fleet = FleetTime::of(Some(&ahead(HOUR)), &agreeing);
    assert_eq!((fleet.off(), fleet.source), (None, Source::Disputed));
    // Servers that do not agree either contradict nobody.
    let fleet = FleetTime::of(Some(&ahead(HOUR)), &[ahead(2 * HOUR), ahead(-HOUR)]);
    assert_eq!((fleet.off(), fleet.source), (Some(HOUR), Source::Store));
}

#[test]
fn an_old_answer_of_the_store_is_made_better_by_peers_that_fit() {
    let old = Skew::between(-60 * SECOND, 60 * SECOND);
    let fleet = FleetTime::of(Some(&old), &[ahead(0), ahead(0)]);
    assert!(fleet.latest(OWN).unwrap() <= OWN + 2 * SECOND.unsigned_abs());
}

#[test]
fn only_what_a_wrong_clock_can_have_written_gets_another_time() {
    let (hour, minute) = (HOUR.unsigned_abs(), 60 * SECOND.unsigned_abs());
    let fleet = FleetTime::of(Some(&ahead(HOUR)), &[]);
    assert_eq!(fleet.now(OWN), OWN - hour);
    assert_eq!(fleet.stamp(OWN, OWN), OWN - hour);
    assert_eq!(fleet.stamp(OWN - minute, OWN), OWN - minute - hour);
    let before = OWN - 2 * hour;
    assert_eq!(fleet.stamp(before, OWN), before, "before the clock went wrong");
    assert_eq!(
        fleet.stamp(OWN + hour, OWN),
        OWN - hour,
        "it was further ahead then"
    );
    let fleet = FleetTime::of(Some(&ahead(-HOUR)), &[]);
    assert_eq!(fleet.now(OWN), OWN + hour);
    assert_eq!(fleet.stamp(OWN, OWN), OWN + hour);
    let right = OWN + hour - minute;
    assert_eq!(fleet.stamp(right, OWN), right, "before the clock was set back");
    assert_eq!(fleet.stamp(OWN + 2 * hour, OWN), OWN + hour, "nobody's time");
    let fleet = FleetTime::of(Some(&ahead(SECOND / 2)), &[]);
    assert_eq!(fleet.stamp(OWN, OWN), OWN);
    assert_eq!(fleet.stamp(OWN - minute, OWN), OWN - minute);
    assert_eq!(
        fleet.stamp(OWN + hour, OWN),
        OWN,
        "before the clock was set right"
    );
    assert_eq!(FleetTime::UNKNOWN.stamp(OWN + hour, OWN), OWN + hour);
}

proptest! {
    #[test]
    fn what_most_clocks_say_within_a_tenth_of_a_second_holds_whatever_the_others_say(
        own in -2 * HOUR..2 * HOUR,
        right in prop::collection::vec(-SECOND / 20..SECOND / 20, 2..6),
        wrong in prop::collection::vec(any::<i64>().prop_map(|wrong| wrong / 16), 0..6),
    ) {
        // The own clock is so far off; more peers are right than there are wrong clocks, the own one among them.
        prop_assume!(wrong.len() + 1 < right.len());
        let peers: Vec<_> = right.iter().chain(&wrong).map(|clock| ahead(own - clock)).collect();
        let fleet = FleetTime::of(None, &peers);
        prop_assert!(fleet.low <= own + SECOND / 10 && fleet.high >= own - SECOND / 10);
        match fleet.off() {
            Some(off) => prop_assert!((off - own).abs() <= SECOND / 10 && own.abs() > FAR - SECOND / 10),
            None => prop_assert!(own.abs() <= FAR + SECOND / 5),
        }
    }

    #[test]
    fn the_truth_is_never_outside_of_what_a_right_store_and_the_servers_leave_possible(
        own in -2 * HOUR..2 * HOUR,
        wide in 0..2 * SECOND,
        peer in prop::option::of(-2 * HOUR..2 * HOUR),
    ) {
        // Two that agree with each other are believed as much as the store.
        prop_assume!(own.abs() < FAR || peer.is_none_or(|peer| peer.abs() > 3 * SECOND));
        let store = Skew::between(own - wide, own + wide);
        let peers: Vec<_> = peer.map(ahead).into_iter().collect();
        let fleet = FleetTime::of(Some(&store), &peers);
        let now = fleet.now(OWN).cast_signed() - (OWN.cast_signed() - own);
        prop_assert!(now.abs() <= wide + FAR + SECOND / 10, "{now}");
        prop_assert!(fleet.latest(OWN).unwrap().cast_signed() >= OWN.cast_signed() - own - FAR);
    }

    #[test]
    fn later_writes_keep_their_order_and_none_is_later_than_the_fleets_time(
        off in -2 * HOUR..2 * HOUR, a in 0..3 * HOUR, b in 0..3 * HOUR,
    ) {
        let fleet = FleetTime::of(Some(&ahead(off)), &[]);
        let written = |back: i64| OWN - back.unsigned_abs();
        // What one clock wrote in its time.
        let own_time = |raw: u64| off <= 0 || raw > fleet.latest(OWN).unwrap();
        let (a, b) = (written(a.min(b)), written(a.max(b)));
        prop_assume!(own_time(a) && own_time(b));
        prop_assert!(fleet.stamp(a, OWN) >= fleet.stamp(b, OWN));
        prop_assert!(fleet.stamp(a, OWN) <= fleet.now(OWN).max(OWN));
    }
}

#[test]
fn a_single_clock_that_says_the_own_one_is_ahead_does_not_make_a_writer_wrong_that_agrees_with_the_own() {
    let (hour, second) = (HOUR.unsigned_abs(), SECOND.unsigned_abs());
    let believable = |store: Option<i64>, peers: &[i64]| {
        let peers: Vec<_> = peers.iter().map(|peer| ahead(*peer)).collect();
        let fleet = FleetTime::of(store.map(ahead).as_ref(), &peers);
        fleet.believable(OWN).unwrap()
    };
    assert_eq!(believable(Some(HOUR), &[]), OWN);
    assert!(
        believable(Some(HOUR), &[0]).abs_diff(OWN) < second,
        "two against one"
    );
    assert!(believable(Some(HOUR), &[HOUR]) <= OWN - hour + second);
    assert!(believable(None, &[HOUR, HOUR]) <= OWN - hour + second);
    assert!(believable(Some(-HOUR), &[]) >= OWN + hour);
}

#[test]
fn where_it_is_not_known_by_how_much_the_own_clock_is_wrong_it_is_corrected_by_the_least() {
    assert_eq!(
        off(None, &[2 * SECOND, 1000 * SECOND, 1000 * SECOND]),
        Some(2 * SECOND - SECOND / 100)
    );
    let old = Skew::between(-5 * HOUR, -HOUR);
    assert_eq!(FleetTime::of(Some(&old), &[]).off(), Some(-HOUR));
}

#[test]
fn entries_are_noted_from_the_past_only_where_the_own_clock_may_be_ahead() {
    let earliest = |store: i64, peers: &[i64]| {
        let peers: Vec<_> = peers.iter().map(|peer| ahead(*peer)).collect();
        FleetTime::of(Some(&ahead(store)), &peers).earliest(OWN)
    };
    assert_eq!(earliest(0, &[]), OWN);
    assert_eq!(earliest(-HOUR, &[]), OWN);
    assert_eq!(earliest(HOUR, &[0, 0]), OWN, "it is not known which is right");
    assert!(earliest(HOUR, &[HOUR]) < OWN - HOUR.unsigned_abs());
    let old = Skew::between(-600 * SECOND, 600 * SECOND);
    let fleet = FleetTime::of(Some(&old), &[ahead(0), ahead(0)]);
    assert_eq!(
        fleet.earliest(OWN),
        OWN,
        "the store is away and the peers are not"
    );
}

#[test]
fn what_was_written_just_before_a_clock_went_wrong_keeps_its_time() {
    let (hour, hundredth) = (HOUR.unsigned_abs(), SECOND.unsigned_abs() / 100);
    let fleet = FleetTime::of(Some(&ahead(HOUR)), &[]);
    let now = fleet.now(OWN);
    for after in [1, 23, hundredth] {
        assert_eq!(fleet.stamp(now + after, OWN), now, "{after}");
    }
    let later = now + hundredth + 1;
    assert_eq!(fleet.stamp(later, OWN), later - hour);
    // An answer that is not believed changes nothing about it.
    let doubted = FleetTime { least: 0, ..fleet };
    assert_eq!(doubted.stamp(later, OWN), later - hour);
}

proptest! {
    #[test]
    fn whatever_is_known_better_later_no_write_gets_less_than_the_least(
        (low, width) in (-3 * SECOND..3 * SECOND, 0..4 * SECOND),
        (from, to) in (0..=100_i64, 0..=100_i64),
        (raw, passed) in (-8 * SECOND..8 * SECOND, 0..8 * SECOND),
    ) {
        let fleet = |low: i64, high: i64| FleetTime::of(Some(&Skew::between(low, high)), &[]);
        let within = |share: i64| low + width / 100 * share;
        let (now, later) = (fleet(low, low + width), fleet(within(from.min(to)), within(from.max(to))));
        let raw = OWN.strict_add_signed(raw);
        let least = now.least(raw, OWN);
        prop_assert!(least <= now.stamp(raw, OWN).min(raw));
        // Where the own clock was right as far as one can tell it does not turn out to be a second ahead.
        let stamped = later.stamp(raw, OWN.strict_add_signed(passed));
        prop_assert!(stamped >= least, "{least} {stamped}");
    }
}

#[test]
fn what_the_own_clock_has_not_come_to_can_come_to_have_an_earlier_time() {
    // Behind by a second at least and not more: that is not certain yet.
    let now = FleetTime::of(Some(&Skew::between(-21 * SECOND / 10, -SECOND)), &[]);
    let later = FleetTime::of(Some(&Skew::between(-20 * SECOND / 10, -14 * SECOND / 10)), &[]);
    let raw = OWN.strict_add_signed(2 * SECOND);
    assert_eq!(now.off(), None);
    assert!(later.stamp(raw, OWN) < raw);
    assert!(now.least(raw, OWN) <= later.stamp(raw, OWN));
    let soon = OWN.strict_add_signed(SECOND / 2);
    assert_eq!(now.least(soon, OWN), soon);
}

#[test]
fn a_clock_that_is_right_gives_no_write_less_than_its_time() {
    let fleet = FleetTime::of(Some(&ahead(SECOND / 10)), &[]);
    assert_eq!(fleet.least(OWN, OWN), OWN);
    assert_eq!(FleetTime::UNKNOWN.least(OWN, OWN), OWN);
    for off in [SECOND, HOUR, -HOUR] {
        let fleet = FleetTime::of(Some(&ahead(off)), &[]);
        assert!(fleet.least(OWN, OWN) < OWN, "{off}");
    }
}
