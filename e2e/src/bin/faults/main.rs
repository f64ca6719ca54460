//! What each fault costs: DNS questions and API writes through the Services of a DnsCluster of three servers while something is
//! done to it. An instrument, no test: it asserts nothing about times.

mod fault;
mod health;
mod measure;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use zonetide_e2e::Bench;

use crate::fault::Fault;
use crate::measure::Measured;

/// Measures what each fault costs on the cluster whose kubeconfig the environment names.
#[derive(Parser)]
struct Args {
    /// Only the faults whose names contain one of these.
    only: Vec<String>,

    /// How long a fault that does not end by itself lasts, in seconds.
    #[arg(long, default_value_t = 60)]
    hold: u64,

    /// Where to write the table, as Markdown.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let wanted =
        |fault: &Fault| args.only.is_empty() || args.only.iter().any(|part| fault.name().contains(part));
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(wanted).collect();
    ensure!(!faults.is_empty(), "no fault is called so: {:?}", args.only);
    let hold = Duration::from_secs(args.hold);
    let mut rows = Vec::new();
    Bench::run("faults", async |bench| {
        for fault in faults {
            let measured = measure::fault(bench, fault, hold).await;
            if let Err(error) = &measured {
                eprintln!("{}: cannot be measured: {error:#}", fault.name());
            }
            rows.push((fault, measured.unwrap_or_else(|error| Measured::failed(&error))));
            println!("{}", table::render(&rows));
        }
    })
    .await;
    if let Some(path) = args.out {
        std::fs::write(&path, table::render(&rows) + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
