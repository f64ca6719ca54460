//! `/healthz` in Lightning Stream's meaning: steps that have failed for too long, and a start that takes too long.
//! Pure: the time is passed in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::DatabaseState;
use super::events::shortened;
use crate::human::span;
use crate::report::Level;

/// How long something may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How often it is looked at for the log.
    pub interval: Duration,
    pub warn: Duration,
    pub error: Duration,
}

impl Limits {
    fn level(&self, lasting: Duration) -> Level {
        if lasting >= self.error {
            Level::Error
        } else if lasting >= self.warn {
            Level::Warning
        } else {
            Level::Ok
        }
    }
}

/// What is still well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthRules {
    pub list: Limits,
    pub load: Limits,
    pub store: Limits,
    pub start: Limits,
    /// A slow start counts.
    pub report_start: bool,
    /// Whether the start is done shows in the metadata.
    pub start_in_metadata: bool,
}

/// The steps whose failures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    List,
    Load,
    Store,
}

impl Check {
    pub const ALL: [Self; 3] = [Self::List, Self::Load, Self::Store];

    /// The check that a step belongs to, if it counts: a cleaner or sweeper that fails does no harm.
    pub fn of_step(step: &str) -> Option<Self> {
        match step {
            "list" => Some(Self::List),
            "open" | "read" | "merge" | "crash" => Some(Self::Load),
            "write" | "dump" => Some(Self::Store),
            _ => None,
        }
    }

    /// Lightning Stream's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "storage_list",
            Self::Load => "storage_load",
            Self::Store => "storage_store",
        }
    }

    fn activity(self) -> &'static str {
        match self {
            Self::List => "listing the store",
            Self::Load => "loading snapshots",
            Self::Store => "storing a snapshot",
        }
    }

    fn limits(self, rules: &HealthRules) -> Limits {
        match self {
            Self::List => rules.list,
            Self::Load => rules.load,
            Self::Store => rules.store,
        }
    }
}

/// Failures in a row.
#[derive(Debug, Clone)]
pub struct Streak {
    pub since: Instant,
    pub failures: u64,
    pub last_error: String,
}

/// What fails at the moment.
#[derive(Debug, Clone, Default)]
pub struct Streaks([Option<Streak>; 3]);

impl Streaks {
    pub fn failed(&mut self, check: Check, error: &str, now: Instant) {
        let streak = self.0[check as usize].get_or_insert(Streak {
            since: now,
            failures: 0,
            last_error: String::new(),
        });
        streak.failures += 1;
        streak.last_error = shortened(error);
    }

    /// Ends a row of failures and returns it.
    pub fn succeeded(&mut self, check: Check) -> Option<Streak> {
        self.0[check as usize].take()
    }

    pub fn of(&self, check: Check) -> Option<&Streak> {
        self.0[check as usize].as_ref()
    }
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// As `/healthz` shows it, with the database.
    pub name: String,
    pub level: Level,
    pub text: String,
    /// How often it is looked at for the log.
    pub interval: Duration,
}

/// Every check of one database, those that are well too.
pub(super) fn examine(
    database: &str,
    state: &DatabaseState,
    rules: &HealthRules,
    running: Duration,
    now: Instant,
) -> Vec<Finding> {
    let mut findings: Vec<_> = Check::ALL
        .into_iter()
        .map(|check| {
            let limits = check.limits(rules);
            let (level, text) = match state.streaks.of(check) {
                Some(streak) => {
                    let lasting = now.saturating_duration_since(streak.since);
                    let (activity, lasts) = (check.activity(), span(lasting));
                    let text = format!("{activity} has failed for {lasts}: {}", streak.last_error);
                    (limits.level(lasting), text)
                }
                None => (Level::Ok, String::new()),
            };
            Finding {
                name: format!("{database}_{}_failed_duration", check.name()),
                level,
                text,
                interval: limits.interval,
            }
        })
        .collect();
    let starting = rules.report_start && !state.has_started();
    findings.push(Finding {
        name: format!("{database}_startup_in_progress"),
        level: if starting {
            rules.start.level(running)
        } else {
            Level::Ok
        },
        text: format!("still starting after {}", span(running)),
        interval: rules.start.interval,
    });
    findings.extend(state.conditions.iter().map(|(name, condition)| Finding {
        name: format!("{database}_{name}"),
        level: condition.level,
        text: condition.text.clone(),
        interval: rules.load.interval,
    }));
    let blocked = state.blocked_by_corrupt();
    findings.push(Finding {
        name: format!("{database}_corrupt_snapshots"),
        level: if blocked.is_empty() {
            Level::Ok
        } else {
            Level::Warning
        },
        text: format!("the newest snapshot cannot be read of: {}", blocked.join(", ")),
        interval: rules.load.interval,
    });
    findings
}

/// Which checks changed since they were last looked at, each at its own interval: for the log.
#[derive(Debug, Default)]
pub(super) struct Watch(BTreeMap<String, (Instant, Level)>);

impl Watch {
    pub(super) fn changed(&mut self, findings: Vec<Finding>, now: Instant) -> Vec<Finding> {
        findings
            .into_iter()
            .filter(|finding| {
                let (due, level) = self.0.entry(finding.name.clone()).or_insert((now, Level::Ok));
                if now < *due {
                    return false;
                }
                *due = now + finding.interval;
                std::mem::replace(level, finding.level) != finding.level
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: HealthRules = {
        let limits = Limits {
            interval: Duration::from_secs(5),
            warn: Duration::from_secs(60),
            error: Duration::from_secs(300),
        };
        HealthRules {
            list: limits,
            load: limits,
            store: limits,
            start: limits,
            report_start: true,
            start_in_metadata: true,
        }
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn levels(state: &DatabaseState, running: Duration, now: Instant) -> [Level; 4] {
        let findings = examine("main", state, &RULES, running, now);
        [0, 1, 2, 3].map(|index| findings[index].level)
    }

    #[test]
    fn a_step_warns_and_then_fails_once_it_has_failed_without_a_success_for_so_long() {
        use Level::{Error, Ok, Warning};
        let start = Instant::now();
        let mut state = DatabaseState {
            ready: true,
            sent: true,
            ..DatabaseState::default()
        };
        for after in 0..=300 {
            state
                .streaks
                .failed(Check::List, "no route", start + seconds(after));
        }
        for (after, level) in [(0, Ok), (59, Ok), (60, Warning), (299, Warning), (300, Error)] {
            assert_eq!(
                levels(&state, seconds(after), start + seconds(after)),
                [level, Ok, Ok, Ok]
            );
        }
        let text = examine("main", &state, &RULES, seconds(1), start + seconds(61))
            .remove(0)
            .text;
        assert_eq!(text, "listing the store has failed for 1m 1s: no route");
        assert_eq!(state.streaks.succeeded(Check::List).unwrap().failures, 301);
        state.streaks.failed(Check::List, "again", start + seconds(400));
        assert_eq!(levels(&state, seconds(459), start + seconds(459))[0], Ok);
    }

    #[test]
    fn a_start_counts_only_if_it_is_to_be_reported_and_until_it_is_done() {
        let now = Instant::now();
        let mut state = DatabaseState::default();
        assert_eq!(levels(&state, seconds(59), now)[3], Level::Ok);
        assert_eq!(levels(&state, seconds(60), now)[3], Level::Warning);
        assert_eq!(levels(&state, seconds(300), now)[3], Level::Error);
        state.ready = true;
        assert_eq!(
            levels(&state, seconds(300), now)[3],
            Level::Error,
            "nothing is stored yet"
        );
        state.sent = true;
        assert_eq!(levels(&state, seconds(300), now)[3], Level::Ok);
        let silent = HealthRules {
            report_start: false,
            ..RULES
        };
        let findings = examine("main", &DatabaseState::default(), &silent, seconds(900), now);
        assert_eq!(findings[3].level, Level::Ok);
    }

    #[test]
    fn a_change_is_told_once_and_not_more_often_than_the_interval() {
        let start = Instant::now();
        let finding = |level| Finding {
            name: "x".into(),
            level,
            text: String::new(),
            interval: seconds(5),
        };
        let mut watch = Watch::default();
        let mut told = |level, after| {
            !watch
                .changed(vec![finding(level)], start + seconds(after))
                .is_empty()
        };
        assert!(!told(Level::Ok, 0));
        assert!(!told(Level::Error, 4));
        assert!(told(Level::Error, 5));
        assert!(!told(Level::Error, 10));
        assert!(told(Level::Ok, 15));
    }
}
