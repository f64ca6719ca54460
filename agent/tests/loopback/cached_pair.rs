//! Two servers, of which one writes and the other keeps answers: B must answer as A does.

use std::time::{Duration, Instant};

use zonetide_testbed::agent::Storage;
use zonetide_testbed::dns::Type;
use zonetide_testbed::http::HttpError;
use zonetide_testbed::poll::within;
use zonetide_testbed::{DnsClient, PowerDnsApi, Version};

use crate::node::{Node, ZONE};

/// From the questions that fill the caches until everything must be answered rightly: shorter than any cache keeps an answer
/// (20 s), so that waiting does not help.
const FRESH: Duration = Duration::from_secs(15);

/// A writes, with its caches off: what it answers is the truth. B is asked, with its caches on.
pub(crate) struct Pair {
    pub(crate) a: Node,
    pub(crate) b: Node,
    _shared: tempfile::TempDir,
}

type Question = (String, Type);

impl Pair {
    pub(crate) async fn start(version: Version) -> Self {
        Self::start_with(version, &[]).await
    }

    /// With these settings of B's PowerDNS.
    pub(crate) async fn start_with(version: Version, settings: &[&str]) -> Self {
        let shared = tempfile::tempdir().unwrap();
        let storage = || Storage::from(shared.path());
        let (mut a, mut b) = (
            Node::of(version, "a", storage()),
            Node::of(version, "b", storage()),
        );
        a.start().await;
        b.dns.leave_caches_on();
        for setting in settings {
            b.dns.set(setting);
        }
        b.agent.flush_caches_over(b.dns.control_socket());
        b.start().await;
        Self {
            a,
            b,
            _shared: shared,
        }
    }

    /// How often B's agent has emptied all caches.
    pub(crate) fn emptied(&self) -> usize {
        self.b.agent.log().matches("command=PurgeAll").count()
    }

    /// Fills B's caches with the answers to some questions, has A make a change and waits until B answers all of them as A
    /// does. The change must have changed the answer to one of them at least.
    pub(crate) async fn change(
        &self,
        what: &str,
        questions: &[(&str, Type)],
        change: impl AsyncFnOnce(&PowerDnsApi) -> Result<(), HttpError>,
    ) {
        let questions: Vec<Question> = questions
            .iter()
            .map(|(name, kind)| {
                let name = match *name {
                    "@" => ZONE.to_owned(),
                    absolute if absolute.ends_with('.') => absolute.to_owned(),
                    label => format!("{label}.{ZONE}"),
                };
                (name, *kind)
            })
            .collect();
        let filled = Instant::now();
        let before = answers(&self.b, &questions).await.unwrap();
        assert_eq!(
            before,
            answers(&self.a, &questions).await.unwrap(),
            "before {what}"
        );
        change(&self.a.api()).await.unwrap();
        let truth = answers(&self.a, &questions).await.unwrap();
        assert_ne!(
            truth, before,
            "{what} changes no answer: the test asks the wrong questions"
        );
        let result = within(FRESH.saturating_sub(filled.elapsed()), async || {
            let found = answers(&self.b, &questions).await?;
            let wrong = found.iter().zip(&truth).find(|(found, truth)| found != truth);
            wrong.map_or(Ok(()), |(found, truth)| {
                Err(format!("{found:#?} instead of {truth:#?}"))
            })
        });
        if let Err(stale) = result.await {
            panic!("after {what}: {stale}");
        }
        println!("{what}: right after {:?}", filled.elapsed());
    }
}

/// Each answer without and with signatures, over UDP.
async fn answers(node: &Node, questions: &[Question]) -> Result<Vec<Vec<String>>, String> {
    let mut answers = Vec::new();
    for (name, kind) in questions {
        for client in [node.dns.dns(), node.dns.dns().with_dnssec()] {
            let mut answer = gist(&client, name, *kind).await?;
            answer.insert(0, format!("{name} {kind}"));
            answers.push(answer);
        }
    }
    Ok(answers)
}

async fn gist(client: &DnsClient, name: &str, kind: Type) -> Result<Vec<String>, String> {
    let answer = client.ask(name, kind).await;
    Ok(answer.map_err(|error| error.to_string())?.gist())
}

pub(crate) fn absolute(label: &str) -> String {
    format!("{label}.{ZONE}")
}

/// One change of an RRset of `ZONE`.
pub(crate) async fn set(
    api: &PowerDnsApi,
    label: &str,
    kind: &str,
    records: &[&str],
) -> Result<(), HttpError> {
    api.replace(ZONE, &absolute(label), kind, records).await
}
