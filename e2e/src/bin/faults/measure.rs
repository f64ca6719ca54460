//! One fault under both loads, from a healthy cluster to a healthy cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use zonetide_e2e::bench::Bench;
use zonetide_e2e::loads::{self, Writes};
use zonetide_e2e::pod_watch::PodWatch;
use zonetide_e2e::report::Report;
use zonetide_e2e::{Handle, manifest, processes};

use crate::fault::{Fault, Undo};
use crate::health;

/// Before the fault, and after all is well again.
const QUIET: Duration = Duration::from_secs(3);
/// For what a fault starts to be seen at all: a pod that was deleted is ready for a moment yet.
const SHOWS: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum Measured {
    Seen {
        questions: Report,
        writes: Report,
        unready: BTreeMap<String, Duration>,
        /// Whether each acknowledged write was on each server afterwards.
        kept: Result<(), String>,
    },
    /// There is nothing that it could be done to.
    Absent,
    Failed(String),
}

impl Measured {
    pub(crate) fn failed(error: &anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

pub(crate) async fn fault(bench: &Bench, fault: Fault, hold: Duration) -> Result<Measured> {
    eprintln!("==== {}", fault.name());
    let cluster = healthy(bench, fault.servers()).await?;
    if let Some(program) = fault.program() {
        let pod = cluster.api_pod().await?;
        if processes::find(&cluster, &pod, program).await?.is_none() {
            return Ok(Measured::Absent);
        }
    }
    // Whatever comes out of it, it is undone.
    let mut undo = Vec::new();
    let seen = Box::pin(seen(&cluster, fault, hold, &mut undo)).await;
    for undo in undo {
        undo.run(&cluster).await?;
    }
    seen
}

async fn seen(cluster: &Handle, fault: Fault, hold: Duration, undo: &mut Vec<Undo>) -> Result<Measured> {
    undo.extend(fault.prepare(cluster).await?);
    let watch = PodWatch::start(cluster).await?;
    let questions = loads::questions(cluster).await?;
    let writes = Writes::start(cluster).await?;
    tokio::time::sleep(QUIET).await;

    let inflicted = fault.inflict(cluster).await;
    undo.extend(inflicted.context("the fault cannot be brought about")?);
    if fault.lasts() {
        tokio::time::sleep(hold).await;
        for undo in undo.drain(..) {
            undo.run(cluster).await?;
        }
    } else {
        tokio::time::sleep(SHOWS).await;
    }
    let healed = health::await_all(cluster).await;
    tokio::time::sleep(QUIET).await;

    let (questions, written) = (questions.finish().await?, writes.finish().await?);
    let timeline = watch.finish().await?;
    let kept = written
        .is_everywhere()
        .await
        .map_err(|error| format!("{error:#}"));
    eprintln!("questions: {}", questions.summary());
    eprintln!(
        "writes: {}, longest gap {:?}",
        written.report.summary(),
        written.report.longest_gap()
    );
    eprintln!("unready: {:?}; acknowledged writes: {kept:?}", timeline.unready());
    for sight in &timeline.sights {
        eprintln!(
            "  {:8.2} s {} {:?}",
            sight.at.as_secs_f64(),
            sight.pod,
            sight.state
        );
    }
    healed?;
    Ok(Measured::Seen {
        questions,
        writes: written.report,
        unready: timeline.unready(),
        kept,
    })
}

/// A DnsCluster of so many servers, made if there is none, with all of them well, and with the zones.
async fn healthy(bench: &Bench, servers: i32) -> Result<Handle> {
    let name = format!("dns{servers}");
    let cluster = bench.handle(&name);
    let made = cluster.clusters().get_opt(&name).await?.is_none();
    if made {
        cluster
            .apply(&manifest::cluster(&name, &manifest::managed(servers)))
            .await?;
    }
    health::await_all(&cluster).await?;
    if made {
        loads::make_zones(&cluster).await?;
    }
    health::freshen(&cluster).await?;
    health::await_all(&cluster).await?;
    Ok(cluster)
}
