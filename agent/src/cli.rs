//! The command line, and how a configuration becomes running replicas.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Lmdb, LogFormat, Storage, StorageType};
use crate::lmdb::{Environment, LmdbErrorKind, OpenOptions};
use crate::status::{DatabaseStatus, Metrics, Status, serve};
use crate::store::{ObjectBackend, S3Options, Store, open_s3};
use crate::sync::{Origin, Pace, Replica, Retention, Sweep, SweepPace, run};

/// Time that the last change may take to reach the store at the end; Kubernetes gives the pod a minute.
const SHUTDOWN: Duration = Duration::from_secs(40);

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum Command {
    /// Store local changes and merge those of other instances, until stopped.
    Sync,
    /// Merge changes of other instances and never write to the store.
    Receive,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever keeps the agent from starting, or makes it give up.
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
        let level = self
            .log_level
            .or(config.log.level.clone())
            .unwrap_or_else(|| "info".to_owned());
        start_log(&level, self.log_format.unwrap_or(config.log.format))?;
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(replicate(config, self.command == Command::Receive))
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

async fn replicate(config: Config, receive_only: bool) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let store = open_store(&config.storage)?;
    let metrics = Metrics::new();
    let statuses: BTreeMap<_, _> = config
        .lmdbs
        .keys()
        .map(|name| {
            (
                name.clone(),
                Arc::new(DatabaseStatus::new(metrics.database(name))),
            )
        })
        .collect();
    let mut tasks = JoinSet::new();
    if !config.http.address.is_empty() {
        let address = match config.http.address.strip_prefix(':') {
            Some(port) => format!("[::]:{port}"),
            None => config.http.address.clone(),
        };
        let listener = listen(&address).await?;
        let (status, stop) = (Status::new(statuses.clone()), shutdown.clone());
        tasks.spawn(async move {
            serve(listener, status, metrics, stop)
                .await
                .context("cannot serve HTTP")
        });
    }
    let pace = pace(&config, receive_only);
    for (name, lmdb) in config.lmdbs {
        let origin = Origin {
            database: name.clone(),
            instance: config.instance.clone(),
            hostname: hostname(),
        };
        let (store, pace, shutdown) = (store.clone(), pace.clone(), shutdown.clone());
        let status = statuses[&name].clone();
        tasks.spawn(async move {
            let wait = pace.lmdb_poll;
            let opening = open_when_there(&name, &lmdb, &status, wait);
            let Some(env) = shutdown.run_until_cancelled(opening).await else {
                return Ok(());
            };
            let replica = Replica::new(Arc::new(env?), store, status, origin, Arc::new(now));
            run(replica, pace, shutdown)
                .await
                .with_context(|| format!("database {name}"))
        });
    }
    // The first that ends with an error ends the others, each of which stores its last change.
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a task of the agent crashed").flatten();
        if let (Ok(()), Err(error)) = (&result, ended) {
            result = Err(error);
            shutdown.cancel();
        }
    }
    result
}

/// Listens on an address; where the machine has no IPv6, `[::]` means all of IPv4.
async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let listener = match TcpListener::bind(address).await {
        Err(error) if error.raw_os_error().is_some() && address.starts_with("[::]:") => {
            TcpListener::bind(address.replace("[::]", "0.0.0.0")).await
        }
        other => other,
    };
    listener.with_context(|| format!("http.address: cannot listen on {address}"))
}

fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

fn stop_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping: the last change is stored first");
        shutdown.cancel();
    });
    Ok(())
}

/// Opens a database; where it must not be made, waits for PowerDNS to make it.
async fn open_when_there(
    name: &str,
    lmdb: &Lmdb,
    status: &DatabaseStatus,
    wait: Duration,
) -> anyhow::Result<Environment> {
    let options = OpenOptions {
        map_size: lmdb.options.map_size.0,
        max_dbs: lmdb.options.max_dbs,
        create: lmdb.options.create,
        no_subdir: lmdb.options.no_subdir,
    };
    let mut told = false;
    loop {
        match Environment::open(&lmdb.path, &options) {
            Ok(env) => {
                let (txn, readers) = (env.last_txn_id(), env.max_readers());
                tracing::info!(database = %name, path = %lmdb.path.display(), txn, readers, "opened");
                return Ok(env);
            }
            Err(error) if matches!(error.kind, LmdbErrorKind::Missing) && !options.create => {
                status.failed("open", &error);
                if !told {
                    tracing::info!(database = %name, %error, "waiting for it");
                    told = true;
                }
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot open database {name}")),
        }
    }
}

fn pace(config: &Config, receive_only: bool) -> Pace {
    let cleanup = &config.storage.cleanup;
    let retention = Retention {
        must_keep: cleanup.must_keep_interval.0,
        remove_old_instances: cleanup.remove_old_instances_interval.0,
    };
    let sweeper = &config.sweeper;
    let sweep = SweepPace {
        first: sweeper.first_interval.0,
        interval: sweeper.interval.0,
        rules: Sweep {
            retention: sweeper.retention(),
            load_cutoff: sweeper.load_cutoff(),
            lock: sweeper.lock_duration.0,
            release: sweeper.release_duration.0,
        },
    };
    Pace {
        lmdb_poll: config.lmdb_poll_interval.0,
        storage_poll: config.storage_poll_interval.0,
        retry: config.storage_retry_interval.0,
        retry_limit: config.retry_limit(),
        force_snapshot: config.storage_force_snapshot_interval.0,
        receive_only,
        cleanup: cleanup.enabled.then_some((cleanup.interval.0, retention)),
        sweep: sweeper.enabled.then_some(sweep),
        shutdown: SHUTDOWN,
    }
}

fn open_store(storage: &Storage) -> anyhow::Result<Arc<dyn Store>> {
    let options = &storage.options;
    let prefix = &options.global_prefix;
    Ok(Arc::new(match storage.kind {
        StorageType::Memory => ObjectBackend::new(Arc::new(InMemory::new()), prefix),
        StorageType::Fs => {
            let root = &options.root_path;
            std::fs::create_dir_all(root)
                .and_then(|()| std::fs::read_dir(root).map(drop))
                .with_context(|| format!("storage.options.root_path: cannot use {}", root.display()))?;
            ObjectBackend::new(Arc::new(LocalFileSystem::new_with_prefix(root)?), prefix)
        }
        StorageType::S3 => {
            let files = (options.access_key_file.clone(), options.secret_key_file.clone());
            open_s3(&S3Options {
                bucket: options.bucket.clone(),
                endpoint_url: options.endpoint_url.clone(),
                region: options.region.clone(),
                access_key: options.access_key.clone(),
                secret_key: options.secret_key.clone(),
                key_files: (!files.0.as_os_str().is_empty()).then_some(files),
                secrets_refresh_interval: options.secrets_refresh_interval.0,
                global_prefix: prefix.clone(),
                client_timeout: options.client_timeout.0,
                dial_timeout: options.dial_timeout.0,
            })?
        }
    }))
}
