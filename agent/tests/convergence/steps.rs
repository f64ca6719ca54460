//! What may happen, in any order.

use std::fmt;
use std::time::Duration;

use proptest::prelude::*;
use zonetide_agent::sync::Limits;

use super::clock::{MOST_OFF, Turn};
use super::server::{Op, SECOND, Setup};
use super::store::{LANES, PutFault};

/// One thing that happens. Servers and databases are counted round, so that all numbers are good.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write {
        server: usize,
        database: usize,
        dbi: usize,
        key: u8,
        /// `None` deletes.
        value: Option<u8>,
    },
    Run(usize, usize, Op),
    /// All agents, one after the other.
    RunAll(Op),
    /// Up to the first request to the store; others come between it and the next.
    Begin(usize, usize, Op),
    /// Lets a request of a lane through.
    Advance(usize, usize, usize),
    /// A server hears what another one told.
    Hear(usize, usize),
    /// It hears once more what it has heard.
    HearAgain(usize, usize),
    /// All hear everything, in order.
    HearAll,
    /// The first server hands its whole database over to the second.
    HandOver(usize, usize, usize),
    /// What is on the way to a server is lost.
    Mislay(usize),
    /// A server is lost after it told of its changes and before it stored them.
    Bereave(usize),
    /// Nobody hears a server.
    Hush(usize, bool),
    /// The agents of a server write down what they know.
    Remember(usize),
    /// What they wrote down is lost.
    Forget(usize),
    Kill(usize),
    /// The server is lost with its databases and comes back.
    Wipe(usize),
    /// All servers are lost at a time and come back: the bucket alone has everything that was ever reported stored.
    WipeAll,
    /// The same as `Wipe`, but the server comes back only with `Revive`.
    Retire(usize),
    Revive(usize),
    Cut(usize, bool),
    Fault(PutFault),
    /// A slow upload arrives.
    Land(usize),
    /// A slow upload does not.
    Lose(usize),
    Clock(usize, Turn),
    /// ns
    Pass(u64),
    Calm,
    /// When all is calm somebody empties the bucket. It fills again before anything else is lost.
    Empty,
    LongTime(u64),
}

/// How well clocks agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    /// Most that one is set ahead or back, ns.
    pub(crate) most: i64,
    /// One is set back, or stands. Else all that it shows is later than what it showed before.
    pub(crate) go_back: bool,
}

/// `only`: "agree", "near", "far", "forward".
fn clocks(only: Option<String>) -> impl Strategy<Value = Clocks> {
    let second = SECOND.cast_signed();
    let most = prop_oneof![1 => Just(0), 2 => Just(2 * second), 2 => Just(MOST_OFF)];
    (most, prop::bool::weighted(0.7)).prop_map(move |(mut most, mut go_back)| {
        match only.as_deref() {
            Some("agree") => (most, go_back) = (0, false),
            Some("near") => most = 2 * second,
            Some("far") => most = MOST_OFF,
            Some("forward") => go_back = false,
            _ => {}
        }
        Clocks { most, go_back }
    })
}

/// A whole test: who there is, and what happens.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) setups: Vec<Setup>,
    pub(crate) limits: Limits,
    pub(crate) databases: usize,
    /// They begin as a fleet at work, and not with nothing.
    pub(crate) introduced: bool,
    pub(crate) clocks: Clocks,
    pub(crate) steps: Vec<Step>,
}

/// A step a line.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setup in &self.setups {
            write!(f, "\n  {setup:?}")?;
        }
        write!(
            f,
            "\n  {:?}, clocks {:?}, databases {}",
            self.limits, self.clocks, self.databases
        )?;
        write!(f, "{}", if self.introduced { ", introduced" } else { "" })?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

fn setup() -> impl Strategy<Value = Setup> {
    let odds = [0.2, 0.6, 0.7, 0.7, 0.3, 0.8].map(prop::bool::weighted);
    odds.prop_map(
        |[receive_only, sweeps, tells, remembers, retires, knows_the_time]| Setup {
            receive_only,
            sweeps,
            tells,
            remembers,
            retires,
            knows_the_time,
        },
    )
}

/// Small ones, so that few steps reach them.
fn limits() -> impl Strategy<Value = Limits> {
    let usual = Limits::default();
    (
        prop_oneof![Just(2), Just(usual.kept)],
        prop_oneof![Just(2), Just(4), Just(usual.stride)],
        prop_oneof![Just(200), Just(usual.least)],
        prop_oneof![Just(3), Just(usual.deltas)],
        prop_oneof![Just(2), Just(usual.foreign)],
        prop_oneof![1 => Just(120), 3 => Just(usual.told)],
    )
        .prop_map(move |(kept, stride, least, deltas, foreign, told)| Limits {
            kept,
            stride,
            least,
            deltas,
            foreign,
            told,
            // A merge lets others have their turn with each entry.
            turn: if kept == 2 { Duration::ZERO } else { usual.turn },
        })
}

/// Offsets that make equal times of different servers likely, and some far off.
fn turn() -> impl Strategy<Value = Turn> {
    let second = SECOND.cast_signed();
    let offset = prop_oneof![
        2 => Just(0),
        2 => (-2..=2_i64).prop_map(move |seconds| seconds * second),
        2 => prop_oneof![Just(1), Just(-1), Just(3_000_000), Just(-3_000_000), Just(300_000_000), Just(-300_000_000)],
        1 => Just(-MOST_OFF),
        1 => Just(MOST_OFF),
    ];
    prop_oneof![
        6 => offset.prop_map(Turn::Set),
        1 => prop_oneof![Just(0_i64), Just(500), Just(-500)].prop_map(Turn::Drift),
        1 => Just(Turn::Stand),
        1 => Just(Turn::Run),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (server, database) = (0..4_usize, 0..2_usize);
    let place = (server.clone(), database.clone());
    let op = prop_oneof![
        4 => Just(Op::Receive),
        2 => Just(Op::ReceiveNews),
        5 => Just(Op::Send),
        1 => Just(Op::ForcedSend),
        4 => Just(Op::Tell),
        2 => Just(Op::Clean),
        1 => Just(Op::CleanOwn),
        1 => Just(Op::Sweep),
    ];
    let value = prop::option::weighted(0.7, 0..3_u8);
    prop_oneof![
        16 => (server.clone(), database, 0..2_usize, 0..3_u8, value).prop_map(
            |(server, database, dbi, key, value)| Step::Write { server, database, dbi, key, value }
        ),
        16 => (place.clone(), op.clone()).prop_map(|((server, database), op)| Step::Run(server, database, op)),
        6 => op.clone().prop_map(Step::RunAll),
        6 => (place.clone(), op).prop_map(|((server, database), op)| Step::Begin(server, database, op)),
        6 => (place, 0..LANES).prop_map(|((server, database), lane)| Step::Advance(server, database, lane)),
        6 => (server.clone(), 0..3_usize).prop_map(|(server, number)| Step::Hear(server, number)),
        3 => (server.clone(), 0..8_usize).prop_map(|(server, number)| Step::HearAgain(server, number)),
        4 => Just(Step::HearAll),
        1 => (server.clone(), server.clone(), 0..2_usize).prop_map(|(from, to, database)| Step::HandOver(from, to, database)),
        1 => server.clone().prop_map(Step::Mislay),
        2 => server.clone().prop_map(Step::Bereave),
        1 => (server.clone(), any::<bool>()).prop_map(|(server, hushed)| Step::Hush(server, hushed)),
        3 => server.clone().prop_map(Step::Remember),
        1 => server.clone().prop_map(Step::Forget),
        3 => server.clone().prop_map(Step::Kill),
        2 => server.clone().prop_map(Step::Wipe),
        1 => Just(Step::WipeAll),
        2 => server.clone().prop_map(Step::Retire),
        1 => server.clone().prop_map(Step::Revive),
        2 => (server.clone(), any::<bool>()).prop_map(|(server, cut)| Step::Cut(server, cut)),
        3 => prop_oneof![
            Just(PutFault::Lost),
            Just(PutFault::Taken),
            (0..4_u8).prop_map(PutFault::Torn),
            Just(PutFault::Slow),
        ].prop_map(Step::Fault),
        2 => (0..3_usize).prop_map(Step::Land),
        1 => (0..3_usize).prop_map(Step::Lose),
        5 => (server, turn()).prop_map(|(server, turn)| Step::Clock(server, turn)),
        8 => prop_oneof![Just(1_u64), Just(1_000_000), Just(SECOND), Just(60 * SECOND), Just(1800 * SECOND)]
            .prop_map(Step::Pass),
        1 => prop_oneof![
            2 => Just(Step::Calm),
            1 => Just(Step::Empty),
            2 => prop_oneof![Just(30_u64), Just(49), Just(101)].prop_map(Step::LongTime),
        ],
    ]
}

/// `only`: with clocks of a kind.
pub(crate) fn case(only: Option<String>) -> impl Strategy<Value = Case> {
    let setups = prop::collection::vec(setup(), 2..=4);
    let databases = prop_oneof![3 => Just(1), 1 => Just(2_usize)];
    let introduced = prop::bool::weighted(0.7);
    let steps = prop::collection::vec(step(), 1..80);
    // Nobody goes by the fleet's time, most do, or all.
    let knowing = prop_oneof![1 => Just(Some(false)), 1 => Just(None), 1 => Just(Some(true))];
    (
        setups,
        limits(),
        databases,
        introduced,
        (clocks(only), knowing),
        steps,
    )
        .prop_map(
            |(mut setups, limits, databases, introduced, (clocks, knowing), steps)| {
                setups[0].receive_only = false;
                for setup in &mut setups {
                    setup.knows_the_time = knowing.unwrap_or(setup.knows_the_time);
                }
                Case {
                    setups,
                    limits,
                    databases,
                    introduced,
                    clocks,
                    steps,
                }
            },
        )
}
