//! The agent as a child: started, started again when it ends or hangs, and told to stop when the supervisor is.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::spawn_blocking;

use super::Settings;
use super::agent::ask;
use super::alone::{Lock, lock};
use super::backoff::Backoff;
use super::parent::PARENT;
use super::pulse::Pulse;
use super::story::{Cause, Stage, Story};

/// An agent is asked so often, within its patience, whether it lives.
const BEATS: u32 = 12;
/// Time for one that hangs to end by itself.
const LAST_CHANCE: Duration = Duration::from_secs(10);
/// Between two looks at whether an earlier agent has ended.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The one that keeps an agent running.
pub(super) struct Keeper {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    agent: SocketAddr,
    socket_dir: PathBuf,
    patience: Duration,
    story: Arc<Mutex<Story>>,
    told: Told,
}

impl Keeper {
    /// # Errors
    /// That the own program is not found, or signals cannot be listened for.
    pub(super) fn new(settings: &Settings, story: Arc<Mutex<Story>>) -> anyhow::Result<Self> {
        Ok(Self {
            program: std::env::current_exe().context("cannot find the own program, to start the agent")?,
            arguments: settings.arguments.clone(),
            environment: settings.environment.clone(),
            agent: settings.agent,
            socket_dir: settings.socket_dir.clone(),
            patience: settings.patience,
            story,
            told: Told {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
        })
    }

    /// Keeps an agent running until this process is told to stop. Returns how the last one ended. To be awaited on the main
    /// thread, with which the agent ends.
    pub(super) async fn keep(mut self) -> ExitCode {
        let mut backoff = Backoff::default();
        loop {
            let Some(input) = self.wait_for_place().await else {
                return self.last_exit_code();
            };
            let started = Instant::now();
            let (cause, stopping) = match self.start(input) {
                Ok(child) => self.attend(child, started).await,
                Err(error) => (Cause::NotStarted(error.to_string()), false),
            };
            let ran = started.elapsed();
            if stopping {
                tracing::info!(%cause, ?ran, "the agent has stopped");
                return cause.exit_code();
            }
            let wait = backoff.after(ran);
            let next = Instant::now() + wait;
            let ends = {
                let mut story = self.story();
                story.ended(cause.clone(), next);
                story.ends
            };
            tracing::error!(%cause, ?ran, ends, next_start_in = ?wait, "the agent has ended");
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                _ = self.told.next() => return cause.exit_code(),
            }
        }
    }

    /// What the agent gets as its input: the lock, or nothing where there is nothing to lock. `None` when this process was
    /// told to stop meanwhile.
    async fn wait_for_place(&mut self) -> Option<Stdio> {
        let mut said = false;
        loop {
            // On another thread: a disk that hangs must not hold up probes.
            let directory = self.socket_dir.clone();
            let locked = tokio::select! {
                locked = spawn_blocking(move || lock(&directory)) => locked,
                _ = self.told.next() => return None,
            };
            match locked.unwrap_or_else(|error| Lock::None(error.into())) {
                Lock::Held(directory) => return Some(Stdio::from(directory)),
                Lock::None(error) => {
                    let directory = self.socket_dir.display();
                    tracing::warn!(%directory, %error, "cannot lock the directory of PowerDNS' control socket");
                    return Some(Stdio::null());
                }
                Lock::Taken => {}
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!("an earlier agent has not ended yet: waiting for it");
                self.story().stage = Stage::Blocked;
            }
            tokio::select! {
                () = tokio::time::sleep(LOCK_POLL) => {}
                _ = self.told.next() => return None,
            }
        }
    }

    fn start(&self, input: Stdio) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(PARENT, std::process::id().to_string())
            .stdin(input)
            .spawn()
    }

    /// Waits for the agent's end. Returns how it ended, and whether this process was told to stop.
    async fn attend(&mut self, mut child: Child, since: Instant) -> (Cause, bool) {
        let pid = child.id().unwrap_or_default();
        self.story().stage = Stage::Running { pid, since };
        tracing::info!(pid, "the agent is started");
        let (agent, patience) = (self.agent, self.patience);
        let mut hang = std::pin::pin!(hangs(agent, patience));
        let (mut stopping, mut hanging) = (false, false);
        // When one that hangs is killed.
        let mut deadline = None;
        loop {
            let too_late = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = child.wait() => {
                    let cause = status.map_or_else(|error| Cause::NotStarted(error.to_string()), Cause::of);
                    return (cause, stopping);
                }
                signal = self.told.next() => {
                    tracing::info!(%signal, "stopping: the agent stores its last change first");
                    stopping = true;
                    tell(&child, signal);
                }
                why = &mut hang, if !stopping && !hanging => {
                    hanging = true;
                    tracing::error!(pid, ?patience, "the agent hangs, it is started anew: {why}");
                    tell(&child, Signal::SIGTERM);
                    deadline = Some(tokio::time::Instant::now() + LAST_CHANCE);
                }
                () = too_late => {
                    deadline = None;
                    tracing::error!(pid, "the agent does not end, it is killed");
                    if let Err(error) = child.start_kill() {
                        tracing::warn!(pid, %error, "cannot kill the agent");
                    }
                }
            }
        }
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_exit_code(&self) -> ExitCode {
        self.story()
            .last
            .as_ref()
            .map_or(ExitCode::SUCCESS, Cause::exit_code)
    }
}

/// Sends a signal to a child, also to one that was stopped.
fn tell(child: &Child, signal: Signal) {
    // It has not been waited for, so the ID is still its own.
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    for signal in [signal, Signal::SIGCONT] {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Ends when an agent has not said that it lives for `patience`, with what it says or why it says nothing.
async fn hangs(agent: SocketAddr, patience: Duration) -> String {
    let mut pulse = Pulse::new(patience);
    let interval = patience / BEATS;
    loop {
        tokio::time::sleep(interval).await;
        let asked = Instant::now();
        let said = ask(agent, "/livez", interval).await;
        if pulse.beat(said.is_ok(), asked, Instant::now()) {
            return said.err().unwrap_or_default();
        }
    }
}

/// What this process is told.
struct Told {
    terminate: Signals,
    interrupt: Signals,
}

impl Told {
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.interrupt.recv() => Signal::SIGINT,
        }
    }
}
