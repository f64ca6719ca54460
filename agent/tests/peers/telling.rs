//! What is told arrives, and whoever is not there costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::agent::{Addresses, Agent, changes, listen, settings, until, with_list};

#[tokio::test]
async fn changes_arrive_in_the_order_of_each_sender_and_the_senders_are_in_contact() {
    let mut c = Agent::lonely("c").await;
    let a = Agent::telling("a", with_list(&[c.address])).await;
    let b = Agent::telling("b", with_list(&[c.address])).await;
    a.reaches(&c).await;
    b.reaches(&c).await;
    for number in 0..100 {
        a.tell(&format!("{number:03}"), 100);
        b.tell(&format!("{number:03}"), 100);
    }
    let mut names = BTreeMap::<_, Vec<_>>::new();
    for _ in 0..200 {
        let arrived = c.next_arrived().await;
        assert_eq!(
            (arrived.changes.object.len(), &*arrived.changes.database),
            (100, "main")
        );
        names
            .entry(arrived.from_instance.clone())
            .or_default()
            .push(arrived.changes.name);
    }
    assert_eq!(names.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(
        names
            .values()
            .all(|names| names.is_sorted() && names.len() == 100)
    );
    until("both are in contact", || {
        c.contacts.in_contact("a") && c.contacts.in_contact("b")
    })
    .await;
    assert!(!a.contacts.in_contact("c"), "c has never said anything by itself");
    a.flush().await;
    let link = a.link(c.address).unwrap();
    assert_eq!((link.told, link.dropped, link.failed), (100, 0, 0));
    assert_eq!(link.instance.as_deref(), Some("c"));
    assert_eq!(c.report().contacts["a"].received, 100);
}

#[tokio::test]
async fn dead_and_silent_peers_delay_nobody_and_what_they_miss_is_counted() {
    let mut b = Agent::lonely("b").await;
    let (gone, dead) = listen().await;
    drop(gone);
    // It takes connections and never answers.
    let (_silent, mute) = listen().await;
    let mut settings = with_list(&[dead, mute, b.address]);
    settings.request_timeout = Duration::from_secs(3600);
    settings.queue_messages = 10;
    let a = Agent::telling("a", settings).await;
    a.reaches(&b).await;
    until("the dead one is known to be dead", || a.stands(dead, "away")).await;
    for number in 0..50 {
        let name = format!("{number:03}");
        a.tell(&name, 10);
        assert_eq!(b.next().await, name);
    }
    assert_eq!(a.link(dead).unwrap().dropped, 50);
    assert_eq!(a.link(mute).unwrap().dropped, 40);
    assert_eq!(a.link(b.address).unwrap().dropped, 0);
    assert!(a.link(dead).unwrap().last_error.unwrap().contains("refused"));
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_is_given_up_until_it_does() {
    let (_silent, mute) = listen().await;
    let mut settings = with_list(&[mute]);
    settings.request_timeout = Duration::from_millis(50);
    let a = Agent::telling("a", settings).await;
    until("it is known", || a.link(mute).is_some()).await;
    a.tell("first", 10);
    until("it is given up", || a.stands(mute, "away")).await;
    a.tell("second", 10);
    assert_eq!(a.link(mute).unwrap().dropped, 2);
    a.flush().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_follow_makes_the_queue_overflow_and_learns_what_it_missed() {
    let mut few = settings();
    few.queue_messages = 4;
    let mut b = Agent::telling("b", few).await;
    let mut few = with_list(&[b.address]);
    few.queue_messages = 4;
    let a = Agent::telling("a", few).await;
    a.reaches(&b).await;
    for number in 0..50 {
        a.tell(&format!("{number:03}"), 10);
        a.outbox.set_progress("main", number);
        if number == 3 {
            until("b is full", || a.link(b.address).unwrap().told == 4).await;
        }
    }
    until("b says so", || b.report().refused.contains_key("busy")).await;
    for number in 0..8 {
        assert_eq!(b.next().await, format!("{number:03}"));
    }
    a.flush().await;
    let link = a.link(b.address).unwrap();
    assert_eq!((link.standing, link.told, link.dropped), ("reached", 8, 42));
    until("b knows that there is more", || {
        b.contacts.progress("a", "main") == Some(49)
    })
    .await;
    for _ in 0..4 {
        a.tell("more", 10);
    }
    a.flush().await;
    a.tell("too-much", 10);
    a.flush().await;
    let link = a.link(b.address).unwrap();
    assert_eq!((link.standing, link.told, link.dropped), ("reached", 12, 43));
}

#[tokio::test]
async fn what_is_stored_and_not_told_is_announced_without_waiting_for_the_next_hello() {
    let b = Agent::lonely("b").await;
    let mut settings = with_list(&[b.address]);
    settings.hello = Duration::from_secs(3600);
    let a = Agent::telling("a", settings).await;
    a.reaches(&b).await;
    a.outbox.set_progress("main", 6);
    let mut news = b.contacts.news();
    news.mark_unchanged();
    a.outbox.announce("main", 7);
    a.outbox.announce("unknown", 8);
    news.changed().await.unwrap();
    until("the progress is known", || {
        b.contacts.progress("a", "main") == Some(7)
    })
    .await;
    assert_eq!(b.contacts.progress("a", "unknown"), None);
}

#[tokio::test]
async fn a_restarted_peer_is_reached_again_as_soon_as_it_says_hello() {
    let a_listener = listen().await;
    let (b_listener, b_address) = listen().await;
    let mut rare = with_list(&[b_address]);
    // Only the hello of the other side can bring them together again.
    rare.hello = Duration::from_secs(3600);
    let a = Agent::start("a", a_listener.0, rare, Arc::default());
    let b = Agent::start("b", b_listener, with_list(&[a.address]), Arc::default());
    b.reaches(&a).await;
    a.reaches(&b).await;
    until("a hears b", || a.contacts.in_contact("b")).await;
    let boot = a.contacts.all()[0].boot.clone();
    b.end();
    until("nobody listens", || {
        std::net::TcpStream::connect(b_address).is_err()
    })
    .await;
    a.tell("lost", 10);
    until("b is away", || a.stands(b_address, "away")).await;

    let listener = TcpListener::bind(b_address).await.unwrap();
    let mut b = Agent::start("b", listener, with_list(&[a.address]), Arc::default());
    a.reaches(&b).await;
    assert_ne!(a.contacts.all()[0].boot, boot);
    a.tell("again", 10);
    assert_eq!(b.next().await, "again");
}

#[tokio::test]
async fn peers_come_and_go_with_the_dns_and_stay_while_it_does_not_answer() {
    let (mut b, mut c) = (Agent::lonely("b").await, Agent::lonely("c").await);
    let dns = Arc::new(Addresses::default());
    *dns.0.lock().unwrap() = vec![b.address];
    let mut settings = settings();
    settings.dns = Some(("example-peers".into(), 8500));
    let (listener, _) = listen().await;
    let a = Agent::start("a", listener, settings, dns.clone());
    a.reaches(&b).await;
    *dns.0.lock().unwrap() = vec![b.address, c.address];
    a.reaches(&c).await;
    a.tell("both", 10);
    assert_eq!((b.next().await, c.next().await), ("both".into(), "both".into()));
    *dns.0.lock().unwrap() = vec![c.address];
    until("b is no peer any more", || a.link(b.address).is_none()).await;
    // An answer that names nobody is none.
    dns.0.lock().unwrap().clear();
    a.tell("one", 10);
    assert_eq!(c.next().await, "one");
    a.flush().await;
    assert!(b.arrivals.try_recv().is_err());
    assert!(a.stands(c.address, "reached"));
}

#[tokio::test]
async fn the_own_address_is_recognised_and_neither_told_nor_counted() {
    let mut b = Agent::lonely("b").await;
    let (listener, own) = listen().await;
    let a = Agent::start("a", listener, with_list(&[own, b.address]), Arc::default());
    a.reaches(&b).await;
    until("it meets itself", || a.stands(own, "own")).await;
    a.tell("x", 10);
    assert_eq!(b.next().await, "x");
    a.flush().await;
    let link = a.link(own).unwrap();
    assert_eq!((link.told, link.dropped, link.failed), (0, 0, 0));
    assert!(!a.contacts.in_contact("a"));
    assert!(a.report().refused.is_empty());
}

#[tokio::test]
async fn a_peer_with_two_addresses_is_told_once() {
    let mut b = Agent::lonely("b").await;
    let mut settings = with_list(&[b.address]);
    let other = format!("http://localhost:{}", b.address.port());
    settings.list.push(other.clone());
    let a = Agent::telling("a", settings).await;
    a.reaches(&b).await;
    until("the other address answers", || {
        let links = a.report().links;
        links
            .iter()
            .any(|link| link.address == other && link.standing == "reached")
    })
    .await;
    a.tell("1", 10);
    a.tell("2", 10);
    assert_eq!((b.next().await, b.next().await), ("1".into(), "2".into()));
    a.flush().await;
    assert!(b.arrivals.try_recv().is_err());
}

#[tokio::test]
async fn without_peers_nothing_is_told_and_waiting_for_changes_never_ends() {
    let peers = zonetide_agent::peers::Peers::none(["main".to_owned()]);
    let mut peering = peers.of_database("main").unwrap();
    assert!(peers.of_database("main").is_none() && peers.of_database("other").is_none());
    assert!(!peering.outbox.is_on() && !peering.outbox.tell(&changes("x", 1)));
    assert!(peers.reporter().is_none() && peers.collector().is_none());
    drop(peers);
    let ended = tokio::time::timeout(Duration::from_millis(20), peering.arrivals.recv()).await;
    assert!(ended.is_err(), "a replica would turn in circles");
}
