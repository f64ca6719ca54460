//! A server leaves, or cannot store.

use std::time::{Duration, Instant};

use zonetide_agent::sync::{Cleaner, Retention};

use crate::Row;
use crate::joining::Fleet;
use crate::server::SECOND;

const RETENTION: Retention = Retention {
    must_keep: Duration::from_secs(600),
    remove_old_instances: Duration::from_secs(168 * 3600),
};

/// What the others stored and read since they were asked last: snapshots stored, and read.
fn snapshots(fleet: &Fleet) -> (u64, u64) {
    let asked = fleet.servers.iter().map(|server| server.store.asked());
    asked.fold((0, 0), |(stored, read), asked| {
        (stored + asked.snapshots_stored, read + asked.snapshots_read)
    })
}

pub(crate) async fn one_retires(fleet: &mut Fleet) -> Row {
    let gone = fleet.servers.pop().unwrap();
    for server in &fleet.servers {
        server.receive().await;
        server.line.contacts.lock().unwrap().remove(&gone.name);
    }
    snapshots(fleet);
    let mut cleaners: Vec<_> = fleet.servers.iter().map(|_| Cleaner::default()).collect();
    for cleaner in &mut cleaners {
        cleaner.retire([gone.name.clone()].into());
    }
    fleet.clock.pass(60 * SECOND);
    let start = Instant::now();
    for step in 0..12_u32 {
        for (server, cleaner) in fleet.servers.iter().zip(&mut cleaners) {
            let now = start + step * Duration::from_secs(5);
            let cleaned = cleaner
                .clean(&server.replica, RETENTION, now, fleet.clock.now())
                .await;
            cleaned.unwrap();
            server.send().await;
        }
        fleet.clock.pass(5 * SECOND);
        for server in &fleet.servers {
            server.receive().await;
            server.send().await;
        }
    }
    let (stored, read) = snapshots(fleet);
    Row {
        what: format!(
            "snapshots stored because one of {} retires, and read",
            fleet.servers.len() + 1
        ),
        goal: "≤ 1",
        measured: format!("{stored}, {read}"),
    }
}

pub(crate) async fn one_cannot_store(fleet: &mut Fleet) -> Row {
    let broken = fleet.servers.len() - 1;
    fleet.servers[broken].store.refuse_uploads(true);
    snapshots(fleet);
    let mut deltas = 0;
    for minute in 0..60 {
        let server = &fleet.servers[broken];
        for second in 0..10 {
            server.write([format!("{minute}:{second}\0")].into_iter());
            // Peers hear of it all the same.
            assert!(server.replica.send(false).await.is_err());
        }
        let told = server.line.take();
        fleet.clock.pass(60 * SECOND);
        for other in &fleet.servers[..broken] {
            assert!(other.replica.take_together(&told).await.unwrap());
            other.receive().await;
            other.send().await;
        }
        for server in &fleet.servers {
            let asked = server.store.asked();
            deltas += asked.deltas_stored;
            assert_eq!(asked.snapshots_stored, 0, "by {}", server.name);
        }
    }
    fleet.servers[broken].store.refuse_uploads(false);
    Row {
        what: format!(
            "snapshots, and deltas, stored by the others because one of {} cannot store for an hour",
            fleet.servers.len() + 1
        ),
        goal: "≤ 1",
        measured: format!("0, {deltas}"),
    }
}
