//! Runs the command.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior};

use super::account::{Account, State};
use super::ledger;
use super::line::Reason;
use super::order::Order;

/// Accounts that are kept as a whole, the running one's among them.
const KEPT: usize = 8;
/// Of more that are done it is known that they are: none of them may be done again.
const DONE: usize = 512;

/// From its last word to the end of the command.
const ENDING: Duration = Duration::from_secs(5);

/// How long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a whole run.
    pub run: Duration,
    /// A run that nobody has asked for in this time is stopped, unless it writes already.
    pub interest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            run: Duration::from_secs(30 * 60),
            interest: Duration::from_secs(60),
        }
    }
}

/// Makes room for one more: what is done is the last to be forgotten.
fn forget_some(known: &mut VecDeque<Known>) {
    for old in known.iter_mut().skip(KEPT - 1) {
        old.account.forget_lines();
    }
    let mut others = 0;
    known.retain(|old| {
        let is_done = old.account.state == State::Done;
        others += usize::from(!is_done);
        is_done || others < KEPT
    });
    known.truncate(DONE - 1);
}

/// Carries out one order at a time.
pub struct Restorer {
    program: PathBuf,
    /// What goes before those of an order.
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
    limits: Limits,
    /// Where it is written down what is done.
    folder: PathBuf,
    known: Mutex<VecDeque<Known>>,
}

struct Known {
    account: Account,
    asked: Instant,
}

impl Known {
    fn runs(&self) -> bool {
        matches!(self.account.state, State::Planning | State::Running)
    }
}

impl Restorer {
    /// Runs `program` with these arguments before those of the order, and these variables in its environment besides the own ones. What
    /// is done is known by a file in `folder`.
    pub fn new(
        program: PathBuf,
        arguments: Vec<OsString>,
        variables: Vec<(&'static str, String)>,
        folder: PathBuf,
        limits: Limits,
    ) -> Self {
        let asked = Instant::now();
        let done = ledger::read(&folder).into_iter().take(DONE);
        let known = done.map(|account| Known { account, asked }).collect();
        Self {
            program,
            arguments,
            variables,
            limits,
            folder,
            known: Mutex::new(known),
        }
    }

    /// Begins what is ordered, unless it runs or is done already. None while another one runs.
    ///
    /// The command lasts no longer than the thread that this is called on.
    pub fn take(self: &Arc<Self>, order: Order) -> Option<Account> {
        if let Some(account) = self.account(&order.id)
            && account.state != State::Failed
        {
            return Some(account);
        }
        let account = Account::new(&order.id, order.dry_run, Timestamp::now());
        {
            let mut known = self.known();
            if known.iter().any(Known::runs) {
                return None;
            }
            known.retain(|other| other.account.id != order.id);
            forget_some(&mut known);
            known.push_front(Known {
                account: account.clone(),
                asked: Instant::now(),
            });
        }
        tracing::info!(
            id = order.id,
            at = order.at,
            all = order.all,
            dry_run = order.dry_run,
            "restoring"
        );
        tokio::spawn(self.clone().carry_out(order));
        Some(account)
    }

    /// What came of an order; none where it is not known here.
    pub fn account(&self, id: &str) -> Option<Account> {
        let mut known = self.known();
        let found = known.iter_mut().find(|known| known.account.id == id)?;
        found.asked = Instant::now();
        Some(found.account.clone())
    }

    async fn carry_out(self: Arc<Self>, order: Order) {
        let id = order.id.clone();
        if let Some((reason, why)) = self.run(&order).await {
            self.note(&id, |account| account.fail(reason, &why));
        }
        let now = Timestamp::now();
        let mut accounts: Vec<_> = self.known().iter().map(|known| known.account.clone()).collect();
        if let Some(ended) = accounts.iter_mut().find(|account| account.id == id) {
            ended.end(now);
            tracing::info!(id, state = ?ended.state, failed = ?ended.failed, "the restore has ended");
        }
        // Before anybody is told, who would not ask again.
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || ledger::write(&folder, accounts.iter())).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "cannot write down which restores are done: after a restart they may be done again");
        }
        self.note(&id, |account| account.end(now));
    }

    /// To its end; why it was not heard to say that it is done.
    async fn run(&self, order: &Order) -> Option<(Reason, String)> {
        let mut child = match self.start(order) {
            Ok(child) => child,
            Err(error) => return Some((Reason::Other, format!("cannot start the command: {error}"))),
        };
        if let Some((reason, why)) = self.listen(&order.id, &mut child).await {
            let _ = child.kill().await;
            return Some((reason, why.to_owned()));
        }
        // Whoever has said everything ends by itself.
        let Ok(Ok(status)) = tokio::time::timeout(ENDING, child.wait()).await else {
            let _ = child.kill().await;
            return None;
        };
        let has_result = self.look_at(&order.id, |account| account.result.is_some());
        let why =
            format!("the command ended ({status}) without saying why: the log of the agent may say more");
        (!has_result).then_some((Reason::Ended, why))
    }

    fn start(&self, order: &Order) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .args(order.arguments())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // The own one may be a lock.
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Until it has said everything; otherwise why it is not listened to any longer.
    async fn listen(&self, id: &str, child: &mut Child) -> Option<(Reason, &'static str)> {
        let mut lines = BufReader::new(child.stdout.take()?).lines();
        let end = Instant::now() + self.limits.run;
        let mut look = tokio::time::interval(self.limits.interest / 4);
        // After a while in which nothing here ran, what the command said meanwhile is heard between two looks.
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_abandoned = false;
        loop {
            tokio::select! {
                // The end first, however much the command says; and what it has said before anybody misses it: it may write by now.
                biased;
                () = tokio::time::sleep_until(end) => {
                    return Some((Reason::Slow, "it took too long and was stopped: what was written stays"));
                }
                line = lines.next_line() => match line {
                    Ok(Some(line)) => self.note(id, |account| account.hear(&line)),
                    Ok(None) => return None,
                    Err(_) => return Some((Reason::Other, "what the command says cannot be read")),
                },
                _ = look.tick() => {
                    let is_abandoned = self.is_abandoned(id);
                    if is_abandoned && was_abandoned {
                        return Some((Reason::Abandoned, "nobody asked for it any more before anything was written"));
                    }
                    was_abandoned = is_abandoned;
                }
            }
        }
    }

    fn look_at(&self, id: &str, look: impl FnOnce(&Account) -> bool) -> bool {
        let known = self.known();
        let found = known.iter().find(|known| known.account.id == id);
        found.is_some_and(|known| look(&known.account))
    }

    fn is_abandoned(&self, id: &str) -> bool {
        let known = self.known();
        let found = known.iter().find(|known| known.account.id == id);
        found.is_none_or(|known| {
            known.account.state == State::Planning && known.asked.elapsed() >= self.limits.interest
        })
    }

    fn note(&self, id: &str, change: impl FnOnce(&mut Account)) {
        let mut known = self.known();
        if let Some(found) = known.iter_mut().find(|known| known.account.id == id) {
            change(&mut found.account);
        }
    }

    /// A poisoned lock has its content as it was: nothing here is left half done.
    fn known(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_known_longer_than_what_failed_though_not_line_by_line() {
        let known = |number: usize| {
            let mut account = Account::new(&number.to_string(), false, Timestamp::UNIX_EPOCH);
            account.state = if number.is_multiple_of(2) {
                State::Done
            } else {
                State::Failed
            };
            account.lines = vec!["+ zone".to_owned()];
            let asked = Instant::now();
            Known { account, asked }
        };
        let mut all: VecDeque<_> = (0..100).map(known).collect();
        forget_some(&mut all);
        let count = |is: fn(&Known) -> bool| all.iter().filter(|known| is(known)).count();
        assert_eq!(count(|known| known.account.state == State::Done), 50);
        assert_eq!(count(|known| known.account.state == State::Failed), KEPT - 1);
        assert_eq!(count(|known| !known.account.lines.is_empty()), KEPT - 1);
        let mut all: VecDeque<_> = (0..2000).map(known).collect();
        forget_some(&mut all);
        assert_eq!(all.len(), DONE - 1);
        assert_eq!(all[0].account.id, "0", "the last one is the first to be found");
    }
}
