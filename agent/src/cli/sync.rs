//! `sync` and `receive`: how a configuration becomes running replicas.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::hostname;
use super::store::open_store;
use crate::config::{Config, Lmdb};
use crate::lmdb::{Environment, LmdbErrorKind};
use crate::status::{DatabaseStatus, Identity, Metrics, Status, census, serve, watch_health};
use crate::sync::{Origin, Pace, Replica, Retention, Schemas, Sweep, SweepPace, run};

/// Time that the last change may take to reach the store at the end; Kubernetes gives the pod a minute.
const SHUTDOWN: Duration = Duration::from_secs(40);

/// Even the largest database is merged in this time, so a replica that reports nothing for longer hangs.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Runs every database's replica until a signal comes or one of them gives up.
pub(super) async fn replicate(config: Config, receive_only: bool) -> anyhow::Result<()> {
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
        let identity = Identity {
            instance: config.instance.clone(),
            health: config.health.rules(),
            patience: patience(&config),
        };
        let (status, stop) = (Status::new(identity, statuses.clone()), shutdown.clone());
        let store = store.clone();
        tokio::spawn(watch_health(status.clone(), stop.clone()));
        tasks.spawn(async move {
            serve(listener, status, metrics, store, stop)
                .await
                .context("cannot serve HTTP")
        });
    }
    let pace = pace(&config, receive_only);
    let schemas = schemas(&config.lmdbs);
    for (name, lmdb) in config.lmdbs {
        let schemas = schemas[&name].clone();
        let origin = Origin {
            database: name.clone(),
            instance: config.instance.clone(),
            hostname: hostname(),
        };
        let (store, pace, shutdown) = (store.clone(), pace.clone(), shutdown.clone());
        let status = statuses[&name].clone();
        if receive_only {
            status.set_receive_only();
        }
        tasks.spawn(async move {
            let wait = pace.lmdb_poll;
            let opening = open_when_there(&name, &lmdb, &status, wait);
            let Some(env) = shutdown.run_until_cancelled(opening).await else {
                return Ok(());
            };
            let env = Arc::new(env?);
            let map_bytes = lmdb.options.map_size.0 as u64;
            tokio::spawn(census(env.clone(), map_bytes, status.clone(), shutdown.clone()));
            let mut replica = Replica::new(env, store, status, origin, Arc::new(now));
            replica.set_schemas(schemas);
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

pub(super) fn now() -> u64 {
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
    let options = lmdb.open_options();
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

/// A replica that reports nothing for so long hangs: no request lasts longer than the client's limit, and there is one
/// between any two reports.
fn patience(config: &Config) -> Duration {
    (config.storage.options.client_timeout.0 * 2).max(SHORTEST_PATIENCE)
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

/// PowerDNS names its shards after the main database: `pdns.lmdb-0` beside `pdns.lmdb`. They share what is known of schemas.
fn schemas(lmdbs: &BTreeMap<String, Lmdb>) -> BTreeMap<String, Schemas> {
    let mut schemas: BTreeMap<_, _> = lmdbs
        .keys()
        .map(|name| (name.clone(), Schemas::default()))
        .collect();
    let main_of = |path: &Path| {
        let (main, number) = path.to_str()?.rsplit_once('-')?;
        number.parse::<u32>().ok()?;
        lmdbs
            .iter()
            .find(|(_, other)| other.path == Path::new(main))
            .map(|(name, _)| name)
    };
    for (name, lmdb) in lmdbs {
        if let Some(main) = main_of(&lmdb.path) {
            let guard = schemas[main].guard.clone();
            schemas.insert(name.clone(), Schemas { guard, main: false });
        }
    }
    schemas
}
