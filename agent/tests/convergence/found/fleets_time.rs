//! Servers that go by the fleet's time.

use std::time::Duration;

use super::{FORGETFUL, SECONDS, ends_well, run, set, small, write};
use crate::clock::Turn;
use crate::server::{Op, SECOND, Setup};
use crate::steps::{Case, Step};

#[test]
fn what_is_written_into_an_empty_database_by_a_clock_that_is_ahead_gets_the_fleets_time() {
    ends_well(small(
        vec![FORGETFUL; 2],
        vec![
            Step::Calm,
            Step::Bereave(1),
            set(1, 3600 * SECONDS),
            Step::Revive(1),
            run(1, Op::ReceiveNews),
            write(0, Some(0)),
            write(1, Some(1)),
        ],
    ));
}

#[test]
fn what_is_written_a_moment_before_a_clock_goes_wrong_keeps_its_time() {
    ends_well(small(
        vec![FORGETFUL; 2],
        vec![
            write(0, Some(0)),
            Step::Pass(SECOND),
            run(1, Op::Receive),
            write(1, Some(1)),
            set(1, 2 * SECONDS),
        ],
    ));
}

#[test]
fn a_server_that_only_receives_makes_nothing_later_than_what_it_kept() {
    let unaware = Setup {
        knows_the_time: false,
        ..FORGETFUL
    };
    let edge = Setup {
        receive_only: true,
        ..FORGETFUL
    };
    ends_well(small(
        vec![unaware, unaware, unaware, edge],
        vec![
            set(0, 3600 * SECONDS),
            Step::Clock(3, Turn::Drift(-500)),
            Step::Pass(1_000_000),
            Step::Bereave(1),
        ],
    ));
}

#[test]
fn what_something_lost_against_in_a_merge_gets_no_lower_time_when_the_clock_is_known_better() {
    let both = Setup {
        tells: true,
        ..FORGETFUL
    };
    let mut case = small(
        vec![both; 2],
        vec![
            write(0, Some(0)),
            set(1, 3600 * SECONDS),
            run(1, Op::Send),
            write(1, Some(0)),
            Step::Pass(1_000_000),
        ],
    );
    case.clocks.most = 2 * SECONDS;
    ends_well(case);
}

#[test]
fn what_something_lost_against_in_a_merge_keeps_the_fleets_time_when_its_agent_ends_before_it_stores_it() {
    let both = Setup {
        remembers: true,
        ..FORGETFUL
    };
    for value in [Some(1), Some(0), None] {
        let mut case = small(
            vec![both; 2],
            vec![
                write(1, Some(1)),
                Step::Calm,
                Step::Remember(1),
                Step::Kill(1),
                set(1, -2 * SECONDS),
                run(1, Op::Receive),
                write(0, Some(2)),
                run(0, Op::Send),
                Step::Pass(1_000_000),
                write(1, value),
                run(1, Op::Receive),
                Step::Remember(1),
                Step::Kill(1),
                Step::Pass(3 * SECOND),
            ],
        );
        case.clocks.go_back = true;
        ends_well(case);
    }
}

#[test]
fn what_something_lost_against_in_a_merge_gets_no_lower_time_when_the_clock_turns_out_to_be_wrong() {
    for (before, after) in [(1, 2), (-2, -1), (2, 0), (-2, 0)] {
        for value in [Some(1), Some(0), None] {
            let mut case = small(
                vec![FORGETFUL; 2],
                vec![
                    write(1, Some(1)),
                    Step::Calm,
                    set(1, before * SECONDS),
                    run(1, Op::Receive),
                    write(0, Some(2)),
                    run(0, Op::Send),
                    Step::Pass(1_000_000),
                    write(1, value),
                    run(1, Op::Receive),
                    set(1, after * SECONDS),
                ],
            );
            case.clocks.go_back = true;
            ends_well(case);
        }
    }
}

#[test]
fn what_is_on_its_way_to_the_store_gets_no_lower_time_when_the_clock_turns_out_to_be_wrong() {
    let of_the_first = |key| Step::Write {
        server: 0,
        database: 0,
        dbi: 0,
        key,
        value: Some(1),
    };
    let mut case = small(
        vec![FORGETFUL; 2],
        vec![
            write(1, Some(1)),
            Step::Calm,
            set(1, SECONDS),
            run(1, Op::Receive),
            write(1, Some(2)),
            run(1, Op::Send),
            of_the_first(2),
            run(0, Op::Send),
            run(1, Op::Receive),
            run(1, Op::Send),
            Step::Pass(1_000_000),
            write(1, Some(2)),
            Step::Begin(1, 0, Op::Send),
            Step::Pass(1_000_000),
            set(1, 2 * SECONDS),
            of_the_first(1),
            run(0, Op::Send),
            run(1, Op::Receive),
        ],
    );
    case.clocks.go_back = true;
    ends_well(case);
}

/// The second server, whose clock goes wrong by an hour, writes this over what it has. Its agent ends at once, and begins anew with a clock
/// that is set right, and no memory.
fn by_a_clock_that_goes_wrong_and_killed(value: Option<u8>) -> [Step; 4] {
    [set(1, 3600 * SECONDS), write(1, value), Step::Kill(1), set(1, 0)]
}

/// The clocks of servers that do not remember are set back as well.
fn forgetful(steps: Vec<Step>) -> Case {
    let mut case = small(vec![FORGETFUL; 2], steps);
    case.clocks.go_back = true;
    case
}

#[test]
fn what_is_put_over_an_entry_that_got_the_fleets_time_wins_when_its_agent_ends_at_once() {
    for value in [Some(1), Some(0), None] {
        let mut steps = vec![
            write(1, Some(1)),
            Step::Calm,
            set(1, 3600 * SECONDS),
            write(1, Some(2)),
            run(1, Op::Send),
        ];
        steps.extend(by_a_clock_that_goes_wrong_and_killed(value));
        steps.push(set(1, -3_000_000));
        ends_well(forgetful(steps));
    }
}

#[test]
fn what_is_put_over_what_a_clock_that_was_a_little_ahead_wrote_wins_when_its_agent_ends_at_once() {
    let ahead = SECONDS * 3 / 10;
    for value in [Some(1), Some(0), None] {
        let own = vec![
            set(1, ahead),
            write(1, Some(2)),
            Step::Pass(1_000_000),
            run(1, Op::Send),
        ];
        let of_another = vec![
            set(0, ahead),
            set(1, ahead),
            write(0, Some(2)),
            run(0, Op::Send),
            Step::Pass(1_000_000),
            run(1, Op::Receive),
        ];
        for before in [own, of_another] {
            let mut steps = vec![write(1, Some(1)), Step::Calm];
            steps.extend(before);
            steps.extend(by_a_clock_that_goes_wrong_and_killed(value));
            ends_well(forgetful(steps));
        }
    }
}

#[test]
fn what_is_put_over_what_is_ahead_of_the_time_wins_when_its_agent_ends_at_once() {
    let unaware = Setup {
        knows_the_time: false,
        ..FORGETFUL
    };
    for value in [Some(1), Some(0), None] {
        for own in [vec![], vec![write(1, Some(2)), run(1, Op::Send)]] {
            let mut steps = vec![
                write(1, Some(1)),
                Step::Calm,
                set(0, 60 * SECONDS),
                write(0, Some(2)),
                run(0, Op::Send),
                run(1, Op::Receive),
            ];
            steps.extend(own);
            steps.extend(by_a_clock_that_goes_wrong_and_killed(value));
            let mut case = forgetful(steps);
            case.setups[0] = unaware;
            ends_well(case);
        }
    }
}

#[test]
fn what_is_put_over_an_entry_of_a_clock_that_was_wrong_is_later_than_what_that_was_put_over() {
    let first = [
        write(1, Some(1)),
        Step::Calm,
        set(1, SECONDS * 3 / 10),
        write(1, Some(2)),
        run(1, Op::Send),
        set(1, 3600 * SECONDS),
        write(1, Some(1)),
        Step::Kill(1),
    ];
    let mut between = vec![vec![run(1, Op::Receive), run(1, Op::Send)]];
    // Its last snapshot is merged, and not all is merged.
    for requests in 0..8 {
        let mut some = vec![Step::Begin(1, 0, Op::Receive)];
        some.extend((0..requests).map(|_| Step::Advance(1, 0, 0)));
        between.push(some);
    }
    for value in [Some(1), Some(0), None] {
        for between in &between {
            let steps = [
                &first[..],
                &between[..],
                &[set(1, 0), write(1, value), run(1, Op::Send)],
            ];
            ends_well(forgetful(steps.concat()));
        }
    }
}

#[test]
fn what_is_written_once_more_by_a_clock_that_goes_wrong_is_later_than_what_came_in_between() {
    for value in [Some(1), None] {
        for whole in [vec![], vec![run(1, Op::ForcedSend)]] {
            for again in [
                vec![],
                vec![run(1, Op::ReceiveNews)],
                vec![run(1, Op::Receive), run(1, Op::Send)],
            ] {
                let mut steps = vec![write(1, value), Step::Calm];
                steps.extend(whole.clone());
                steps.extend([
                    Step::Pass(SECOND),
                    write(0, Some(2)),
                    run(0, Op::Send),
                    run(1, Op::Receive),
                    Step::Pass(SECOND),
                ]);
                steps.extend(by_a_clock_that_goes_wrong_and_killed(value));
                steps.extend(again);
                ends_well(forgetful(steps));
            }
        }
    }
}

#[test]
fn what_something_lost_against_is_not_taken_for_an_older_version_of_the_same_content() {
    let of = |server, value| Step::Write {
        server,
        database: 0,
        dbi: 0,
        key: 0,
        value,
    };
    let mut case = small(
        vec![FORGETFUL; 4],
        vec![
            Step::Cut(0, true),
            set(0, 3600 * SECONDS),
            of(2, Some(0)),
            Step::Bereave(2),
            Step::Pass(SECOND),
            Step::Wipe(0),
            Step::Retire(3),
            of(0, Some(0)),
            of(1, None),
            set(0, 0),
            Step::Bereave(1),
        ],
    );
    case.clocks.go_back = true;
    ends_well(case);
}

/// The limits remember two transactions of merges: of the first of three nobody knows that it was one.
#[test]
fn what_a_merge_wrote_that_is_not_remembered_gets_no_other_time_where_the_clock_is_wrong() {
    let tables = |server, dbi, key, value| Step::Write {
        server,
        database: 0,
        dbi,
        key,
        value,
    };
    let mut case = small(
        vec![FORGETFUL; 3],
        vec![
            Step::Retire(1),
            tables(2, 0, 0, Some(0)),
            set(0, 3600 * SECONDS),
            Step::Bereave(1),
            Step::Kill(3),
            Step::Clock(1, Turn::Stand),
            Step::Pass(60 * SECOND),
            tables(0, 1, 0, Some(0)),
            tables(0, 0, 1, None),
            Step::Revive(1),
        ],
    );
    case.introduced = true;
    case.limits.kept = 1000;
    case.limits.turn = Duration::from_millis(20);
    case.clocks.go_back = false;
    ends_well(case);
}
