//! What the status of a `DnsRestore` comes to. Pure.

mod words;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use zonetide_crds::{
    ConditionType, DnsRestore, DnsRestoreStatus, PLAN_LINES, Reason, RestorePhase, RestorePlan, RestoreResult,
};

use super::{
    look::Found,
    message::{Account, Failure, State, Why, Written},
};
use crate::reconcile::{
    conditions::{self, Status, Verdict, find},
    notices::Notice,
};

/// What could not be done by then is given up: nobody expects it any more, and it would take back what was written since.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// Between two looks while an agent is at work: at first, and once it takes longer than `BRIEF`.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(2);
const BRIEF: SignedDuration = SignedDuration::from_secs(30);
/// Between two looks while nobody is at work, for what no watch tells: a tenth of its age, and no less and no more than these.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What is killed so often is killed the next time, too.
const MOST_RUNS: i64 = 3;

/// Of what is missing, so much is told.
const MOST_MISSING: usize = 10;

/// The new status, and when to look again; never, if that is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Next {
    pub(super) status: DnsRestoreStatus,
    pub(super) wait: Option<Duration>,
}

/// Nothing is done any more.
pub(super) fn is_final(phase: RestorePhase) -> bool {
    matches!(phase, RestorePhase::Done | RestorePhase::Failed)
}

/// For so long somebody has waited for it.
fn age(restore: &DnsRestore, now: Timestamp) -> SignedDuration {
    let status = restore.status.iter().flat_map(|status| &status.conditions);
    let looked = status
        .filter(|condition| condition.type_ == ConditionType::Ready.as_str())
        .map(|ready| ready.last_transition_time.0);
    let made = restore.metadata.creation_timestamp.iter().map(|made| made.0);
    let first = looked.chain(made).min().unwrap_or(now);
    now.duration_since(first)
}

/// It is not begun any more: it would take back what was written since.
pub(super) fn is_late(restore: &DnsRestore, now: Timestamp) -> bool {
    age(restore, now) >= PATIENCE
}

/// It is not begun again where it was killed, or where nothing is known of it any more.
pub(super) fn is_spent(restore: &DnsRestore) -> bool {
    let begun = restore.status.as_ref().map_or(0, |status| status.begun);
    begun >= MOST_RUNS
}

/// It is not begun again.
pub(super) fn is_for_good(restore: &DnsRestore, failure: &Failure) -> bool {
    failure.reason.is_final() || failure.reason == Why::Ended && is_spent(restore)
}

fn pause(age: SignedDuration) -> Duration {
    let age = Duration::try_from(age).unwrap_or_default();
    (age / 10).clamp(PAUSES.0, PAUSES.1)
}

pub(super) fn next(restore: &DnsRestore, found: &Found, now: Timestamp) -> Next {
    let old = restore.status.clone().unwrap_or_default();
    let before = find(&old.conditions, ConditionType::Ready);
    let age = age(restore, now);
    let mut status = old.clone();
    let mut phase = old.phase.unwrap_or_default();
    let (mut reason, mut message) = words::pending(&restore.spec, found);
    let (mut wait, mut is_at_work) = (pause(age), false);
    match found {
        Found::Told {
            server,
            account,
            begins,
        } => {
            status.server = Some(server.clone());
            // What is known was begun, whether or not the answer to the order arrived.
            status.begun = (old.begun + i64::from(*begins)).max(1);
            status.plan = plan(old.plan.filter(|_| phase == RestorePhase::Running), account);
            (reason, message) = told(restore, server, account, status.plan.as_ref());
            if *begins && old.begun > 0 && account.state == State::Planning {
                (reason, message) = (Reason::Interrupted, words::begun_again(server));
            }
            if account.state == State::Done {
                status.result = Some(result(restore.spec.dry_run, &status, account, server));
            }
            phase = phase_of(restore, account, phase);
            wait = if age < BRIEF { SOON } else { LATER };
            is_at_work = matches!(account.state, State::Planning | State::Running);
        }
        Found::Away {
            server,
            ordered: true,
            ..
        } => status.server = Some(server.clone()),
        Found::Late => message = before.map_or(message, |ready| ready.message.clone()),
        Found::ClusterGoes | Found::Unfit { .. } | Found::Forgotten { .. } => phase = RestorePhase::Failed,
        _ => {}
    }
    if let Some(trouble) = before
        .and_then(still_tried)
        .filter(|_| reason == Reason::Planning)
    {
        (reason, message) = trouble;
    }
    let may_have_written =
        phase == RestorePhase::Running || matches!(found, Found::Away { ordered: true, .. });
    if !is_final(phase) && !is_at_work && age >= PATIENCE {
        message = words::given_up(&message, may_have_written);
        (phase, reason) = (RestorePhase::Failed, Reason::GivenUp);
    }
    status.phase = Some(phase);
    status.zones = Some(words::scope(&restore.spec));
    status.observed_generation = restore.metadata.generation;
    let verdicts = verdicts(phase, reason, message);
    status.conditions = conditions::update(&old.conditions, verdicts, &[], status.observed_generation, now);
    Next {
        status,
        wait: (!is_final(phase)).then_some(wait),
    }
}

fn phase_of(restore: &DnsRestore, account: &Account, before: RestorePhase) -> RestorePhase {
    let has_left = account.result.is_some_and(|result| result.left > 0);
    let failed = account.failed.as_ref();
    match account.state {
        // It has written some of it already, and was begun again.
        State::Planning if before == RestorePhase::Running => before,
        State::Planning => RestorePhase::Planning,
        State::Running => RestorePhase::Running,
        State::Done if has_left => RestorePhase::Failed,
        State::Done => RestorePhase::Done,
        State::Failed if failed.is_some_and(|failed| is_for_good(restore, failed)) => RestorePhase::Failed,
        // It is begun again.
        State::Failed => before,
    }
}

/// What another try is made for stays to be read while that lasts.
fn still_tried(ready: &Condition) -> Option<(Reason, String)> {
    let reasons = [Reason::ObjectStoreNotReady, Reason::Interrupted];
    let reason = reasons
        .into_iter()
        .find(|reason| reason.as_str() == ready.reason)?;
    Some((reason, ready.message.clone()))
}

fn verdicts(phase: RestorePhase, reason: Reason, message: String) -> Vec<Verdict> {
    let ready = Verdict {
        type_: ConditionType::Ready,
        status: if phase == RestorePhase::Done {
            Status::True
        } else {
            Status::False
        },
        reason,
        message,
    };
    let stalled = (phase == RestorePhase::Failed).then(|| Verdict {
        type_: ConditionType::Stalled,
        status: Status::True,
        ..ready.clone()
    });
    stalled.into_iter().chain([ready]).collect()
}

/// What an agent says, in words.
fn told(
    restore: &DnsRestore,
    server: &str,
    account: &Account,
    plan: Option<&RestorePlan>,
) -> (Reason, String) {
    match (account.state, &account.failed) {
        (State::Failed, failed) => {
            let failed = failed.clone().unwrap_or_default();
            if failed.reason == Why::Ended && is_spent(restore) {
                return words::spent(&restore.spec, server);
            }
            words::failed(&restore.spec, failed.reason, &words::cut(&failed.message))
        }
        (State::Planning, _) => (Reason::Planning, words::planning(server)),
        (State::Running, _) => (Reason::Restoring, words::running(server, plan)),
        (State::Done, _) => words::done(&restore.spec, server, plan, account.result.unwrap_or_default()),
    }
}

/// That of the first run stays once something was written: another one begins where that ended.
fn plan(first: Option<RestorePlan>, account: &Account) -> Option<RestorePlan> {
    if first.is_some() {
        return first;
    }
    let amount = account.plan;
    let amount = amount.or_else(|| (!account.notes.is_empty()).then(Default::default))?;
    Some(RestorePlan {
        lines: account
            .lines
            .iter()
            .take(PLAN_LINES)
            .map(|line| words::cut(line))
            .collect(),
        total_lines: account.total_lines,
        zones: amount.zones,
        rrsets: amount.rrsets,
        missing: account
            .notes
            .iter()
            .take(MOST_MISSING)
            .map(|note| words::cut(note))
            .collect(),
    })
}

fn result(dry_run: bool, status: &DnsRestoreStatus, account: &Account, server: &str) -> RestoreResult {
    let Written { written, left } = account.result.unwrap_or_default();
    // A run before this one may have written something.
    let wrote_nothing = written == 0 && left > 0 && status.begun == 1;
    let changed = status.plan.as_ref().filter(|_| !dry_run && !wrote_nothing);
    RestoreResult {
        zones: changed.map_or(0, |plan| plan.zones),
        rrsets: changed.map_or(0, |plan| plan.rrsets),
        written,
        left,
        server: server.to_owned(),
        started_at: account.started_at.clone(),
        finished_at: account.finished_at.clone(),
    }
}

/// What is worth an Event: each new reason.
pub(super) fn notices(old: &DnsRestoreStatus, new: &DnsRestoreStatus) -> Vec<Notice> {
    let before = find(&old.conditions, ConditionType::Ready).map(|ready| ready.reason.as_str());
    let Some(ready) = find(&new.conditions, ConditionType::Ready) else {
        return Vec::new();
    };
    if before == Some(ready.reason.as_str()) {
        return Vec::new();
    }
    let is_step = [
        Reason::Planning,
        Reason::Restoring,
        Reason::AnotherRuns,
        Reason::Restored,
        Reason::Planned,
    ];
    vec![Notice {
        warning: !is_step.map(Reason::as_str).contains(&ready.reason.as_str()),
        reason: ready.reason.clone(),
        note: ready.message.clone(),
        action: "Restore",
    }]
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
