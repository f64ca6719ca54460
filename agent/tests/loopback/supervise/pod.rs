//! A server whose agent is supervised, asked as the kubelet asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zonetide_testbed::agent::Storage;
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::http::{HttpClient, HttpError};
use zonetide_testbed::{DnsClient, eventually};

use crate::node::{Node, SOON, ZONE};

pub(super) struct Pod {
    pub(super) node: Node,
}

impl Pod {
    pub(super) fn new(name: &str, storage: impl Into<Storage>) -> Self {
        let mut node = Node::new(name, storage);
        node.agent.flush_caches_over(node.dns.control_socket());
        let pod = Self { node };
        pod.with_patience("60s")
    }

    /// An agent that hangs for so long is started anew.
    pub(super) fn with_patience(mut self, patience: &str) -> Self {
        let (dns, socket) = (
            self.node.dns.address().to_string(),
            self.node.dns.control_socket(),
        );
        let directory = socket.parent().unwrap().to_str().unwrap();
        self.node
            .agent
            .supervise(&["--dns", &dns, "--socket-dir", directory, "--patience", patience]);
        self
    }

    /// In the order of a pod: PowerDNS starts when the startup probe says that it may.
    pub(super) async fn start(&mut self) {
        self.node.agent.launch();
        self.comes_to_answer("/startup", 200, "").await;
        self.node.dns.start().await;
        self.comes_to_answer("/dns", 200, "UDP").await;
    }

    /// The status and body of a probe's answer, and 0 for none, as the kubelet takes one that does not come within 2 s.
    pub(super) async fn probe(&self, path: &str) -> (u16, String) {
        probe(&self.probes(), path).await
    }

    fn probes(&self) -> HttpClient {
        HttpClient::new(Arc::new(self.node.agent.probes()))
    }

    pub(super) async fn comes_to_answer(&self, path: &str, status: u16, words: &str) {
        let what = format!("{path} answers {status} with {words:?}");
        eventually(SOON, &what, async || {
            let (seen, said) = self.probe(path).await;
            if seen == status && said.contains(words) {
                Ok(())
            } else {
                Err(format!("{seen}: {said}\n{}", self.node.agent.log()))
            }
        })
        .await;
    }

    /// The agent that the supervisor has started, if it runs.
    pub(super) fn agent(&self) -> Option<Pid> {
        let supervisor = self.node.agent.pid();
        let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
        let child = children.ok()?.split_whitespace().next()?.parse().ok()?;
        Some(Pid::from_raw(child))
    }

    /// What the supervisor has of its own in memory, KiB.
    pub(super) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.agent.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for another agent than this one that is ready.
    pub(super) async fn comes_back(&self, old: Pid) -> Pid {
        eventually(SOON, "another agent is ready", async || {
            let agent = self.agent().filter(|agent| *agent != old);
            match agent {
                Some(agent) if self.node.agent.is_ready().await => Ok(agent),
                other => Err(format!("{other:?}\n{}", self.node.agent.log())),
            }
        })
        .await
    }

    /// Asks PowerDNS and the probes again and again.
    pub(super) fn watch(&self) -> Watch {
        let stop = CancellationToken::new();
        let (probes, dns, stopped) = (self.probes(), self.node.dns.dns(), stop.clone());
        let watching = async move {
            let (mut rounds, mut troubles) = (0, Vec::new());
            while !stopped.is_cancelled() {
                for path in ["/dns", "/startup", "/livez"] {
                    let (status, said) = probe(&probes, path).await;
                    if status != 200 {
                        troubles.push(format!("{path}: {status} {said}"));
                    }
                }
                troubles.extend(answers(&dns).await.err());
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (rounds, troubles)
        };
        Watch {
            stop,
            watching: tokio::spawn(watching),
        }
    }
}

/// What was seen in the background.
pub(super) struct Watch {
    stop: CancellationToken,
    watching: JoinHandle<(u32, Vec<String>)>,
}

impl Watch {
    /// Everything was answered all the time.
    pub(super) async fn saw_nothing_amiss(self) {
        self.stop.cancel();
        let (rounds, troubles) = self.watching.await.unwrap();
        assert!(rounds > 5, "{rounds}");
        assert!(troubles.is_empty(), "{troubles:#?}");
    }
}

async fn answers(dns: &DnsClient) -> Result<(), String> {
    let answer = dns.ask(&format!("nothing-of-this-name.{ZONE}"), Type::A).await;
    answer
        .map_err(|error| error.to_string())?
        .expect_code(Code::NXDomain)
}

pub(super) async fn probe(probes: &HttpClient, path: &str) -> (u16, String) {
    let begin = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(2), probes.get_text(path)).await;
    match answer {
        Ok(Ok(body)) => (200, body),
        Ok(Err(HttpError::Status { status, body, .. })) => (status.as_u16(), body),
        Ok(Err(error)) => (0, error.to_string()),
        Err(_) => (0, format!("no answer within {:?}", begin.elapsed())),
    }
}

pub(super) fn send(process: Pid, signal: Signal) {
    kill(process, signal).unwrap();
}
