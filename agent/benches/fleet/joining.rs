//! A server joins many others.

use std::sync::Arc;

use crate::server::{Clock, SECOND, Server};
use crate::store::Bucket;
use crate::{Row, Scale};

pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) clock: Clock,
}

/// Servers that have all of each other; the first has written all the records.
pub(crate) async fn begin(scale: Scale) -> Fleet {
    let (bucket, clock) = (Arc::new(Bucket::default()), Clock::new());
    let mut servers = Vec::new();
    for number in 0..scale.servers {
        let server = Server::new(&format!("server-{number:03}"), &bucket, &clock);
        if number == 0 {
            server.write((0..scale.records).map(|record| format!("host{record:07}\0")));
        }
        server.receive().await;
        server.send().await;
        servers.push(server);
    }
    for server in &servers {
        server.receive().await;
        let others = servers.iter().filter(|other| other.name != server.name);
        let contacts = others.map(|other| (other.name.clone(), 0)).collect();
        *server.line.contacts.lock().unwrap() = contacts;
    }
    Fleet {
        servers,
        bucket,
        clock,
    }
}

pub(crate) async fn measure(fleet: &mut Fleet) -> Vec<Row> {
    // One stores a snapshot now and then, and all go on writing.
    let writer = &fleet.servers[fleet.servers.len() / 2];
    writer.replica.send(true).await.unwrap();
    for server in &fleet.servers {
        server.write([format!("since {}\0", server.name)].into_iter());
        server.send().await;
    }
    let (snapshots, bytes) = fleet.bucket.snapshots();
    fleet.clock.pass(60 * SECOND);
    let new = Server::new("new", &fleet.bucket, &fleet.clock);
    new.receive().await;
    assert!(new.replica.is_ready());
    let asked = new.store.asked();
    let mib = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for server in &fleet.servers {
        server.receive().await;
    }
    vec![Row {
        what: format!(
            "read by a newcomer among {} servers whose {snapshots} snapshots have {}",
            fleet.servers.len(),
            mib(bytes)
        ),
        goal: "1 snapshot and deltas",
        measured: format!(
            "{} snapshot, {} deltas; {}",
            asked.snapshots_read,
            asked.deltas_read,
            mib(asked.bytes_read)
        ),
    }]
}
