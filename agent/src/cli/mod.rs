//! The command line.

mod databases;
mod deletions;
mod differences;
mod flush;
mod gate;
mod history;
mod log;
mod open;
mod orders;
mod output;
mod past;
mod peers;
mod pid;
mod refused;
mod restore;
mod serving;
mod shards;
mod snapshots;
mod store;
mod supervise;
mod sync;
mod transfer;
mod zone;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LogFormat, LogTimestamp, Span};
use crate::supervise::die_with_parent;
use output::Output;

/// The variable of the environment that names the configuration file.
const CONFIG: &str = "ZONETIDE_CONFIG";

/// Replicates PowerDNS' LMDB databases through an object store, in the format of PowerDNS Lightning Stream.
///
/// Every server accepts writes, every server gets every change, and the newest write wins. The configuration file is
/// Lightning Stream's.
#[derive(Debug, Parser)]
#[command(name = "zonetide-agent", version)]
pub struct Cli {
    /// The configuration file; ${VAR} in it is replaced by the environment's variables.
    #[arg(
        short,
        long,
        global = true,
        default_value = "lightningstream.yaml",
        env = CONFIG
    )]
    config: PathBuf,
    /// Name of this instance, instead of the one in the file; no other agent may have it.
    #[arg(short, long, global = true)]
    instance: Option<String>,
    /// What to log: error, warn, info, debug, trace, or tracing filter directives.
    #[arg(long, global = true)]
    log_level: Option<String>,
    /// The same as --log-level debug.
    #[arg(long, global = true, conflicts_with = "log_level")]
    debug: bool,
    /// How to log.
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    /// What time to log.
    #[arg(long, global = true, value_enum)]
    log_timestamp: Option<LogTimestamp>,
    /// Log the evaluated configuration at the start, without secrets.
    #[arg(long, global = true)]
    log_config: bool,
    /// Start again as a process of at least this ID, at most 200: for containers without a common PID namespace.
    #[arg(
        long,
        global = true,
        value_name = "PID",
        default_value_t = 0,
        hide_default_value = true
    )]
    minimum_pid: u32,
    /// End with exit code 75 after this time, such as 30s or 5m; `sync` still stores the last change, in 10 seconds.
    #[arg(long, global = true, value_name = "DURATION")]
    timeout: Option<Span>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Store local changes and merge those of other instances, until stopped.
    Sync(sync::Flags),
    /// Merge changes of other instances and never write to the store.
    Receive(sync::Flags),
    /// Keep an agent running and answer probes for it and for PowerDNS: the main process of the agent's container.
    Supervise(supervise::Flags),
    /// Look at the snapshots in the store, and add or remove some.
    #[command(subcommand)]
    Snapshots(snapshots::Command),
    /// Show every entry of a database, as a snapshot would hold it.
    Dump {
        /// Its name in the configuration, such as main or shard.
        database: String,
        #[command(flatten)]
        format: Format,
    },
    /// Show the size of the databases: entries, deletion marks, bytes.
    Stats {
        #[command(flatten)]
        format: Format,
    },
    /// Compare the databases with the newest snapshots in the store; ends with 1 if either lacks something.
    Check {
        #[command(flatten)]
        format: Format,
    },
    /// Show what changed, when, on which server, before and after, from the history in the store.
    History(history::Flags),
    /// Look at a zone as it is or was.
    #[command(subcommand)]
    Zone(zone::Command),
    /// Take changes back: write zones as they were as new changes, which replicate like all others.
    Restore(restore::Flags),
    /// Decide about zones whose deletion is held back because they were so many.
    #[command(subcommand)]
    Deletions(deletions::Command),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show the versions of the agent, of LMDB and of the snapshots.
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration and say whether it is usable. Nothing is opened.
    Check,
}

/// How to print what a command found.
#[derive(Debug, Clone, Copy, Args)]
struct Format {
    /// A table or text for people, or JSON for programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Exit code of a command that `--timeout` ended: sysexits' `EX_TEMPFAIL`.
const TIMED_OUT: u8 = 75;
/// Time that `sync` has to end after that.
const GRACE: Duration = Duration::from_secs(10);

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever keeps the agent from doing it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        die_with_parent()?;
        // Which version this is must be seen even where the configuration is the problem.
        if matches!(self.command, Command::Version) {
            return version().map(|()| ExitCode::SUCCESS);
        }
        // It has to run when the configuration is broken.
        if let Command::Supervise(flags) = self.command {
            let level = if self.debug {
                Some("debug".to_owned())
            } else {
                self.log_level
            };
            log::start(
                level.as_deref().unwrap_or("info"),
                self.log_format.unwrap_or_default(),
                self.log_timestamp.unwrap_or_default(),
            )?;
            let runtime = runtime()?;
            let ended = runtime.block_on(supervise::supervise(flags, &self.config));
            // It waits for nothing that hangs.
            runtime.shutdown_background();
            return ended;
        }
        let mut config = Config::load(&self.config)?;
        if let Some(instance) = self.instance {
            config.instance = instance;
        }
        if config.instance.is_empty() {
            config.instance = hostname();
        }
        anyhow::ensure!(
            !config.instance.is_empty(),
            "this machine has no name: set `instance` or --instance"
        );
        let replicates = matches!(self.command, Command::Sync(_) | Command::Receive(_));
        // Tools say what they find; what goes on below is of interest when replicating.
        let default = if replicates { "info" } else { "warn" };
        let level = if self.debug {
            Some("debug".to_owned())
        } else {
            self.log_level.or(config.log.level.clone())
        };
        log::start(
            &level.unwrap_or_else(|| default.to_owned()),
            self.log_format.unwrap_or(config.log.format),
            self.log_timestamp.unwrap_or(config.log.timestamp),
        )?;
        for note in &config.notes {
            tracing::warn!("{note}");
        }
        if let Some(ended) = pid::ensure(self.minimum_pid)? {
            return Ok(ended);
        }
        if self.log_config {
            tracing::info!("the configuration:\n{}", config.to_yaml()?);
        }
        let deadline = Deadline::start(self.timeout, replicates);
        let runtime = runtime()?;
        let stop = deadline.stop.clone();
        match self.command {
            Command::Sync(flags) => {
                let restorer = orders::restorer(&self.config, &config)?;
                runtime.block_on(sync::replicate(config, flags, Some(restorer), stop))
            }
            Command::Receive(flags) => runtime.block_on(sync::replicate(config, flags, None, stop)),
            Command::Snapshots(command) => runtime.block_on(command.run(&config)),
            Command::Dump { database, format } => databases::dump(&config, &database, format.output),
            Command::Stats { format } => databases::stats(&config, format.output),
            Command::Check { format } => {
                let store = store::open_store(&config.storage)?;
                runtime.block_on(differences::check(&config, &store, format.output))
            }
            Command::History(flags) => runtime.block_on(history::history(&config, flags)),
            Command::Zone(command) => runtime.block_on(command.run(&config)),
            Command::Restore(flags) => runtime.block_on(restore::restore(&config, flags)),
            Command::Deletions(command) => runtime.block_on(command.run(&config)),
            Command::Config(ConfigCommand::Check) => output::say(&format!(
                "# {} is usable.\n{}",
                self.config.display(),
                config.to_yaml()?
            )),
            Command::Version | Command::Supervise(_) => version(),
        }?;
        Ok(deadline.exit_code())
    }
}

/// One thread is enough for what waits: all that takes time on the database runs on others. A change wakes fewer.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn version() -> anyhow::Result<()> {
    let lmdb = heed::lmdb_version();
    let (agent, written) = (env!("CARGO_PKG_VERSION"), crate::snapshot::FORMAT_VERSION);
    let lmdb = format!("{}.{}.{}", lmdb.major, lmdb.minor, lmdb.patch);
    output::say(&format!(
        "zonetide-agent {agent}\nLMDB {lmdb}\nsnapshots: writes format {written}, reads formats 1 to {written}"
    ))
}

/// The time that `--timeout` leaves.
struct Deadline {
    /// Cancelled when it has passed.
    stop: CancellationToken,
    passed: Arc<AtomicBool>,
}

impl Deadline {
    /// Starts the clock. A command that does not replicate changes nothing half: it ends on the spot.
    fn start(timeout: Option<Span>, replicates: bool) -> Self {
        let deadline = Self {
            stop: CancellationToken::new(),
            passed: Arc::default(),
        };
        if let Some(Span(timeout)) = timeout.filter(|timeout| !timeout.0.is_zero()) {
            let (stop, passed) = (deadline.stop.clone(), deadline.passed.clone());
            // A thread, since commands that only read a database block the runtime.
            std::thread::spawn(move || {
                std::thread::sleep(timeout);
                tracing::warn!(?timeout, "the time of --timeout has passed");
                passed.store(true, Ordering::Relaxed);
                stop.cancel();
                if replicates {
                    std::thread::sleep(GRACE);
                }
                std::process::exit(TIMED_OUT.into());
            });
        }
        deadline
    }

    fn exit_code(&self) -> ExitCode {
        if self.passed.load(Ordering::Relaxed) {
            ExitCode::from(TIMED_OUT)
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
