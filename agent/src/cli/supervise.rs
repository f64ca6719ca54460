//! `supervise`: how its options become a supervisor.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::config::Span;
use crate::supervise::{Settings, run};

/// Shorter than this, a busy agent would count as one that hangs.
const SHORTEST_PATIENCE: Span = Span::seconds(2);

/// What `supervise` may be told.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example, as the operator has it in each pod:

  zonetide-agent --log-format json supervise -- --config /etc/zonetide/agent.yaml sync

The agent is started again whenever it ends, after 1, 2, 4 ... 30 seconds; an agent that has run for a minute starts with 1
again. SIGTERM and SIGINT are handed on to it, and the supervisor ends when it has, with its exit code. A supervisor that is
killed takes its agent along. The configuration is read by the agent alone: how the supervisor itself logs say --log-level
and --log-format before `supervise`.

Probes, all by GET:

  /startup          503 with the agent's words until it has merged what it starts with (its /readyz), or PowerDNS answers
  /livez            200 as long as the supervisor works, whatever the agent does; it says what that is
  /dns              503 when PowerDNS does not answer over UDP, refuses TCP, or fails for all of up to five of its zones
  /dns/livez        503 when PowerDNS answers nothing at all
  /drain?seconds=N  200 after N seconds, at most 30: for a preStop hook of PowerDNS' container
  /draining         from then on /dns is 503: for a preStop hook of the agent's container, with the header Zonetide-Drain")]
pub(super) struct Flags {
    /// Where to answer probes: an address of its own, apart from the agent's.
    #[arg(long, value_name = "ADDRESS", default_value = ":8501")]
    listen: String,
    /// Where PowerDNS answers, over UDP and TCP. Where 127.0.0.1 refuses, the loopback of IPv6 is asked.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5300")]
    dns: SocketAddr,
    /// Where the agent has its endpoints: `http.address` of its configuration.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8500")]
    agent: SocketAddr,
    /// PowerDNS' `socket-dir`. The agent leaves names of zones there to ask PowerDNS about, and the directory is locked, so that
    /// there is one agent at a time.
    #[arg(long, value_name = "DIRECTORY", default_value = "/run/pdns")]
    socket_dir: PathBuf,
    /// Start an agent anew that has not said for so long that it lives.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    patience: Span,
    /// What the header Zonetide-Drain of /draining must hold. Without it that path is not there.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ZONETIDE_DRAIN_TOKEN",
        hide_env_values = true
    )]
    drain_token: Option<String>,
    /// The agent's own command line, behind `--`.
    #[arg(last = true, required = true, value_name = "AGENT")]
    agent_arguments: Vec<OsString>,
}

/// Supervises. The configuration file is the agent's; it may be named before `supervise` as well.
pub(super) async fn supervise(flags: Flags, config: &Path) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        flags.patience.0 >= SHORTEST_PATIENCE.0,
        "--patience: {} is too short: set at least {SHORTEST_PATIENCE}",
        flags.patience
    );
    let settings = Settings {
        listen: flags.listen,
        dns: flags.dns,
        agent: flags.agent,
        socket_dir: flags.socket_dir,
        patience: flags.patience.0,
        drain_token: flags.drain_token.filter(|token| !token.is_empty()),
        arguments: flags.agent_arguments,
        environment: vec![(super::CONFIG, config.into())],
    };
    run(settings).await
}
