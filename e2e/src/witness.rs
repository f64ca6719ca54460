//! Asks servers the same questions again and again while something happens to them. Silence is fine, a wrong answer
//! is not: a name that exists must never be answered with NXDOMAIN, REFUSED, nothing or old data.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
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
        let (stop, stopped) = watch::channel(false);
        let tasks = pods
            .iter()
            .map(|pod| {
                let dns = cluster.dns(pod);
                let ask = async move |question: &Question| match dns.ask(&question.name, Type::A).await {
                    Ok(answer) => answer
                        .expect(&[&question.address])
                        .map_or_else(Said::Wrong, |()| Said::Right),
                    Err(error) if error.is_silence() => Said::Nothing,
                    Err(error) => Said::Wrong(error.to_string()),
                };
                tokio::spawn(witness(
                    pod.clone(),
                    PODS_EVERY,
                    questions.to_vec(),
                    stopped.clone(),
                    ask,
                ))
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
