//! What a newcomer reads: one snapshot that has most of all the others.

use std::sync::Arc;

use crate::server::{SECOND, Server, Watched};

/// Servers that have begun and have all of each other, each with the name of its letter.
pub(crate) async fn fleet(names: &str, store: &Arc<Watched>) -> Vec<Server> {
    let mut servers = Vec::new();
    for name in names.chars() {
        let server = Server::new(&name.to_string(), store);
        server.begin().await;
        servers.push(server);
    }
    for server in &servers {
        server.receive().await;
        server.send().await;
    }
    store.fetched();
    servers
}

/// Stores a snapshot that has all of the others.
pub(crate) async fn store_a_snapshot(server: &Server) {
    server.receive().await;
    assert!(server.replica.send(true).await.unwrap());
    server.store.fetched();
}

/// The snapshots among names.
pub(crate) fn snapshots_in(fetched: &[String]) -> Vec<&String> {
    fetched.iter().filter(|name| name.starts_with("main__")).collect()
}

#[tokio::test]
async fn a_newcomer_reads_one_snapshot_of_many_and_what_was_written_since() {
    let store = Watched::new();
    let servers = fleet("abcdefgh", &store).await;
    store_a_snapshot(&servers[4]).await;
    for server in &servers[..4] {
        server.write(&format!("since {}", server.name), "1");
        server.send().await;
    }
    let new = Server::new("new", &store);
    new.pass(60 * SECOND);
    new.receive().await;
    let fetched = store.fetched();
    assert_eq!(snapshots_in(&fetched).len(), 1, "{fetched:?}");
    assert_eq!(fetched.len(), 1 + 4, "and what is newer: {fetched:?}");
    assert!(new.replica.is_ready());
    for server in &servers {
        server.receive().await;
    }
    assert_eq!(new.content(), servers[0].content());
    assert_eq!(new.content().len(), 1 + 4);
}

#[tokio::test]
async fn who_comes_back_without_its_volume_reads_its_own_snapshot_and_what_was_written_since() {
    let store = Watched::new();
    let mut servers = fleet("abcd", &store).await;
    store_a_snapshot(&servers[0]).await;
    servers[1].write("since", "1");
    servers[1].send().await;
    servers[0].wipe();
    servers[0].receive().await;
    let fetched = store.fetched();
    assert_eq!(snapshots_in(&fetched).len(), 1, "{fetched:?}");
    servers[1].receive().await;
    assert_eq!(servers[0].content(), servers[1].content());
}

#[tokio::test]
async fn a_snapshot_that_says_nothing_of_others_has_them_read_one_by_one() {
    let store = Watched::new();
    let servers = fleet("abcd", &store).await;
    // Something is kept out of the zones of this one, so its snapshot is not all that it has.
    let ahead = servers[0].now() + 3600 * SECOND;
    let mut future = Server::new("f", &store);
    future.set_clock(ahead);
    future.begin().await;
    let mut keeps = Server::new("k", &store);
    keeps.learn_the_time();
    keeps.receive().await;
    store_a_snapshot(&keeps).await;
    let mut new = Server::new("new", &store);
    new.pass(60 * SECOND);
    new.learn_the_time();
    new.receive().await;
    let fetched = store.fetched();
    assert_eq!(snapshots_in(&fetched).len(), 6, "{fetched:?}");
    future.wipe();
}

#[tokio::test]
async fn what_a_server_keeps_out_of_its_zones_its_snapshot_does_not_say_that_it_has() {
    let store = Watched::new();
    let servers = fleet("ab", &store).await;
    let now = servers[0].now();
    let future = Server::new("f", &store);
    future.set_clock(now + 3600 * SECOND);
    future.write("first", "f");
    // Its clock is right again, so that its snapshot is not the newest.
    future.set_clock(now);
    future.receive().await;
    future.send().await;
    let mut keeps = Server::new("k", &store);
    keeps.pass(60 * SECOND);
    keeps.learn_the_time();
    keeps.receive().await;
    assert_ne!(keeps.content()["first"], "f");
    store_a_snapshot(&keeps).await;
    // Who knows no other time than its own goes by what is in the objects.
    let new = Server::new("new", &store);
    new.pass(7200 * SECOND);
    new.receive().await;
    assert_eq!(new.content()["first"], "f");
}
