//! For how long pods were not ready while something happened, as the API server tells it: every change of their condition, not
//! what one sees by looking now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::handle::{Handle, pod_is_ready};
use crate::names;

const BEGINS: Duration = Duration::from_secs(30);

pub struct PodWatch {
    stop: watch::Sender<bool>,
    task: JoinHandle<Timeline>,
}

impl PodWatch {
    /// Watches the DNS servers, of which it knows all when this returns.
    pub async fn start(cluster: &Handle) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (begun, begins) = oneshot::channel();
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let of_cluster = Config::default().labels(&names::dns_pods(&cluster.name));
        let task = tokio::spawn(follow(pods, of_cluster, begun, stopped));
        tokio::time::timeout(BEGINS, begins)
            .await
            .context("the pods cannot be watched")??;
        Ok(Self { stop, task })
    }

    pub async fn finish(self) -> Result<Timeline> {
        let _ = self.stop.send(true);
        Ok(self.task.await?)
    }
}

async fn follow(
    pods: Api<Pod>,
    which: Config,
    begun: oneshot::Sender<()>,
    mut stopped: watch::Receiver<bool>,
) -> Timeline {
    let start = Instant::now();
    let mut begun = Some(begun);
    let mut sights = Vec::new();
    let events = watcher(pods, which).default_backoff();
    pin_mut!(events);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let see = |pod: &Pod, state| Sight {
            at: start.elapsed(),
            pod: pod.name_any(),
            state,
        };
        match event {
            Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                let state = if pod_is_ready(&pod) {
                    State::Ready
                } else {
                    State::NotReady
                };
                sights.push(see(&pod, state));
            }
            Some(Ok(Event::Delete(pod))) => sights.push(see(&pod, State::Gone)),
            Some(Ok(Event::InitDone)) => {
                if let Some(begun) = begun.take() {
                    // Whoever waited for it has given up.
                    let _ = begun.send(());
                }
            }
            // The watch begins anew by itself.
            Some(Ok(Event::Init) | Err(_)) => {}
            None => break,
        }
    }
    Timeline {
        sights,
        lasted: start.elapsed(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    NotReady,
    Gone,
}

/// One pod at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Since the watch began.
    pub at: Duration,
    pub pod: String,
    pub state: State,
}

/// What the watch has seen, in this order.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    pub sights: Vec<Sight>,
    pub lasted: Duration,
}

impl Timeline {
    /// For how long each pod was not ready, if it was at all. One that is gone for good is none that one waits for.
    pub fn unready(&self) -> BTreeMap<String, Duration> {
        let mut since = BTreeMap::<&str, (State, Duration)>::new();
        let mut sums = BTreeMap::<String, Duration>::new();
        for sight in &self.sights {
            let before = since.get(sight.pod.as_str()).copied();
            let begin = match before {
                Some((state, begin)) if state != State::Ready => begin,
                _ => sight.at,
            };
            if sight.state == State::Ready {
                if begin < sight.at {
                    *sums.entry(sight.pod.clone()).or_default() += sight.at.saturating_sub(begin);
                }
                since.insert(&sight.pod, (State::Ready, sight.at));
            } else {
                since.insert(&sight.pod, (sight.state, begin));
            }
        }
        for (pod, (state, begin)) in since {
            if state == State::NotReady {
                *sums.entry(pod.to_owned()).or_default() += self.lasted.saturating_sub(begin);
            }
        }
        sums
    }

    /// `Ok` when pods were seen, and each was ready each time.
    pub fn expect_always_ready(&self) -> Result<(), String> {
        if self.sights.is_empty() {
            return Err("no pod was seen".to_owned());
        }
        match self.sights.iter().find(|sight| sight.state != State::Ready) {
            None => Ok(()),
            Some(sight) => Err(format!(
                "{} was {:?} {:?} after the watch began, all in all: {:?}",
                sight.pod,
                sight.state,
                sight.at,
                self.unready()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(sights: &[(u64, &str, State)], lasted: u64) -> Timeline {
        let sights = sights.iter().map(|(at, pod, state)| Sight {
            at: Duration::from_secs(*at),
            pod: (*pod).to_owned(),
            state: *state,
        });
        Timeline {
            sights: sights.collect(),
            lasted: Duration::from_secs(lasted),
        }
    }

    fn unready(sights: &[(u64, &str, State)], lasted: u64) -> Vec<(String, u64)> {
        let sums = timeline(sights, lasted).unready();
        sums.into_iter().map(|(pod, sum)| (pod, sum.as_secs())).collect()
    }

    #[test]
    fn a_pod_is_unready_from_the_first_sight_of_it_to_the_sight_of_its_successor() {
        use State::{Gone, NotReady, Ready};
        let sights = [
            (0, "a", Ready),
            (0, "b", Ready),
            (2, "a", NotReady),
            (3, "a", NotReady),
            (4, "a", Gone),
            (5, "a", NotReady),
            (9, "a", Ready),
            (11, "a", Ready),
            (20, "a", NotReady),
            (21, "a", Ready),
        ];
        assert_eq!(unready(&sights, 30), [("a".to_owned(), 8)]);
    }

    #[test]
    fn one_that_is_not_ready_in_the_end_counts_and_one_that_is_gone_for_good_does_not() {
        use State::{Gone, NotReady, Ready};
        let sights = [
            (0, "a", Ready),
            (0, "b", Ready),
            (2, "a", NotReady),
            (2, "b", NotReady),
            (4, "b", Gone),
        ];
        assert_eq!(unready(&sights, 30), [("a".to_owned(), 28)]);
    }

    #[test]
    fn ready_all_the_time_is_said_only_of_pods_that_were_seen() {
        use State::{NotReady, Ready};
        assert!(timeline(&[], 3).expect_always_ready().is_err());
        assert!(timeline(&[(0, "a", Ready)], 3).expect_always_ready().is_ok());
        let flickered = timeline(&[(0, "a", Ready), (1, "a", NotReady), (1, "a", Ready)], 3);
        assert!(flickered.expect_always_ready().is_err());
    }
}
