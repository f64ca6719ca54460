//! Writes over what others told.

use super::{SECONDS, at_work, ends_well, run, set, write};
use crate::server::{Op, SECOND};
use crate::steps::Step;

/// The clocks by which servers are behind what they heard, ns.
const BEHIND: [i64; 2] = [-300_000_000, -3600 * SECONDS];

#[test]
fn a_write_over_what_a_server_with_a_faster_clock_told_wins() {
    for behind in BEHIND {
        for value in [Some(1), Some(0), None] {
            ends_well(at_work(vec![
                set(1, behind),
                write(0, Some(1)),
                run(0, Op::Tell),
                Step::HearAll,
                Step::Pass(3_000_000),
                write(1, value),
                run(1, Op::Tell),
                Step::HearAll,
            ]));
        }
    }
    ends_well(at_work(vec![
        set(0, -BEHIND[0]),
        write(0, Some(1)),
        run(0, Op::Tell),
        Step::HearAll,
        write(1, Some(1)),
        run(1, Op::Tell),
        Step::HearAll,
    ]));
}

#[test]
fn a_second_delivery_between_a_write_and_its_collection_does_not_bring_back_what_was_replaced() {
    for value in [Some(1), None] {
        ends_well(at_work(vec![
            set(1, BEHIND[0]),
            write(0, Some(1)),
            run(0, Op::Tell),
            Step::HearAll,
            write(1, value),
            Step::HearAgain(1, 0),
            run(1, Op::Receive),
            run(1, Op::Tell),
            Step::HearAll,
        ]));
    }
}

#[test]
fn an_agent_that_ends_between_a_merge_and_the_collection_of_a_later_write_loses_nothing() {
    for value in [Some(1), None] {
        for lost in [vec![], vec![Step::Forget(1)], vec![Step::Remember(1)]] {
            for again in [
                vec![],
                vec![run(1, Op::Tell)],
                vec![run(1, Op::Receive), Step::HearAgain(1, 0)],
            ] {
                let mut steps = vec![
                    set(1, BEHIND[0]),
                    write(0, Some(1)),
                    run(0, Op::Tell),
                    Step::HearAll,
                    write(1, value),
                    Step::Kill(1),
                ];
                steps.extend(lost.clone());
                steps.extend(again);
                ends_well(at_work(steps));
            }
        }
    }
}

#[test]
fn of_two_versions_that_were_told_and_are_merged_together_the_later_one_stays_where_the_clock_is_behind() {
    let mut case = at_work(vec![
        set(1, -2 * SECONDS),
        run(1, Op::Receive),
        write(0, Some(1)),
        run(0, Op::Tell),
        Step::Pass(SECOND),
        write(0, Some(1)),
        run(0, Op::Tell),
        Step::Pass(10 * SECOND),
        Step::HearAll,
    ]);
    for setup in &mut case.setups {
        setup.knows_the_time = true;
    }
    case.clocks.most = 2 * SECONDS;
    ends_well(case);
}
