//! `sync` and `receive`: how a configuration becomes running replicas.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::flush::{Flushing, directory_of_samples, flush_for};
use super::gate::Gate;
use super::hostname;
use super::open::open_when_possible;
use super::peers::{Line, connect, door, let_peers_in, start_peers};
use super::serving::{answer_for, serving};
use super::shards::{Shared, schemas};
use super::store::open_store;
use crate::config::{Config, Lmdb};
use crate::lmdb::Environment;
use crate::powerdns::{Flusher, samples};
use crate::restoring::Restorer;
use crate::serve::listen;
use crate::smaps::Smaps;
use crate::status::{
    DatabaseStatus, Identity, Metrics, PowerDnsStatus, ServingStatus, Status, census, serve, watch_health,
};
use crate::store::Store;
use crate::sync::serving::Serving;
use crate::sync::{Cleanup, Origin, Pace, Replica, Retention, Schemas, Sweep, SweepPace, Ways, run};

/// Time that the last change may take to reach the store at the end; Kubernetes gives the pod a minute.
const SHUTDOWN: Duration = Duration::from_secs(40);

/// Time that the peers have to take it, which they usually do in milliseconds.
const FLUSH: Duration = Duration::from_secs(1);

/// Even the largest database is merged in this time, so a replica that reports nothing for longer hangs.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Forced snapshots that are turned off come after this.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What `sync` and `receive` may be told.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// End when everything in the store is merged and everything local is stored.
    #[arg(long)]
    only_once: bool,
    /// Begin when an object of this name is in the store; until then nothing is read or written.
    #[arg(long, value_name = "NAME")]
    wait_for_marker_file: Option<String>,
    /// Replicate this database only, of those in the configuration. May be given several times.
    #[arg(long, value_name = "DATABASE")]
    only_db: Vec<String>,
}

/// Runs every database's replica until `shutdown` is cancelled, a signal comes or one of them gives up. Who has no `restorer` only
/// receives.
pub(super) async fn replicate(
    mut config: Config,
    flags: Flags,
    restorer: Option<Arc<Restorer>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let receive_only = restorer.is_none();
    stop_on_signals(shutdown.clone())?;
    config.keep_only(&flags.only_db)?;
    config.only_once |= flags.only_once;
    let store = open_store(&config.storage)?;
    let mut metrics = Metrics::new();
    if config.lmdb_scrape_smaps {
        metrics.collect_from(Box::new(Smaps::new(mapped_files(&config))));
    }
    let listener = listener(&config).await?;
    let door = door(&config).await?;
    // An agent greets its own address as well: something should listen there by then.
    let peers = start_peers(&config, restorer)?;
    if let Some(collector) = peers.collector() {
        metrics.collect_from(collector);
    }
    let statuses = statuses(&config, &metrics);
    let mut tasks = JoinSet::new();
    let (serving_status, powerdns) = (Arc::new(ServingStatus::default()), PowerDnsStatus::default());
    let serving = (!config.only_once)
        .then(|| serving(&config, receive_only, serving_status.clone()))
        .map(Arc::new);
    if let Some(serving) = &serving {
        let neighbours = answer_for(serving, &peers);
        let keeping = serving.clone().keep(neighbours.clone(), shutdown.clone());
        let comparing = serving.clone().compare(neighbours, shutdown.clone());
        tasks.spawn(async move {
            tokio::join!(keeping, comparing);
            Ok(())
        });
    }
    let more = let_peers_in(&peers, door, &mut tasks, &shutdown);
    if let Some(listener) = listener {
        let identity = Identity {
            instance: config.instance.clone(),
            health: config.health.rules(),
            patience: patience(&config),
        };
        let status = Status::new(identity, statuses.clone())
            .with_serving(serving_status.clone())
            .with_peers(peers.reporter())
            .with_powerdns(powerdns.clone())
            .with_store(store.clone());
        let stop = shutdown.clone();
        let store = store.clone();
        tokio::spawn(watch_health(status.clone(), stop.clone()));
        tasks.spawn(async move {
            serve(listener, status, metrics, store, more, stop).await;
            Ok(())
        });
    }
    let gate = Gate {
        name: flags.wait_for_marker_file,
        poll: config.storage_poll_interval.0,
    };
    let schemas = schemas(&config.lmdbs);
    let shared = Shared::of(&config.lmdbs, config.protection.most_deleted_zones());
    let flushing = Flushing::start(&config, &schemas, &statuses, powerdns, &shutdown);
    let samples = directory_of_samples(&config);
    let stats_interval = config.lmdb_log_stats_interval.0;
    let pace = pace(&config, receive_only);
    let location = config.storage.location();
    for (name, lmdb) in config.lmdbs {
        let (schemas, shared) = (schemas[&name].clone(), shared[&name].clone());
        let origin = Origin {
            database: name.clone(),
            instance: config.instance.clone(),
            hostname: hostname(),
        };
        let (location, line) = (location.clone(), connect(&name, &peers));
        let (store, pace, shutdown, gate) = (store.clone(), pace.clone(), shutdown.clone(), gate.clone());
        let (status, flusher) = (statuses[&name].clone(), flushing.flusher());
        if receive_only {
            status.set_receive_only();
        }
        let served = Served {
            max_ahead: config.clocks.max_ahead(),
            name,
            lmdb,
            origin,
            schemas,
            shared,
            store,
            status,
            flusher,
            samples: samples.clone(),
            line,
            location,
            gate,
            serving: serving.clone(),
            stats_interval,
        };
        tasks.spawn(served.run(pace, shutdown));
    }
    let result = all(tasks, &shutdown).await;
    peers.flush(FLUSH).await;
    flushing.finish().await?;
    result
}

/// Until all have ended. The first that ends with an error ends the others, each of which stores its last change.
async fn all(mut tasks: JoinSet<anyhow::Result<()>>, shutdown: &CancellationToken) -> anyhow::Result<()> {
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

/// None where whoever waits for the end needs no page, and two runs at a time no common port.
async fn listener(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let address = &config.http.address;
    if address.is_empty() || config.only_once {
        return Ok(None);
    }
    let listener = listen(address).await;
    listener
        .map(Some)
        .with_context(|| format!("http.address: cannot listen on {address}"))
}

/// Where the replicas report to, by the databases' names.
fn statuses(config: &Config, metrics: &Metrics) -> BTreeMap<String, Arc<DatabaseStatus>> {
    let status = |name: &String| Arc::new(DatabaseStatus::new(metrics.database(name)));
    let names = config.lmdbs.keys();
    names.map(|name| (name.clone(), status(name))).collect()
}

/// A database, and all that its replica needs.
struct Served {
    name: String,
    lmdb: Lmdb,
    origin: Origin,
    schemas: Schemas,
    shared: Shared,
    store: Arc<dyn Store>,
    status: Arc<DatabaseStatus>,
    flusher: Option<Flusher>,
    samples: Option<PathBuf>,
    line: Option<Line>,
    location: String,
    gate: Gate,
    serving: Option<Arc<Serving>>,
    stats_interval: Duration,
    max_ahead: Option<Duration>,
}

impl Served {
    /// Opens the database and replicates it until `shutdown` is cancelled or the replica gives up.
    async fn run(self, pace: Pace, shutdown: CancellationToken) -> anyhow::Result<()> {
        let opening = async {
            // The files are made first: PowerDNS must not be the one that sizes the table of readers.
            let env = open_when_possible(&self.name, &self.lmdb, &*self.status, &pace).await?;
            self.gate
                .pass(self.store.as_ref(), &self.name, &*self.status)
                .await;
            anyhow::Ok(Arc::new(env))
        };
        let Some(env) = shutdown.run_until_cancelled(opening).await else {
            return Ok(());
        };
        let env = env?;
        let map_bytes = self.lmdb.options.map_size.0 as u64;
        tokio::spawn(census(
            env.clone(),
            map_bytes,
            self.status.clone(),
            shutdown.clone(),
        ));
        if let Some(directory) = self.samples.filter(|_| self.schemas.main) {
            tokio::spawn(samples::keep(env.clone(), directory, shutdown.clone()));
        }
        let mut replica = Replica::new(env.clone(), self.store, self.status, self.origin, Arc::new(now));
        flush_for(self.flusher, &mut replica, self.schemas.main.then_some(&env));
        replica.set_schemas(self.schemas);
        self.shared.give_to(&mut replica);
        if let Some(max_ahead) = self.max_ahead {
            replica.go_by_the_fleets_time(max_ahead);
        }
        let told = self.line.map(|(line, told)| {
            replica.set_peers(line);
            told
        });
        let ways = Ways {
            told,
            store: Some(self.location),
            serving: self.serving,
        };
        tokio::select! {
            ended = run(replica, pace, ways, shutdown) => ended.with_context(|| format!("database {}", self.name)),
            () = log_stats(&self.name, &env, self.stats_interval) => Ok(()),
        }
    }
}

pub(super) fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

fn stop_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Whoever listens for it gets an error of the write in its place, which says what is wrong.
    let _file_too_large = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
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

/// A replica that reports nothing for so long hangs: no request lasts longer than the client's limit, and there is one
/// between any two reports.
fn patience(config: &Config) -> Duration {
    (config.storage.options.client_timeout.0 * 2).max(SHORTEST_PATIENCE)
}

/// The files that the databases map into memory, by the databases' names.
fn mapped_files(config: &Config) -> BTreeMap<String, PathBuf> {
    let mapped = |lmdb: &Lmdb| {
        if lmdb.options.no_subdir {
            lmdb.path.clone()
        } else {
            lmdb.path.join("data.mdb")
        }
    };
    let files = config.lmdbs.iter();
    files.map(|(name, lmdb)| (name.clone(), mapped(lmdb))).collect()
}

/// Logs the size of a database at every interval, for ever; an interval of 0 means never.
async fn log_stats(name: &str, env: &Arc<Environment>, interval: Duration) {
    if interval.is_zero() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(interval).await;
        let env = env.clone();
        let usage = tokio::task::spawn_blocking(move || env.usage()).await;
        let Ok(Ok(usage)) = usage else {
            tracing::warn!(database = name, ?usage, "cannot look at the size of the database");
            continue;
        };
        tracing::info!(
            database = name, used = usage.used, map_size = usage.map_size, txn = usage.last_txn_id,
            readers = usage.readers, max_readers = usage.max_readers, entries = ?usage.entries,
            "size of the database"
        );
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
        force_snapshot: match config.storage_force_snapshot_interval.0 {
            Duration::ZERO => NEVER,
            interval => interval,
        },
        receive_only,
        once: config.only_once,
        cleanup: Cleanup {
            interval: cleanup.interval.0,
            retention,
            snapshots: cleanup.enabled,
            history: config.history.keep(),
            retired: Some(cleanup.retired_file.clone()).filter(|file| !file.as_os_str().is_empty()),
        },
        sweep: sweeper.enabled.then_some(sweep),
        shutdown: SHUTDOWN,
    }
}
