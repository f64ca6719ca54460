//! Changes to all servers of a DnsCluster in turn, five a second, while something else happens to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinHandle;
use zonetide_testbed::poll::within;

use crate::answers;
use crate::handle::Handle;

const PAUSE: Duration = Duration::from_millis(200);
/// How many names are asked for at a time.
const AT_ONCE: usize = 4;
const GOES_ON: Duration = Duration::from_mins(2);

pub struct Writer {
    cluster: Handle,
    zone: String,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    task: JoinHandle<Result<()>>,
}

impl Writer {
    /// Makes the zone, waits until all servers have it, and begins.
    pub async fn start(cluster: &Handle, zone: &str) -> Result<Self> {
        let mut apis = Vec::new();
        for pod in cluster.pod_names().await? {
            apis.push(cluster.powerdns(&pod).await?);
        }
        let first = apis.first().context("the DnsCluster has no servers")?;
        first.create_zone(zone).await?;
        for api in &apis {
            within(answers::REPLICATED, async || match api.zone_exists(zone).await {
                Ok(true) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await
            .context("the zone is not everywhere")?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicUsize::new(0));
        let (stopped, count, of) = (stop.clone(), written.clone(), zone.to_owned());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PAUSE);
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                let number = count.load(Ordering::Relaxed);
                let api = &apis[number % apis.len()];
                api.replace(&of, &name(number, &of), "A", &[&address(number)])
                    .await
                    .with_context(|| format!("change {number} was not taken"))?;
                count.store(number + 1, Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(Self {
            cluster: cluster.clone(),
            zone: zone.to_owned(),
            stop,
            written,
            task,
        })
    }

    /// How many changes were taken so far.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits for ten more changes.
    pub async fn goes_on(&self) -> Result<()> {
        let enough = self.written() + 10;
        within(GOES_ON, async || match self.written() {
            written if written < enough => Err(format!("{written} of {enough}")),
            _ => Ok(()),
        })
        .await
        .context("there are no ten more changes")?;
        Ok(())
    }

    /// Waits until each server answers with the newest change, made a moment ago.
    pub async fn newest_is_everywhere(&self) -> Result<()> {
        let written = self.written();
        ensure!(written > 0, "nothing was written yet");
        everywhere(&self.cluster, &self.zone, written - 1).await
    }

    /// Ends it, and gives how many changes there were.
    pub async fn finish(self) -> Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        let count = self.written.load(Ordering::Relaxed);
        Ok(Written {
            cluster: self.cluster,
            zone: self.zone,
            count,
        })
    }
}

/// What a writer has written.
pub struct Written {
    cluster: Handle,
    zone: String,
    pub count: usize,
}

impl Written {
    /// Waits until each server there is now answers with every change.
    pub async fn is_everywhere(&self) -> Result<()> {
        let asked = stream::iter(0..self.count).map(|number| everywhere(&self.cluster, &self.zone, number));
        asked.buffer_unordered(AT_ONCE).try_collect().await
    }
}

async fn everywhere(cluster: &Handle, zone: &str, number: usize) -> Result<()> {
    answers::everywhere(cluster, &name(number, zone), &address(number), Instant::now()).await?;
    Ok(())
}

fn name(number: usize, zone: &str) -> String {
    format!("k{number}.{zone}")
}

fn address(number: usize) -> String {
    format!("192.0.2.{}", number % 250 + 1)
}
