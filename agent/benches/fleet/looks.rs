//! How often an agent lists the store while many write and all are in contact.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::sync::peer::Told;
use zonetide_agent::sync::{Cleanup, Pace, Retention, Ways, run};

use crate::server::{Clock, SECOND, Server};
use crate::store::Bucket;
use crate::{Row, Scale};

const SECONDS: u64 = 1200;
/// After so long objects are removed that a longer delta has, ns.
const KEPT: u64 = 600 * SECOND;
/// Each delta of so many reaches back over those before it.
const STRIDE: u64 = 32;

pub(crate) fn pace() -> Pace {
    let second = Duration::from_secs(1);
    Pace {
        lmdb_poll: second,
        storage_poll: second,
        retry: second,
        retry_limit: None,
        force_snapshot: 4 * 3600 * second,
        receive_only: false,
        cleanup: Cleanup {
            interval: 3600 * second,
            retention: Retention {
                must_keep: 600 * second,
                remove_old_instances: 168 * 3600 * second,
            },
            snapshots: false,
            history: None,
            retired: None,
        },
        once: false,
        sweep: None,
        shutdown: second,
    }
}

/// An agent that is told of all that the others write, while their deltas pile up in the store as their cadence and their cleaners
/// have it. Time passes by itself whenever nothing is left to be done.
pub(crate) async fn measure(scale: Scale) -> Row {
    let (bucket, clock) = (Arc::new(Bucket::default()), Clock::new());
    let reader = Server::new("reader", &bucket, &clock);
    let mut writers = Vec::new();
    for number in 1..scale.servers {
        let writer = Server::new(&format!("writer-{number:03}"), &bucket, &clock);
        writer.write([format!("{}\0", writer.name)].into_iter());
        writer.receive().await;
        writer.send().await;
        reader
            .line
            .contacts
            .lock()
            .unwrap()
            .insert(writer.name.clone(), 0);
        writers.push(writer);
    }
    reader.receive().await;
    reader.send().await;
    reader.store.asked();
    let mut last: Vec<u64> = Vec::new();
    for writer in &writers {
        last.push(writer.replica.word().await.unwrap().own);
    }
    // What one of them has written stands for what each writes.
    let sample = {
        writers[0].write(["sample\0".to_owned()].into_iter());
        writers[0].replica.tell().await.unwrap();
        writers[0].line.take().pop().unwrap()
    };
    // The own writes have the same spacing.
    let every = u64::try_from(scale.servers.div_ceil(16)).unwrap() * SECOND / 2;
    let (sender, receiver) = mpsc::channel(1 << 16);
    let (store, line) = (reader.store.clone(), reader.line.clone());
    let shutdown = CancellationToken::new();
    tokio::time::pause();
    let (begin, start) = (Instant::now(), clock.now());
    let ways = Ways {
        told: Some(receiver),
        ..Ways::default()
    };
    let running = run(reader.replica, pace(), ways, shutdown.clone());
    let writing = async {
        let mut short = VecDeque::new();
        let mut steps: u64 = 0;
        while begin.elapsed() < Duration::from_secs(SECONDS) {
            tokio::time::sleep(Duration::from_nanos(every)).await;
            clock.set(start + u64::try_from(begin.elapsed().as_nanos()).unwrap());
            steps += 1;
            for (number, writer) in writers.iter().enumerate() {
                let time = clock.now() + number as u64;
                let name = DeltaName::new("main", &writer.name, last[number], time).unwrap();
                bucket.put(name.as_str(), sample.object.to_vec());
                if !steps.is_multiple_of(STRIDE) {
                    short.push_back((clock.now(), name.to_string()));
                }
                let told = Told {
                    name: name.to_string(),
                    from: writer.name.clone(),
                    ..sample.clone()
                };
                sender.send(told).await.unwrap();
                last[number] = time;
                line.contacts.lock().unwrap().insert(writer.name.clone(), time);
            }
            while short
                .front()
                .is_some_and(|(stored, _)| clock.now() - stored > KEPT)
            {
                bucket.remove(&short.pop_front().unwrap().1);
            }
        }
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(running, writing);
    ended.unwrap();
    tokio::time::resume();
    let asked = store.asked();
    let minutes = SECONDS as f64 / 60.0;
    Row {
        what: format!(
            "LIST pages a minute and agent, {} busy writers in contact",
            writers.len()
        ),
        goal: "≤ 10",
        measured: format!(
            "{:.1} ({} objects read in {minutes:.0} minutes)",
            asked.pages as f64 / minutes,
            asked.deltas_read + asked.snapshots_read
        ),
    }
}
