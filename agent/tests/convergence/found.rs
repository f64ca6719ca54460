//! What failed once, step by step.

use zonetide_agent::sync::Limits;

use super::clock::Turn;
use super::play;
use super::server::{Op, SECOND, Setup};
use super::steps::{Case, Clocks, Step};

const SECONDS: i64 = SECOND.cast_signed();

/// Three servers that are at work, and tell each other of changes.
fn at_work(steps: Vec<Step>) -> Case {
    let setup = Setup {
        receive_only: false,
        sweeps: false,
        tells: true,
        remembers: true,
        retires: false,
        knows_the_time: false,
    };
    Case {
        setups: vec![setup; 3],
        limits: Limits::default(),
        databases: 1,
        introduced: true,
        clocks: Clocks {
            most: 3600 * SECONDS,
            go_back: true,
        },
        steps,
    }
}

/// All is as it must be after these steps.
fn ends_well(case: Case) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    play(&runtime, case).unwrap_or_else(|error| panic!("{error}"));
}

fn write(server: usize, value: Option<u8>) -> Step {
    Step::Write {
        server,
        database: 0,
        dbi: 1,
        key: 0,
        value,
    }
}

fn run(server: usize, op: Op) -> Step {
    Step::Run(server, 0, op)
}

fn set(server: usize, off: i64) -> Step {
    Step::Clock(server, Turn::Set(off))
}

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

/// As small as steps are found with, of servers that remember and tell nothing.
fn small(setups: Vec<Setup>, steps: Vec<Step>) -> Case {
    let case = at_work(steps);
    Case {
        setups,
        introduced: false,
        limits: Limits {
            kept: 2,
            stride: 2,
            least: 200,
            deltas: 3,
            foreign: 2,
            told: 120,
        },
        clocks: Clocks {
            go_back: false,
            ..case.clocks
        },
        ..case
    }
}

const FORGETFUL: Setup = Setup {
    receive_only: false,
    sweeps: false,
    tells: false,
    remembers: false,
    retires: false,
    knows_the_time: true,
};

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
