//! What was told and nobody stored.

use super::{FORGETFUL, ends_well, run, small, write};
use crate::server::{Op, Setup};
use crate::steps::Step;
use crate::store::PutFault;

const TELLS: Setup = Setup {
    tells: true,
    knows_the_time: false,
    ..FORGETFUL
};

#[test]
fn what_was_told_alone_is_adopted_by_one_whose_snapshot_has_it_and_whose_deltas_others_follow() {
    let first = Setup {
        remembers: true,
        tells: false,
        ..TELLS
    };
    ends_well(small(
        vec![first, TELLS, TELLS],
        vec![Step::Bereave(1), Step::Begin(2, 0, Op::ForcedSend)],
    ));
}

#[test]
fn what_was_told_alone_is_adopted_by_one_that_has_stored_nothing_since_it_lost_its_database() {
    ends_well(small(
        vec![TELLS; 2],
        vec![
            write(0, Some(0)),
            Step::Calm,
            Step::Wipe(1),
            run(1, Op::Receive),
            write(0, None),
            Step::Begin(0, 0, Op::Send),
            Step::Wipe(0),
            Step::Hear(1, 0),
        ],
    ));
}

#[test]
fn a_server_that_is_lost_and_comes_back_empty_at_once_gives_no_state_the_time_of_one_that_it_told_before() {
    let write = |server| Step::Write {
        server,
        database: 0,
        dbi: 0,
        key: 0,
        value: Some(0),
    };
    let mut case = small(
        vec![TELLS; 2],
        vec![
            write(1),
            Step::HandOver(1, 0, 0),
            write(0),
            run(1, Op::Send),
            Step::Fault(PutFault::Lost),
            write(1),
            Step::Begin(1, 0, Op::Send),
            Step::Bereave(1),
            Step::Revive(1),
            Step::RunAll(Op::Receive),
            Step::Bereave(1),
            Step::Kill(0),
        ],
    );
    case.introduced = true;
    (case.clocks.most, case.clocks.go_back) = (0, true);
    ends_well(case);
}

#[test]
fn what_a_lost_server_handed_over_is_stored_also_by_an_agent_that_was_killed_before_it_could() {
    let first = Setup {
        tells: false,
        ..TELLS
    };
    let remembers = Setup {
        remembers: true,
        ..first
    };
    let mut case = small(
        vec![first, remembers, first],
        vec![
            write(2, Some(0)),
            Step::HandOver(2, 1, 0),
            Step::Wipe(2),
            Step::Remember(1),
            Step::Kill(1),
        ],
    );
    case.introduced = true;
    ends_well(case);
}
