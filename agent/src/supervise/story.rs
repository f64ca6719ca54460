//! What became of the agent, in words for whoever looks at a probe or at the log.

use std::fmt;
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use nix::sys::signal::Signal;

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    Code(u8),
    Signal(i32),
    /// It could not be started.
    NotStarted(String),
}

impl Cause {
    pub(super) fn of(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }

    /// As a shell has it: 128 and the signal's number for a signal.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Code(code) => ExitCode::from(*code),
            Self::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
            Self::NotStarted(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "signal {signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::NotStarted(error) => write!(f, "it cannot be started: {error}"),
        }
    }
}

/// What the agent does now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Stage {
    /// Nothing yet.
    #[default]
    Beginning,
    /// It runs.
    Running { pid: u32, since: Instant },
    /// It has ended, and will be started again.
    Waiting { until: Instant },
    /// One that an earlier supervisor started has not ended yet.
    Blocked,
}

/// What became of the agent so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) stage: Stage,
    pub(super) ends: u64,
    pub(super) last: Option<Cause>,
}

impl Story {
    /// It has ended, and will be started again at `next`.
    pub(super) fn ended(&mut self, cause: Cause, next: Instant) {
        self.ends += 1;
        self.last = Some(cause);
        self.stage = Stage::Waiting { until: next };
    }

    /// True while there is an agent that can be asked.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    /// A line about it.
    pub(super) fn words(&self, now: Instant) -> String {
        let stage = match self.stage {
            Stage::Beginning => "the agent is being started".to_owned(),
            Stage::Running { pid, since } => {
                let ran = now.saturating_duration_since(since).as_secs();
                format!("the agent runs as process {pid}, for {ran} s")
            }
            Stage::Waiting { until } => {
                // Rounded up: "in 0 s" would be a lie.
                let left = until.saturating_duration_since(now).as_millis().div_ceil(1000);
                format!("next start in {left} s")
            }
            Stage::Blocked => "an earlier agent has not ended yet; the next one waits for it".to_owned(),
        };
        let Some(last) = &self.last else { return stage };
        let times = if self.ends == 1 { "once" } else { "times" };
        let times = if self.ends == 1 {
            times.to_owned()
        } else {
            format!("{} {times}", self.ends)
        };
        format!("the agent ended {times}, last: {last}; {stage}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_probe_says_how_often_the_agent_ended_of_what_and_when_it_is_started_again() {
        let now = Instant::now();
        let mut story = Story::default();
        assert_eq!(story.words(now), "the agent is being started");
        story.stage = Stage::Running { pid: 17, since: now };
        assert!(story.is_running());
        let later = now + Duration::from_secs(3);
        assert_eq!(story.words(later), "the agent runs as process 17, for 3 s");
        story.ended(Cause::Signal(9), now);
        assert!(!story.is_running());
        story.ended(Cause::Signal(9), now);
        story.ended(Cause::Code(1), now + Duration::from_millis(7600));
        assert_eq!(
            story.words(now),
            "the agent ended 3 times, last: exit code 1; next start in 8 s"
        );
        story.stage = Stage::Blocked;
        assert!(story.words(now).ends_with("waits for it"));
    }

    #[test]
    fn the_supervisor_ends_as_its_agent_did() {
        use std::os::unix::process::ExitStatusExt as _;
        let killed = Cause::of(ExitStatus::from_raw(9));
        assert_eq!(killed.to_string(), "signal SIGKILL");
        assert_eq!(killed.exit_code(), ExitCode::from(137));
        let failed = Cause::of(ExitStatus::from_raw(2 << 8));
        assert_eq!(
            (failed.to_string(), failed.exit_code()),
            ("exit code 2".into(), ExitCode::from(2))
        );
        assert_eq!(
            Cause::NotStarted("no memory".into()).exit_code(),
            ExitCode::FAILURE
        );
    }
}
