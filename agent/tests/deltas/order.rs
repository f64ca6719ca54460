//! The main database goes before its shards.

use std::sync::Arc;
use std::time::Duration;

use zonetide_agent::sync::{Order, SchemaGuard, Schemas};

use crate::peers::Line;
use crate::server::{Server, Watched};

/// The two databases of one PowerDNS, with one line.
async fn databases() -> (Server, Server, Arc<Line>) {
    let mut both = ["main", "shard"].map(|name| Server::new(name, &Watched::new()));
    let (guard, order) = (Arc::new(SchemaGuard::default()), Arc::new(Order::new("main")));
    let line = Arc::new(Line::default());
    for (server, main) in both.iter_mut().zip([true, false]) {
        let guard = guard.clone();
        server.replica.set_schemas(Schemas { guard, main });
        server.replica.set_order(order.clone());
        server.replica.set_peers(line.clone());
        server.begin().await;
    }
    line.take();
    let [main, shard] = both;
    (main, shard, line)
}

#[tokio::test]
async fn what_the_main_database_had_before_is_told_before() {
    let (main, shard, line) = databases().await;
    main.write("zone", "1");
    shard.write("record", "1");
    let before = shard.replica.word().await.unwrap().own;
    let main_tells = async {
        while shard.replica.word().await.unwrap().own == before {
            tokio::task::yield_now().await;
        }
        main.replica.tell().await.unwrap();
    };
    let (told, ()) = tokio::join!(shard.replica.tell(), main_tells);
    told.unwrap();
    let told: Vec<_> = line.take().into_iter().map(|told| told.from).collect();
    assert_eq!(told, ["main", "shard"]);
}

#[tokio::test]
async fn what_waits_for_the_main_database_is_told_also_where_the_agent_ends() {
    let (main, shard, line) = databases().await;
    main.write("zone", "1");
    shard.write("record", "1");
    let telling = tokio::time::timeout(Duration::from_millis(500), shard.replica.tell());
    telling.await.expect_err("it does not wait");
    // It may have ended before the change was cut.
    main.replica.tell().await.unwrap();
    shard.replica.tell().await.unwrap();
    let told = line.take().into_iter().filter(|told| told.from == "shard");
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn a_main_database_that_tells_nothing_holds_up_no_shard_for_long() {
    let (main, shard, line) = databases().await;
    main.write("zone", "1");
    for number in 0..3 {
        shard.write("record", &number.to_string());
        let telling = tokio::time::timeout(Duration::from_secs(20), shard.replica.tell());
        telling.await.expect("it waits for the main database").unwrap();
    }
    assert_eq!(line.take().len(), 3);
}
