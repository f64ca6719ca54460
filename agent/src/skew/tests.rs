use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// When the tests begin, by the store's clock.
const START: i64 = 1_790_000_000 * SECOND;

/// A store and an agent whose clock is ahead by so much; both run true to the steady clock unless the test says otherwise.
struct Clocks {
    estimator: Estimator,
    ahead: i64,
    /// How far the store's clock has run away.
    store: i64,
    /// By the steady clock.
    now: i64,
}

impl Clocks {
    fn new(ahead: i64) -> Self {
        Self {
            estimator: Estimator::default(),
            ahead,
            store: 0,
            now: 0,
        }
    }

    /// A request after `pause` that takes `there` to the store and `back` from it; the own clock is set meanwhile.
    fn ask(&mut self, pause: i64, there: i64, back: i64, step: i64) -> Skew {
        self.now += pause;
        let asked = self.moment();
        let time = (START + self.now + there + self.store).div_euclid(SECOND) * SECOND;
        self.now += there + back;
        self.ahead += step;
        self.estimator.observe(&Sample {
            time,
            grain: SECOND,
            asked,
            answered: self.moment(),
        });
        self.skew()
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: START + self.now + self.ahead,
            steady: self.now,
        }
    }

    fn skew(&self) -> Skew {
        self.estimator.at(self.moment()).unwrap()
    }
}

proptest! {
    #[test]
    fn the_truth_is_always_within_the_interval_and_one_answer_tells_it_to_a_second_and_its_own_time(
        ahead in -2_000 * SECOND..2_000 * SECOND,
        asks in prop::collection::vec((0..30 * SECOND, 0..2 * SECOND, 0..2 * SECOND), 1..60),
    ) {
        let mut clocks = Clocks::new(ahead);
        for (pause, there, back) in asks {
            let skew = clocks.ask(pause, there, back, 0);
            prop_assert!((skew.low..=skew.high).contains(&ahead), "{skew:?}");
            prop_assert!(skew.high - skew.low <= SECOND + there + back, "{skew:?}");
            prop_assert!((skew.ahead() - ahead).abs() <= skew.uncertainty());
            prop_assert!(skew.at_least() <= ahead.abs());
        }
    }

    #[test]
    fn a_clock_that_is_set_at_any_moment_is_followed(
        ahead in -3 * SECOND..3 * SECOND,
        asks in prop::collection::vec((0..3 * SECOND, 0..50 * MS, 0..50 * MS, -2 * SECOND..2 * SECOND, 0..4), 1..60),
    ) {
        let mut clocks = Clocks::new(ahead);
        for (pause, there, back, step, when) in asks {
            // A step between two requests, one while the request is under way, or none.
            let within = match when {
                0 => { clocks.ahead += step; 0 }
                1 => step,
                _ => 0,
            };
            let skew = clocks.ask(pause, there, back, within);
            prop_assert!((skew.low..=skew.high).contains(&clocks.ahead), "{skew:?} and not {}", clocks.ahead);
        }
    }

    #[test]
    fn a_slow_drift_is_followed(ppm in -450_i64..450, asks in prop::collection::vec(0..20 * SECOND, 1..100)) {
        let mut clocks = Clocks::new(0);
        for pause in asks {
            clocks.store += pause / 1_000_000 * ppm;
            let skew = clocks.ask(pause, 5 * MS, 5 * MS, 0);
            prop_assert!(
                (skew.low..=skew.high).contains(&-clocks.store),
                "{skew:?} and not {}", -clocks.store
            );
        }
    }
}

#[test]
fn polling_for_a_while_tells_the_difference_to_a_tenth_of_a_second() {
    let mut clocks = Clocks::new(4_600 * MS);
    let first = clocks.ask(0, 2 * MS, 2 * MS, 0);
    assert!(first.uncertainty() > 400 * MS);
    let mut skew = first;
    for _ in 0..40 {
        skew = clocks.ask(1_037 * MS, 2 * MS, 2 * MS, 0);
    }
    assert!(skew.uncertainty() < 100 * MS, "{skew:?}");
    assert!(skew.agrees_with(&first));
    let text = skew.to_string();
    assert!(
        text.starts_with("this clock is 4.6 s ahead of the store's"),
        "{text}"
    );
}

#[test]
fn clocks_that_may_be_equal_agree_to_the_largest_difference_that_is_possible() {
    let text = Skew::between(-20 * MS, 310 * MS).to_string();
    assert_eq!(text, "this clock agrees with the store's (to 0.3 s)");
    let text = Skew::between(20 * MS, 310 * MS).to_string();
    assert_eq!(
        text,
        "this clock is 0.2 s ahead of the store's (give or take 0.1 s)"
    );
}

#[test]
fn a_store_whose_clock_is_set_is_followed_once_three_answers_over_ten_seconds_say_so() {
    let mut clocks = Clocks::new(0);
    for _ in 0..20 {
        clocks.ask(1_037 * MS, 2 * MS, 2 * MS, 0);
    }
    // The own clock does not jump, so nothing but the answers themselves show it.
    clocks.store = 20 * SECOND;
    for _ in 0..6 {
        let skew = clocks.ask(1_900 * MS, 2 * MS, 2 * MS, 0);
        assert!(skew.at_least() < SECOND, "{skew}");
    }
    let after = clocks.ask(1_900 * MS, 2 * MS, 2 * MS, 0);
    assert!((after.low..=after.high).contains(&(-20 * SECOND)), "{after:?}");
    assert!(after.to_string().contains("behind the store's"), "{after}");
    assert!(after.at_least() > 18 * SECOND && after.sure);
    for time in [i64::MAX, i64::MIN, 0] {
        clocks.estimator.observe(&Sample {
            time,
            grain: 0,
            asked: clocks.moment(),
            answered: clocks.moment(),
        });
    }
    assert_eq!(clocks.skew(), after);
}

#[test]
fn wrong_answers_now_and_then_change_nothing_and_the_first_that_finds_a_difference_is_told_and_not_acted_on()
{
    let mut clocks = Clocks::new(3_600 * SECOND);
    let first = clocks.ask(0, 2 * MS, 2 * MS, 0);
    assert!(!first.sure && first.at_least() > 3_500 * SECOND);
    assert!(clocks.ask(MS, 2 * MS, 2 * MS, 0).sure);
    for round in 0..20 {
        let wrong = if round % 3 == 0 { 0 } else { -7_200 * SECOND };
        clocks.store = wrong;
        let skew = clocks.ask(4 * SECOND, 2 * MS, 2 * MS, 0);
        assert!(
            skew.sure && (skew.ahead() - clocks.ahead).abs() < SECOND,
            "{skew}"
        );
    }
    let mut right = Clocks::new(0);
    assert!(right.ask(0, 2 * MS, 2 * MS, 0).sure);
}

#[test]
fn what_was_measured_holds_for_less_and_less_and_after_a_step_of_the_own_clock_it_may_be_right_or_have_been()
{
    let mut clocks = Clocks::new(0);
    let measured = clocks.ask(0, 2 * MS, 2 * MS, 0);
    let at = |steady: i64, step: i64| {
        let now = Moment {
            wall: START + steady + step,
            steady,
        };
        clocks.estimator.at(now).unwrap()
    };
    assert_eq!(at(clocks.now, 0), measured);
    let later = at(clocks.now + 3_600 * SECOND, 0);
    assert_eq!(later.low, measured.low - 1_800 * MS);
    assert_eq!(later.high, measured.high + 1_800 * MS);
    assert_eq!(later.measured, measured.measured);
    for step in [3_600 * SECOND, -SECOND, 11 * MS] {
        let set = at(clocks.now, step);
        let (low, high) = (measured.low + step.min(0), measured.high + step.max(0));
        assert_eq!((set.low, set.high), (low, high));
        assert_eq!(set.was_set, step.abs() > SECOND);
        assert_eq!(set.at_least(), 0);
    }
    // The next answer tells.
    for step in [3_600 * SECOND, -20 * SECOND] {
        clocks.ahead += step;
        let skew = clocks.ask(SECOND, 2 * MS, 2 * MS, 0);
        assert!(
            skew.sure && !skew.was_set && (skew.ahead() - clocks.ahead).abs() < SECOND,
            "{skew}"
        );
    }
}

#[test]
fn a_machine_that_was_frozen_is_behind_until_its_clock_is_set_and_nothing_is_certain_meanwhile() {
    let mut clocks = Clocks::new(0);
    clocks.ask(0, 2 * MS, 2 * MS, 0);
    // Neither of its clocks has gone on.
    clocks.store += 600 * SECOND;
    let frozen = clocks.ask(SECOND, 2 * MS, 2 * MS, 0);
    assert!(frozen.least() < -590 * SECOND, "the time may be later");
    assert!(frozen.at_least() < SECOND);
    clocks.ahead += 600 * SECOND;
    let set = clocks.ask(SECOND, 2 * MS, 2 * MS, 0);
    assert!(set.at_least() == 0 && set.uncertainty() <= SECOND, "{set}");
}

#[test]
fn a_clock_that_is_slewed_by_a_twelfth_is_followed() {
    let mut clocks = Clocks::new(3_600 * SECOND);
    clocks.ask(0, 2 * MS, 2 * MS, 0);
    for pause in [SECOND, 2 * SECOND, 30 * SECOND].repeat(20) {
        clocks.ahead -= pause / 12;
        let skew = clocks.ask(pause, 2 * MS, 2 * MS, 0);
        assert!(
            skew.sure && (skew.low..=skew.high).contains(&clocks.ahead),
            "{skew}"
        );
        assert!(skew.uncertainty() <= SECOND, "{skew}");
    }
}

#[test]
fn answers_that_do_not_agree_with_each_other_make_nobody_sure() {
    let mut clocks = Clocks::new(0);
    clocks.ask(0, 2 * MS, 2 * MS, 0);
    let mut sure = true;
    for round in 1..9_i64 {
        clocks.store = round * 20 * SECOND;
        sure = clocks.ask(2 * SECOND, 2 * MS, 2 * MS, 0).sure;
    }
    assert!(!sure);
}
