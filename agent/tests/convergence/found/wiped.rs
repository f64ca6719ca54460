//! Servers that were wiped and have the store's objects alone.

use super::{FORGETFUL, ends_well, run, small};
use crate::server::{Op, Setup};
use crate::steps::Step;

#[test]
fn what_is_written_while_a_snapshot_is_stored_reaches_all_though_its_server_is_wiped() {
    let setup = Setup {
        knows_the_time: false,
        ..FORGETFUL
    };
    let write = |value| Step::Write {
        server: 0,
        database: 0,
        dbi: 0,
        key: 0,
        value,
    };
    for value in [Some(1), None] {
        for before in [vec![], vec![run(1, Op::Receive)]] {
            let mut steps = vec![write(Some(0)), Step::Calm];
            steps.extend(before);
            steps.extend([
                Step::Begin(0, 0, Op::ForcedSend),
                write(value),
                Step::Begin(0, 0, Op::Send),
                Step::Wipe(0),
            ]);
            ends_well(small(vec![setup; 2], steps));
        }
    }
}

#[test]
fn what_a_server_told_alone_before_it_was_wiped_and_retired_reaches_all_when_it_comes_back() {
    let teller = Setup {
        knows_the_time: false,
        tells: true,
        ..FORGETFUL
    };
    let edge = Setup {
        receive_only: true,
        tells: false,
        ..teller
    };
    let cleaner = Setup {
        retires: true,
        ..teller
    };
    let write = |server, value| Step::Write {
        server,
        database: 0,
        dbi: 0,
        key: 0,
        value,
    };
    for value in [Some(1), None] {
        ends_well(small(
            vec![teller, edge, cleaner],
            vec![
                write(2, Some(0)),
                Step::Calm,
                write(0, value),
                Step::Begin(0, 0, Op::Send),
                Step::HearAll,
                Step::Wipe(0),
                run(0, Op::Receive),
                Step::Begin(2, 0, Op::Clean),
                Step::Kill(0),
            ],
        ));
    }
}
