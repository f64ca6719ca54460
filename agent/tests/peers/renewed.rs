//! Certificates come, go and change while agents run.

use std::time::SystemTime;

use zonetide_testbed::Authority;

use crate::agent::{Agent, until};
use crate::private::{DAY, agent, client, none, of, post};

#[tokio::test]
async fn certificates_and_authorities_are_renewed_without_a_restart() {
    let (authority, next) = (Authority::new(), Authority::new());
    let (a_files, b_files) = (of(&authority, "a"), of(&authority, "b"));
    let mut b = agent("b", &b_files, &[]).await;
    let a = agent("a", &a_files, &[b.address]).await;
    a.reaches(&b).await;
    let known_to = |ca: &Authority| {
        let client = client(&of(ca, "c"), true).tls_danger_accept_invalid_certs(true);
        client.build().unwrap()
    };
    let (first_one, next_one) = (known_to(&authority), known_to(&next));
    // Step by step, as the documentation has it: both believe the next one as well, ...
    for files in [&a_files, &b_files] {
        files.believe(&[&next, &authority]);
    }
    for agent in [&a, &b] {
        until_answers(agent, &next_one, true).await;
    }
    a.tell("both-are-believed", 10);
    assert_eq!(b.next().await, "both-are-believed");
    // ... have certificates of it, ...
    let in_use = |agent: &Agent| agent.report().certificate.unwrap().fingerprint;
    let before = [&a, &b].map(in_use);
    for (files, instance) in [(&a_files, "a"), (&b_files, "b")] {
        let name = format!("urn:zonetide:instance:{instance}");
        files.renew(&next, &[&name], SystemTime::now() + DAY);
    }
    until("both use others", || {
        [&a, &b]
            .map(in_use)
            .iter()
            .zip(&before)
            .all(|(now, before)| now != before)
    })
    .await;
    a.tell("both-have-others", 10);
    assert_eq!(b.next().await, "both-have-others");
    // ... and believe the first one no more.
    for files in [&a_files, &b_files] {
        files.believe(&[&next]);
    }
    for agent in [&a, &b] {
        until_answers(agent, &first_one, false).await;
    }
    a.tell("the-first-is-not-believed", 10);
    assert_eq!(b.next().await, "the-first-is-not-believed");
}

/// Asks until there is an answer, or until there is none any more.
async fn until_answers(agent: &Agent, client: &reqwest::Client, answers: bool) {
    while post(client, agent, "/peer/v1/hello", "c").send().await.is_ok() != answers {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_agent_whose_certificate_is_not_there_yet_says_so_and_begins_once_it_is() {
    let authority = Authority::new();
    let (a_files, b_files) = (none(), none());
    let mut b = agent("b", &b_files, &[]).await;
    let a = agent("a", &a_files, &[b.address]).await;
    let says_why = || {
        let error = a.link(b.address).and_then(|link| link.last_error);
        error.is_some_and(|error| error.contains("peers.tls.ca_file: cannot read"))
    };
    until("it says why nobody is reached", says_why).await;
    for (files, instance) in [(&b_files, "b"), (&a_files, "a")] {
        let name = format!("urn:zonetide:instance:{instance}");
        files.write(&authority, &[&name], SystemTime::now() + DAY);
    }
    a.reaches(&b).await;
    a.tell("first", 10);
    assert_eq!(b.next().await, "first");
}
