//! Asks servers the same questions again and again while something happens to them. Silence is fine, a wrong answer
//! is not: a name that exists must never be answered with NXDOMAIN, REFUSED, nothing or old data.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use zonetide_testbed::DnsClient;
use zonetide_testbed::dns::Type;

use crate::exec;
use crate::handle::Handle;

// The questions must not be the load that makes the machine slow; one to the Service is a process in a container.
const PODS_EVERY: Duration = Duration::from_millis(100);
const SERVICE_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub struct Question {
    pub name: String,
    pub address: String,
}

/// What one server said until the end.
#[derive(Debug)]
pub struct Report {
    pub who: String,
    pub right: u32,
    pub silent: u32,
    pub wrong: Vec<String>,
}

pub struct Witness {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Report>>,
}

enum Said {
    Right,
    Nothing,
    Wrong(String),
}

impl Witness {
    /// Asks each of these pods directly, whether it is ready or not. A pod that is not there is silent.
    pub fn of_pods(cluster: &Handle, pods: &[String], questions: &[Question]) -> Self {
        Self::of_servers(pods.iter().map(|pod| (pod.clone(), cluster.dns(pod))), questions)
    }

    fn of_servers(servers: impl Iterator<Item = (String, DnsClient)>, questions: &[Question]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = servers
            .map(|(who, dns)| {
                let ask = async move |question: &Question| match dns.ask(&question.name, Type::A).await {
                    Ok(answer) => answer
                        .expect(&[&question.address])
                        .map_or_else(Said::Wrong, |()| Said::Right),
                    Err(error) if error.is_silence() => Said::Nothing,
                    Err(error) => Said::Wrong(error.to_string()),
                };
                tokio::spawn(witness(who, PODS_EVERY, questions.to_vec(), stopped.clone(), ask))
            })
            .collect();
        Self { stop, tasks }
    }

    /// Asks the DNS Service by UDP from inside `asker`, a pod that stays.
    #[must_use]
    pub fn and_of_service(mut self, cluster: &Handle, asker: &str, questions: &[Question]) -> Self {
        let (handle, pod) = (cluster.clone(), asker.to_owned());
        let ask = async move |question: &Question| match exec::ask_service(&handle, &pod, &question.name, "A")
            .await
        {
            Ok(answer) if answer.code == "No Error" && answer.values == [question.address.clone()] => {
                Said::Right
            }
            Ok(answer) => Said::Wrong(format!("{answer:?}")),
            Err(_) => Said::Nothing,
        };
        let (stopped, questions) = (self.stop.subscribe(), questions.to_vec());
        let service = "the Service".to_owned();
        self.tasks.push(tokio::spawn(witness(
            service,
            SERVICE_EVERY,
            questions,
            stopped,
            ask,
        )));
        self
    }

    /// Ends the questions.
    ///
    /// # Panics
    /// When one answer was wrong, or when a witness has seen no answer at all and so proves nothing.
    #[allow(clippy::expect_used)]
    pub async fn finish(self) -> Vec<Report> {
        // Receivers are gone only when a task has panicked, which the join below shows.
        let _ = self.stop.send(true);
        let mut reports = Vec::new();
        for task in self.tasks {
            reports.push(task.await.expect("a witness that ends by itself"));
        }
        for report in &reports {
            eprintln!(
                "{}: {} right answers, {} times silent",
                report.who, report.right, report.silent
            );
            assert!(
                report.wrong.is_empty(),
                "{} answered wrongly: {:#?}",
                report.who,
                report.wrong
            );
            assert!(report.right > 0, "{} never answered", report.who);
        }
        reports
    }
}

async fn witness<F>(
    who: String,
    every: Duration,
    questions: Vec<Question>,
    mut stopped: watch::Receiver<bool>,
    ask: F,
) -> Report
where
    F: AsyncFn(&Question) -> Said,
{
    let start = Instant::now();
    let mut report = Report {
        who,
        right: 0,
        silent: 0,
        wrong: Vec::new(),
    };
    for question in questions.iter().cycle() {
        let said = tokio::select! {
            said = ask(question) => said,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match said {
            Said::Right => report.right += 1,
            Said::Nothing => report.silent += 1,
            Said::Wrong(what) => {
                report
                    .wrong
                    .push(format!("{} after {:?}: {what}", question.name, start.elapsed()));
            }
        }
        tokio::time::sleep(every).await;
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use zonetide_testbed::PowerDns;

    const ZONE: &str = "seen.example.";

    async fn server() -> (tempfile::TempDir, PowerDns) {
        let dir = tempfile::tempdir().unwrap();
        let mut server = PowerDns::new("pdns", &dir.path().join("pdns.lmdb"));
        server.start().await;
        server.api().create_zone(ZONE).await.unwrap();
        set(&server, "192.0.2.1").await;
        (dir, server)
    }

    async fn set(server: &PowerDns, address: &str) {
        server
            .api()
            .replace(ZONE, &format!("www.{ZONE}"), "A", &[address])
            .await
            .unwrap();
    }

    fn of(server: &PowerDns) -> Witness {
        let question = Question {
            name: format!("www.{ZONE}"),
            address: "192.0.2.1".to_owned(),
        };
        Witness::of_servers(
            [("the server".to_owned(), server.dns_tcp())].into_iter(),
            &[question],
        )
    }

    async fn a_while() {
        tokio::time::sleep(4 * PODS_EVERY).await;
    }

    #[tokio::test]
    async fn a_server_that_is_away_for_a_while_has_said_nothing_wrong() {
        let (_dir, mut server) = server().await;
        let witness = of(&server);
        a_while().await;
        server.stop();
        a_while().await;
        let reports = witness.finish().await;
        assert!(reports[0].right > 0 && reports[0].silent > 0, "{reports:?}");
    }

    #[tokio::test]
    #[should_panic(expected = "the server answered wrongly")]
    async fn one_old_answer_is_seen() {
        let (_dir, server) = server().await;
        let witness = of(&server);
        a_while().await;
        set(&server, "192.0.2.2").await;
        a_while().await;
        set(&server, "192.0.2.1").await;
        witness.finish().await;
    }

    #[tokio::test]
    #[should_panic(expected = "the server answered wrongly")]
    async fn a_zone_that_is_gone_is_seen() {
        let (_dir, server) = server().await;
        let witness = of(&server);
        a_while().await;
        server.api().delete_zone(ZONE).await.unwrap();
        a_while().await;
        witness.finish().await;
    }

    #[tokio::test]
    #[should_panic(expected = "the server never answered")]
    async fn silence_all_the_time_proves_nothing() {
        let (_dir, mut server) = server().await;
        server.stop();
        let witness = of(&server);
        a_while().await;
        witness.finish().await;
    }
}
