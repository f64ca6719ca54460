//! The model is right about small stories, and a merge by another rule than the right one does not pass it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::history::History;
use super::support::Version;

fn value(time: u64, value: u8) -> Version {
    (time, false, vec![value])
}

fn mark(time: u64) -> Version {
    (time, true, Vec::new())
}

#[test]
fn what_was_put_over_a_newer_version_is_the_outcome_and_what_it_replaced_is_not() {
    let mut history = History::default();
    history.write(0, value(100, 1), 100);
    history.see(1, Some(&value(100, 1)), true).unwrap();
    history.write(1, value(50, 2), 50);
    let error = history.check(Some(&value(100, 1)), 0).unwrap_err();
    assert!(error.contains("happened after it"), "{error}");
    assert_eq!(history.check(Some(&value(50, 2)), 0), Ok(()));
    // The same for what happened after that in turn, and for a deletion.
    history.see(0, Some(&value(50, 2)), true).unwrap();
    history.write(0, mark(10), 10);
    assert!(history.check(Some(&value(100, 1)), 0).is_err());
    assert!(history.check(Some(&value(50, 2)), 0).is_err());
    assert!(history.check(None, 5).is_err());
    assert_eq!(history.check(Some(&mark(10)), 0), Ok(()));
    assert_eq!(history.check(None, 11), Ok(()));
}

#[test]
fn of_two_that_did_not_know_each_other_the_newer_is_the_outcome() {
    let mut history = History::default();
    history.write(0, value(100, 1), 100);
    history.write(1, value(99, 2), 99);
    let error = history.check(Some(&value(99, 2)), 0).unwrap_err();
    assert!(error.contains("is newer"), "{error}");
    assert_eq!(history.check(Some(&value(100, 1)), 0), Ok(()));
    assert!(history.check(None, 0).is_err());
}

#[test]
fn a_database_that_goes_back_to_what_it_replaced_is_wrong_at_once_and_so_is_one_that_loses_a_value() {
    let mut history = History::default();
    history.write(0, value(100, 1), 100);
    history.write(0, value(50, 2), 50);
    let error = history.see(0, Some(&value(100, 1)), true).unwrap_err();
    assert!(error.contains("happened before it"), "{error}");
    assert!(history.see(0, None, true).unwrap_err().contains("without a mark"));
    // An older one from elsewhere is not before it.
    history.write(1, value(60, 3), 60);
    history.see(0, Some(&value(60, 3)), true).unwrap();
}

#[test]
fn a_version_with_a_later_time_is_what_it_was_and_another_value_is_nobodys() {
    let mut history = History::default();
    history.write(0, value(100, 1), 100);
    history.see(1, Some(&value(100, 1)), true).unwrap();
    history.write(1, mark(50), 50);
    history.see(1, Some(&mark(101)), true).unwrap();
    history.see(0, Some(&mark(101)), true).unwrap();
    assert_eq!(history.check(Some(&mark(101)), 0), Ok(()));
    assert!(history.see(1, Some(&mark(99)), true).is_err());
    assert!(history.see(1, Some(&value(102, 9)), true).is_err());
}

#[test]
fn what_a_lost_database_alone_had_is_not_demanded_unless_it_was_stored_or_known_elsewhere() {
    let mut history = History::default();
    history.write(0, value(1, 1), 1);
    history.stored(0, 0);
    history.see(1, Some(&value(1, 1)), true).unwrap();
    history.write(0, value(2, 2), 2);
    let mut told = history.clone();
    history.lose(0);
    assert!(!history.is_certain());
    assert_eq!(history.check(Some(&value(1, 1)), 0), Ok(()));
    assert_eq!(history.check(Some(&value(2, 2)), 0), Ok(()));
    told.see(1, Some(&value(2, 2)), true).unwrap();
    told.lose(0);
    assert!(told.is_certain());
    assert!(told.check(Some(&value(1, 1)), 0).is_err());
}

#[test]
fn what_a_lost_database_gets_back_is_not_reported_by_its_agent() {
    let mut history = History::default();
    history.write(0, value(1, 1), 1);
    history.see(1, Some(&value(1, 1)), true).unwrap();
    history.lose(0);
    history.see(0, Some(&value(1, 1)), true).unwrap();
    assert_eq!(history.own(0), None);
    history.stored(0, 0);
    for server in [0, 1] {
        history.lose(server);
    }
    assert_eq!(history.check(None, 0), Ok(()));
}

/// The rules by which two databases without agents decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// What PowerDNS puts over something is stamped after it.
    Right,
    /// Times alone.
    Newest,
    /// Who comes last.
    Last,
}

#[derive(Debug, Clone)]
enum Move {
    Write(usize, i8, bool),
    Merge(usize, usize),
}

/// Plays moves by a rule, until all know all.
fn play(rule: Rule, moves: &[Move]) -> Result<(), String> {
    let mut history = History::default();
    let mut databases: BTreeMap<usize, Version> = BTreeMap::new();
    let merge = |history: &mut History, databases: &mut BTreeMap<usize, Version>, from: usize, to: usize| {
        let Some(incoming) = databases.get(&from).cloned() else {
            return Ok(());
        };
        let rank = |version: &Version| (version.0, version.1, std::cmp::Reverse(version.2.clone()));
        let wins = databases
            .get(&to)
            .is_none_or(|old| rule == Rule::Last || rank(&incoming) > rank(old));
        if wins {
            databases.insert(to, incoming);
        }
        history.see(to, databases.get(&to), true)
    };
    for (time, step) in (100..).zip(moves) {
        match *step {
            Move::Write(server, off, deleted) => {
                let old = databases.get(&server).cloned();
                if deleted && old.as_ref().is_none_or(|old| old.1) {
                    continue;
                }
                let stamp = (time + i64::from(off)).cast_unsigned();
                let content = if deleted {
                    Vec::new()
                } else {
                    vec![time.cast_unsigned().to_le_bytes()[0]]
                };
                history.write(server, (stamp, deleted, content.clone()), stamp);
                let stamp = match old {
                    Some((old, ..)) if rule == Rule::Right => stamp.max(old + 1),
                    _ => stamp,
                };
                databases.insert(server, (stamp, deleted, content));
                history.see(server, databases.get(&server), true)?;
            }
            Move::Merge(from, to) => merge(&mut history, &mut databases, from, to)?,
        }
    }
    for _ in 0..2 {
        for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            merge(&mut history, &mut databases, from, to)?;
        }
    }
    (0..3).try_for_each(|server| history.check(databases.get(&server), 0))
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        (0..3_usize, -30..30_i8, any::<bool>())
            .prop_map(|(server, off, deleted)| Move::Write(server, off, deleted)),
        (0..3_usize, 0..3_usize).prop_map(|(from, to)| Move::Merge(from, to)),
    ];
    prop::collection::vec(step, 1..30)
}

#[test]
fn the_right_rule_passes_whatever_happens_and_a_wrong_one_is_found_out() {
    let config = || Config {
        cases: 2000,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = |rule| {
        TestRunner::new_with_rng(
            config(),
            proptest::test_runner::TestRng::deterministic_rng(Config::default().rng_algorithm),
        )
        .run(&moves(), |moves| play(rule, &moves).map_err(TestCaseError::fail))
    };
    outcome(Rule::Right).unwrap();
    for wrong in [Rule::Newest, Rule::Last] {
        assert!(outcome(wrong).is_err(), "{wrong:?} is not found out");
    }
}
