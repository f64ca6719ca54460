//! What was told and nobody stored.

use super::{FORGETFUL, ends_well, run, small, write};
use crate::server::{Op, Setup};
use crate::steps::Step;

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
