//! The command line.

mod databases;
mod differences;
mod output;
mod snapshots;
mod store;
mod sync;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, LogFormat};
use output::Output;

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
        env = "ZONETIDE_CONFIG"
    )]
    config: PathBuf,
    /// Name of this instance, instead of the one in the file; no other agent may have it.
    #[arg(short, long, global = true)]
    instance: Option<String>,
    /// What to log: error, warn, info, debug, trace, or tracing filter directives.
    #[arg(long, global = true)]
    log_level: Option<String>,
    /// How to log.
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Store local changes and merge those of other instances, until stopped.
    Sync,
    /// Merge changes of other instances and never write to the store.
    Receive,
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
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
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

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever keeps the agent from doing it.
    pub fn run(self) -> anyhow::Result<()> {
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
        let replicates = matches!(self.command, Command::Sync | Command::Receive);
        // Tools say what they find; what goes on below is of interest when replicating.
        let level = if replicates { "info" } else { "warn" };
        let level = self
            .log_level
            .or(config.log.level.clone())
            .unwrap_or_else(|| level.to_owned());
        start_log(&level, self.log_format.unwrap_or(config.log.format))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        match self.command {
            Command::Sync => runtime.block_on(sync::replicate(config, false)),
            Command::Receive => runtime.block_on(sync::replicate(config, true)),
            Command::Snapshots(command) => runtime.block_on(command.run(&config)),
            Command::Dump { database, format } => databases::dump(&config, &database, format.output),
            Command::Stats { format } => databases::stats(&config, format.output),
            Command::Check { format } => {
                let store = store::open_store(&config.storage)?;
                runtime.block_on(differences::check(&config, &store, format.output))
            }
            Command::Config(ConfigCommand::Check) => {
                println!("{} is usable.\n{config:#?}", self.config.display());
                Ok(())
            }
        }
    }
}

fn start_log(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .with_context(|| format!("{level:?} is no log level: use error, warn, info, debug or trace"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
