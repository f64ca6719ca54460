//! A peer's change that arrives before those it goes on from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zonetide_agent::lmdb::{Environment, LmdbError};
use zonetide_agent::store::Store as _;
use zonetide_agent::sync::peer::Told;
use zonetide_agent::sync::{Pace, SchemaGuard, Schemas, Ways, run};

use crate::peers::Line;
use crate::server::{Server, Watched};
use crate::support::unhurried;

const RECORDS: &str = "records_v5";
const SOA: u8 = 6;
const A: u8 = 1;
/// Names below the zone, as they are stored.
const R0: &str = "r0\0";
const R1: &str = "r1\0";

fn key(zone: u32, name: &str, kind: u8) -> Vec<u8> {
    [&zone.to_be_bytes()[..], name.as_bytes(), &[0, 0, kind]].concat()
}

fn has(env: &Environment, key: &[u8]) -> bool {
    let found = env.read::<_, LmdbError>(|reader| {
        Ok(match reader.dbi(RECORDS)? {
            Some(dbi) => reader.get(&dbi, key)?.is_some(),
            None => false,
        })
    });
    found.unwrap()
}

/// Writes a record, and with it the zone's SOA record, as PowerDNS' API does.
fn write(server: &Server, zone: u32, name: &str) {
    server.pass(crate::server::SECOND);
    let now = server.now();
    let written = server.env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi(RECORDS)?;
        writer.put(&dbi, &key(zone, "", SOA), now, false, name.as_bytes())?;
        writer.put(&dbi, &key(zone, name, A), now, false, b"192.0.2.1")
    });
    written.unwrap();
}

/// Looks at the store once a second.
fn pace() -> Pace {
    Pace {
        storage_poll: Duration::from_secs(1),
        ..unhurried()
    }
}

/// A server with a shard.
fn server(name: &str) -> Server {
    let mut server = Server::new(name, &Watched::new());
    let guard = Arc::new(SchemaGuard::default());
    guard.set_own(Some(5));
    guard.judge("a", Some(5), true);
    server.replica.set_schemas(Schemas { guard, main: false });
    server
}

/// A server whose first snapshot is in its store, and what it tells then: zone 7 has a record in each.
async fn begun() -> (Server, Arc<Line>, Vec<Told>) {
    let mut a = server("a");
    let line = Arc::new(Line::default());
    a.replica.set_peers(line.clone());
    write(&a, 7, R0);
    a.receive().await;
    a.send().await;
    write(&a, 7, R1);
    a.replica.tell().await.unwrap();
    let told = line.take();
    assert_eq!(told.len(), 1);
    (a, line, told)
}

async fn until(env: &Environment, key: &[u8]) {
    let mut watch = env.watch().unwrap();
    while !has(env, key) {
        watch.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_zone_that_a_peer_tells_of_before_its_first_snapshot_is_here_comes_with_all_its_records() {
    let (a, _, told) = begun().await;
    let mut b = server("b");
    let is_half_here = Arc::new(AtomicBool::new(false));
    let (env, half) = (b.env.clone(), is_half_here.clone());
    b.replica.set_witness(Arc::new(move |_| {
        let is_half = has(&env, &key(7, "", SOA)) && !has(&env, &key(7, R0, A));
        half.fetch_or(is_half, Ordering::Relaxed);
    }));
    let (teller, listener) = mpsc::channel(8);
    let ways = Ways {
        told: Some(listener),
        ..Ways::default()
    };
    let stop = CancellationToken::new();
    let telling = async {
        for told in told {
            teller.send(told).await.unwrap();
        }
        // Time passes only while all wait.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for prefix in ["main__", "zonetide/delta/main/"] {
            for listed in a.store.list(prefix).await.unwrap() {
                let object = a.store.get(&listed.name, crate::support::spooled(b"")).await;
                b.store.put(&listed.name, object.unwrap().unwrap()).await.unwrap();
            }
        }
        until(&b.env, &key(7, R1, A)).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(Box::pin(run(b.replica, pace(), ways, stop.clone())), telling);
    ran.unwrap();
    assert!(has(&b.env, &key(7, R0, A)));
    assert!(!is_half_here.load(Ordering::Relaxed), "the zone lacked r0");
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_what_never_comes_for_two_seconds_and_the_next_one_does_not_wait() {
    let (a, line, told) = begun().await;
    let b = server("b");
    let (teller, listener) = mpsc::channel(8);
    let ways = Ways {
        told: Some(listener),
        ..Ways::default()
    };
    let stop = CancellationToken::new();
    let telling = async {
        let mut took = Vec::new();
        let mut told = told;
        for zone in [7, 8] {
            let start = Instant::now();
            for told in told.drain(..) {
                teller.send(told).await.unwrap();
            }
            until(&b.env, &key(zone, R1, A)).await;
            took.push(start.elapsed().as_secs());
            write(&a, 8, R1);
            a.replica.tell().await.unwrap();
            told = line.take();
        }
        stop.cancel();
        took
    };
    let (ran, took) = tokio::join!(Box::pin(run(b.replica, pace(), ways, stop.clone())), telling);
    ran.unwrap();
    assert_eq!(took, [2, 0]);
}
