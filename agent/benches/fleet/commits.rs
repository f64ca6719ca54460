//! How many commits of others a receiver keeps up with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zonetide_agent::sync::{Ways, run};

use crate::Row;
use crate::looks::pace;
use crate::server::{Clock, Server};
use crate::store::Bucket;

const COMMITS: usize = 20_000;
/// What a commit waits for a disk of some years ago, or for one that is elsewhere.
const FSYNC: Duration = Duration::from_millis(4);

pub(crate) async fn measure() -> Row {
    let (bucket, clock) = (Arc::new(Bucket::default()), Clock::new());
    let (a, b) = (
        Server::new("a", &bucket, &clock),
        Server::new("b", &bucket, &clock),
    );
    a.write((0..1000).map(|record| format!("host{record}\0")));
    a.receive().await;
    a.send().await;
    b.receive().await;
    let mut told = Vec::new();
    for number in 0..COMMITS {
        a.write([format!("new{number}\0")].into_iter());
        a.replica.tell().await.unwrap();
        told.extend(a.line.take());
    }
    assert_eq!(told.len(), COMMITS);
    let (sender, receiver) = mpsc::channel(COMMITS);
    for told in &told {
        sender.try_send(told.clone()).unwrap();
    }
    let env = b.env.clone();
    let before = env.last_txn_id();
    let shutdown = CancellationToken::new();
    let ways = Ways {
        told: Some(receiver),
        ..Ways::default()
    };
    let started = Instant::now();
    let running = run(b.replica, pace(), ways, shutdown.clone());
    let waiting = async {
        while sender.capacity() < COMMITS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The last ones are under way.
        let last = format!("new{}\0", COMMITS - 1);
        let key = [&[0, 0, 0, 1], last.as_bytes(), &[0, 0, 0, 1]].concat();
        let is_here = || {
            env.read::<_, zonetide_agent::lmdb::LmdbError>(|reader| {
                let dbi = reader.dbi("records_v5")?.unwrap();
                Ok(reader.get(&dbi, &key)?.is_some())
            })
        };
        while !is_here().unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let elapsed = started.elapsed();
        shutdown.cancel();
        elapsed
    };
    let (ended, elapsed) = tokio::join!(running, waiting);
    ended.unwrap();
    let commits = env.last_txn_id() - before;
    let at_4_ms = elapsed + FSYNC * u32::try_from(commits).unwrap();
    let each_second = COMMITS as f64 / at_4_ms.as_secs_f64();
    Row {
        what: "commits a second that a receiver keeps up with at 4 ms an fsync".into(),
        goal: "≥ 5,000",
        measured: format!(
            "{each_second:.0} ({COMMITS} in {commits} of its own, {:.1} s without a wait for the disk)",
            elapsed.as_secs_f64()
        ),
    }
}
