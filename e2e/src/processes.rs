//! Signals to the processes of a pod. Its containers share one namespace of processes and one user, so the one container can
//! signal what runs in the other, on whatever cluster.

use anyhow::{Context, Result, bail};

use crate::exec;
use crate::handle::Handle;
use crate::names::{AGENT_CONTAINER, POWERDNS_CONTAINER};

/// Each process' ID and command line.
const LIST: &str =
    r"for of in /proc/[0-9]*; do echo ${of#/proc/} $(tr '\0' ' ' <$of/cmdline); done 2>/dev/null";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    PowerDns,
    Agent,
    /// PID 1 of the agent's container, where there is one beside the agent.
    Supervisor,
}

impl Program {
    /// The other container, so that nobody ends the shell that sends the signal.
    fn seen_from(self) -> &'static str {
        match self {
            Self::PowerDns => AGENT_CONTAINER,
            Self::Agent | Self::Supervisor => POWERDNS_CONTAINER,
        }
    }

    fn is(self, command: &[&str]) -> bool {
        let program = command.first().and_then(|path| path.rsplit('/').next());
        let supervises = command.contains(&"supervise");
        match self {
            Self::PowerDns => program == Some("pdns_server"),
            Self::Agent => program == Some("zonetide-agent") && !supervises,
            Self::Supervisor => program == Some("zonetide-agent") && supervises,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Stop,
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// The ID of the program's process in the pod, if it runs.
pub async fn find(cluster: &Handle, pod: &str, program: Program) -> Result<Option<u32>> {
    let list = exec::run_in(cluster, pod, program.seen_from(), &["sh", "-c", LIST]).await?;
    match of(&list, program).as_slice() {
        [] => Ok(None),
        [process] => Ok(Some(*process)),
        several => bail!("{program:?} runs more than once in {pod}: {several:?}"),
    }
}

/// Sends a signal to the program, and gives the ID of its process.
pub async fn signal(cluster: &Handle, pod: &str, program: Program, signal: Signal) -> Result<u32> {
    let process = find(cluster, pod, program).await?;
    let process = process.with_context(|| format!("{program:?} does not run in {pod}"))?;
    signal_process(cluster, pod, program, process, signal).await?;
    Ok(process)
}

/// Sends a signal to that process of the program, which may have ended.
pub async fn signal_process(
    cluster: &Handle,
    pod: &str,
    program: Program,
    process: u32,
    signal: Signal,
) -> Result<()> {
    let command = format!("kill -{} {process}", signal.name());
    exec::run_in(cluster, pod, program.seen_from(), &["sh", "-c", &command]).await?;
    Ok(())
}

fn of(list: &str, program: Program) -> Vec<u32> {
    let processes = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let process = words.next()?.parse().ok()?;
        program.is(&words.collect::<Vec<_>>()).then_some(process)
    });
    processes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart_by_their_command_lines() {
        let list = "1 /pause\n\
                    7 /usr/local/bin/zonetide-agent --config /etc/zonetide/agent.yaml supervise sync\n\
                    12 /usr/local/bin/zonetide-agent --config /etc/zonetide/agent.yaml sync\n\
                    20 pdns_server --config-dir=/etc/zonetide --guardian=no\n\
                    31\n\
                    40 sh -c for of in zonetide-agent pdns_server\n";
        assert_eq!(of(list, Program::Supervisor), [7]);
        assert_eq!(of(list, Program::Agent), [12]);
        assert_eq!(of(list, Program::PowerDns), [20]);
    }
}
