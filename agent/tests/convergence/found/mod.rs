//! What failed once, step by step.

mod fleets_time;
mod over_others;
mod set_back;
mod told_alone;
mod wiped;

use std::time::Duration;

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
            turn: Duration::ZERO,
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
