//! Servers that go by the fleet's time.

use super::{FORGETFUL, SECONDS, ends_well, run, set, small, write};
use crate::clock::Turn;
use crate::server::{Op, SECOND, Setup};
use crate::steps::Step;

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
