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
use tokio::time::Instant;

use super::account::{Account, State};
use super::line::Reason;
use super::order::Order;

/// Accounts that are kept, the running one's among them.
const KEPT: usize = 8;

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

/// Carries out one order at a time.
pub struct Restorer {
    program: PathBuf,
    /// What goes before those of an order.
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
    limits: Limits,
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
    /// Runs `program` with these arguments before those of the order, and these variables in its environment besides the own ones.
    pub fn new(
        program: PathBuf,
        arguments: Vec<OsString>,
        variables: Vec<(&'static str, String)>,
        limits: Limits,
    ) -> Self {
        Self {
            program,
            arguments,
            variables,
            limits,
            known: Mutex::default(),
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
            known.truncate(KEPT - 1);
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
        match self.start(&order) {
            Ok(mut child) => {
                if let Some((reason, why)) = self.listen(&id, &mut child).await {
                    let _ = child.start_kill();
                    self.note(&id, |account| account.fail(reason, why));
                }
                // Whoever has said everything ends by itself.
                if tokio::time::timeout(ENDING, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
            }
            Err(error) => {
                let why = format!("cannot start the command: {error}");
                self.note(&id, |account| account.fail(Reason::Other, &why));
            }
        }
        self.note(&id, |account| account.end(Timestamp::now()));
        if let Some(known) = self.known().iter().find(|known| known.account.id == id) {
            let Account { state, failed, .. } = &known.account;
            tracing::info!(id, ?state, ?failed, "the restore has ended");
        }
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
        loop {
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) => self.note(id, |account| account.hear(&line)),
                    Ok(None) => return None,
                    Err(_) => return Some((Reason::Other, "what the command says cannot be read")),
                },
                () = tokio::time::sleep_until(end) => {
                    return Some((Reason::Slow, "it took too long and was stopped: what was written stays"));
                }
                _ = look.tick() => if self.is_abandoned(id) {
                    return Some((Reason::Abandoned, "nobody asked for it any more before anything was written"));
                }
            }
        }
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
