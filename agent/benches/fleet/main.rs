//! What servers cost each other as they become many: one that joins, one that leaves or cannot store, looks at the store, and what a
//! receiver keeps up with. All are replicas in this process, on one store in memory, by a clock of the bench's own.
//!
//! `make bench-fleet`, with `FLEET_SERVERS=50`, `FLEET_RECORDS=20000`, and `FLEET_OUT=FILE` for the table in a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

mod commits;
mod joining;
mod leaving;
mod looks;
mod server;
mod store;

use std::fmt::Write as _;

/// How much of everything.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    servers: usize,
    records: u32,
}

/// A line of the table.
pub(crate) struct Row {
    what: String,
    goal: &'static str,
    measured: String,
}

fn number(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let scale = Scale {
        servers: number("FLEET_SERVERS", 50),
        records: u32::try_from(number("FLEET_RECORDS", 20_000)).unwrap(),
    };
    let mut rows = Vec::new();
    eprintln!("{} servers of {} records", scale.servers, scale.records);
    let mut fleet = joining::begin(scale).await;
    rows.extend(joining::measure(&mut fleet).await);
    rows.push(leaving::one_retires(&mut fleet).await);
    rows.push(leaving::one_cannot_store(&mut fleet).await);
    drop(fleet);
    rows.push(Box::pin(commits::measure()).await);
    rows.push(Box::pin(looks::measure(scale)).await);
    let mut table = String::from("| | goal | measured |\n| --- | --- | --- |\n");
    for Row { what, goal, measured } in &rows {
        writeln!(table, "| {what} | {goal} | {measured} |").unwrap();
    }
    println!("{table}");
    if let Ok(file) = std::env::var("FLEET_OUT") {
        std::fs::write(file, table).unwrap();
    }
}
