//! Writes by a clock that was set back, or that stands.

use super::{FORGETFUL, SECONDS, at_work, ends_well, run, set, small, write};
use crate::server::{Op, SECOND, Setup};
use crate::steps::Step;

#[test]
fn a_write_after_a_clock_was_set_back_wins_over_the_own_one_before() {
    let hour = 3600 * SECONDS;
    for value in [Some(1), Some(0), None] {
        for between in [
            // The agent saw the clock before and after.
            vec![run(0, Op::Tell), set(0, 0)],
            vec![run(0, Op::Send), set(0, 0)],
            // It starts when the clock was set back already.
            vec![
                run(0, Op::Send),
                Step::Kill(0),
                set(0, 0),
                run(0, Op::ReceiveNews),
            ],
            vec![
                run(0, Op::Send),
                Step::Remember(0),
                Step::Kill(0),
                set(0, 0),
                run(0, Op::ReceiveNews),
            ],
            // It ends before it stored anything.
            vec![
                run(0, Op::Tell),
                Step::Kill(0),
                set(0, 0),
                run(0, Op::ReceiveNews),
            ],
        ] {
            let mut steps = vec![set(0, hour), write(0, Some(1))];
            steps.extend(between);
            steps.push(write(0, value));
            ends_well(at_work(steps));
        }
    }
}

#[test]
fn an_agent_that_has_just_started_sees_what_is_replaced_after_a_clock_was_set_back() {
    for value in [Some(1), None] {
        ends_well(at_work(vec![
            write(1, Some(1)),
            run(1, Op::Send),
            Step::Kill(1),
            run(1, Op::ReceiveNews),
            set(1, -3_000_000),
            write(1, value),
        ]));
    }
}

#[test]
fn a_write_over_what_was_merged_beside_writes_that_nobody_was_told_of_wins_after_a_clock_was_set_back() {
    for value in [Some(1), None] {
        let other = Step::Write {
            server: 1,
            database: 0,
            dbi: 0,
            key: 0,
            value: Some(1),
        };
        ends_well(at_work(vec![
            write(0, Some(1)),
            run(0, Op::Tell),
            Step::Pass(SECOND),
            other,
            Step::HearAll,
            set(1, -3600 * SECONDS),
            write(1, value),
        ]));
    }
}

#[test]
fn a_write_by_a_clock_that_stands_wins_over_the_one_before_though_the_state_in_between_is_not_kept() {
    let mut case = at_work(vec![
        write(1, Some(0)),
        Step::RunAll(Op::Send),
        write(1, Some(1)),
        write(1, Some(2)),
        run(1, Op::Tell),
        write(1, None),
    ]);
    case.limits.kept = 2;
    ends_well(case.clone());
    for setup in &mut case.setups {
        setup.tells = false;
    }
    ends_well(case);
}

#[test]
fn a_clock_that_was_set_back_for_an_agent_that_cannot_store_loses_nothing() {
    for value in [Some(1), None] {
        let mut case = at_work(vec![
            write(1, Some(1)),
            Step::RunAll(Op::Send),
            Step::Cut(1, true),
            write(1, Some(1)),
            write(1, Some(1)),
            write(1, Some(1)),
            run(1, Op::Send),
            set(1, -3600 * SECONDS),
            write(1, value),
        ]);
        case.limits.kept = 2;
        for setup in &mut case.setups {
            setup.tells = false;
        }
        ends_well(case);
    }
}

#[test]
fn a_write_after_a_clock_was_set_back_wins_over_what_a_peer_was_handed_before() {
    let setup = Setup {
        knows_the_time: false,
        ..FORGETFUL
    };
    for value in [Some(1), Some(0), None] {
        let mut case = small(
            vec![setup; 2],
            vec![
                run(1, Op::Receive),
                write(1, Some(0)),
                set(1, -2 * SECONDS),
                run(0, Op::Receive),
                Step::HandOver(1, 0, 0),
                write(1, value),
            ],
        );
        case.clocks.go_back = true;
        ends_well(case);
    }
}
