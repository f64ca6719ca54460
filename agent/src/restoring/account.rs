//! What came of a restore so far, of a size that is bounded.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::line::{Done, Failure, Line, Plan, Reason};

/// Lines of the difference that are kept.
const LINES: usize = 100;
/// Notes of what is missing that are kept.
const NOTES: usize = 10;
/// Of each of them, and of a message, characters.
const LENGTH: usize = 300;

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is looked at what there was, and what differs.
    #[default]
    Planning,
    /// It is written.
    Running,
    Done,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub id: String,
    pub state: State,
    /// The first lines of the difference, and how many there are of them.
    pub lines: Vec<String>,
    pub total_lines: u64,
    /// What is missing in the history.
    pub notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Done>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    pub started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(skip)]
    is_shown_only: bool,
}

impl Account {
    /// Only whether it is done, and what that came to, is of use later.
    pub(super) fn forget_lines(&mut self) {
        self.lines = Vec::new();
        self.notes = Vec::new();
    }

    pub(super) fn new(id: &str, is_shown_only: bool, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            state: State::Planning,
            lines: Vec::new(),
            total_lines: 0,
            notes: Vec::new(),
            plan: None,
            result: None,
            failed: None,
            started_at: now,
            finished_at: None,
            is_shown_only,
        }
    }

    /// Takes note of what the command says. What is none of its lines says nothing.
    pub(super) fn hear(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Line::Note(note)) if self.notes.len() < NOTES => self.notes.push(cut(&note)),
            Ok(Line::Change(change)) => {
                self.total_lines += 1;
                if self.lines.len() < LINES {
                    self.lines.push(cut(&change));
                }
            }
            Ok(Line::Plan(plan)) => {
                self.plan = Some(plan);
                if !self.is_shown_only {
                    self.state = State::Running;
                }
            }
            Ok(Line::Result(done)) => self.result = Some(done),
            Ok(Line::Failed(failure)) => self.fail(failure.reason, &failure.message),
            Ok(Line::Note(_)) | Err(_) => {}
        }
    }

    /// The first reason counts.
    pub(super) fn fail(&mut self, reason: Reason, message: &str) {
        self.failed.get_or_insert(Failure {
            reason,
            message: cut(message),
        });
    }

    /// The command has ended.
    pub(super) fn end(&mut self, now: Timestamp) {
        if self.result.is_none() {
            self.fail(Reason::Ended, "the command ended without saying why");
        }
        self.state = if self.failed.is_some() {
            State::Failed
        } else {
            State::Done
        };
        self.finished_at = Some(now);
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn begun(is_shown_only: bool) -> Account {
        Account::new("1", is_shown_only, Timestamp::UNIX_EPOCH)
    }

    fn after(account: &mut Account, lines: &[&str]) -> State {
        for line in lines {
            account.hear(line);
        }
        account.state
    }

    const PLAN: &str = r#"{"plan":{"zones":1,"rrsets":2,"entries":7}}"#;
    const RESULT: &str = r#"{"result":{"written":7,"left":0}}"#;

    #[test]
    fn it_is_planned_until_the_plan_is_there_and_done_once_the_command_has_ended() {
        let mut account = begun(false);
        assert_eq!(after(&mut account, &[r#"{"change":"+ a"}"#, ""]), State::Planning);
        assert_eq!(after(&mut account, &[PLAN]), State::Running);
        assert_eq!(after(&mut account, &[RESULT]), State::Running);
        account.end(Timestamp::UNIX_EPOCH);
        let shown = serde_json::to_value(&account).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": "1", "state": "done", "lines": ["+ a"], "totalLines": 1, "notes": [],
                "plan": {"zones": 1, "rrsets": 2, "entries": 7}, "result": {"written": 7, "left": 0},
                "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "1970-01-01T00:00:00Z",
            })
        );
        assert_eq!(after(&mut begun(true), &[PLAN]), State::Planning);
    }

    #[test]
    fn what_failed_says_why_and_so_does_what_only_ended() {
        let mut account = begun(false);
        after(
            &mut account,
            &[r#"{"failed":{"reason":"Gaps","message":"something is missing"}}"#],
        );
        account.end(Timestamp::UNIX_EPOCH);
        let failed = account.failed.unwrap();
        assert_eq!(
            (account.state, failed.reason, &*failed.message),
            (State::Failed, Reason::Gaps, "something is missing")
        );
        let mut killed = begun(false);
        after(&mut killed, &[PLAN]);
        killed.end(Timestamp::UNIX_EPOCH);
        assert_eq!(killed.failed.unwrap().reason, Reason::Ended);
    }

    #[test]
    fn however_much_the_command_says_what_is_kept_is_bounded() {
        let mut account = begun(false);
        let long = "ä".repeat(1_000);
        for _ in 0..1000 {
            account.hear(&serde_json::to_string(&Line::Change(long.clone())).unwrap());
            account.hear(&serde_json::to_string(&Line::Note(long.clone())).unwrap());
        }
        account.fail(Reason::Other, &long);
        assert_eq!(account.total_lines, 1000);
        assert!(serde_json::to_vec(&account).unwrap().len() < 80 << 10);
    }
}
