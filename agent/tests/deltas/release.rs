//! What was kept out of the zones is merged when its time comes, unless something later is there.

use crate::server::{SECOND, Server, Watched};
use crate::support::database_content;

use super::quarantine::{HOUR, MINUTE, pair, quarantined};

#[tokio::test]
async fn what_is_written_while_another_version_is_kept_is_the_later_one_when_the_time_of_that_comes() {
    for deletes in [false, true] {
        let (a, mut b, _dated) = pair().await;
        a.write("kept", "too far ahead");
        a.write("new", "too far ahead");
        a.send().await;
        b.receive().await;
        assert_eq!(quarantined(&b), 2);
        let mut c = Server::new("c", &b.store);
        let _c = c.learn_the_time();
        c.set_clock(b.now());
        c.receive().await;
        if deletes {
            b.delete("kept");
        } else {
            b.write("kept", "later");
        }
        b.send().await;
        c.pass(2 * SECOND);
        c.receive().await;
        assert_eq!(c.content().get("kept"), b.content().get("kept"));
        // An agent that starts meanwhile knows what it kept, and what it has read before it does not take for new.
        let _dated = b.learn_the_time();
        for server in [&b, &c] {
            server.pass(HOUR);
        }
        for server in [&b, &c, &a, &b, &c] {
            server.receive().await;
            server.send().await;
            let kept = server.content().get("kept").cloned();
            assert_eq!(kept, (!deletes).then(|| "later".to_owned()), "{}", server.name);
            assert_eq!(server.content()["new"], "too far ahead");
        }
        let late = Server::new("late", &b.store);
        late.receive().await;
        assert_eq!(late.content(), b.content());
    }
}

#[tokio::test]
async fn what_is_written_while_another_version_is_kept_is_the_later_one_when_that_ones_clock_is_set_right() {
    let store = Watched::new();
    let (mut a, mut b) = (Server::new("a", &store), Server::new("b", &store));
    let (of_a, _of_b) = (a.learn_the_time(), b.learn_the_time());
    for server in [&a, &b] {
        server.begin().await;
    }
    b.write("key", "first");
    b.send().await;
    a.receive().await;
    // The store's clock is as wrong as that of A.
    a.pass(HOUR);
    of_a.tell(0);
    a.write("key", "too far ahead");
    a.write("new", "too far ahead");
    a.send().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 2);
    for _ in 0..10 {
        b.pass(MINUTE);
        a.pass(MINUTE);
    }
    b.write("key", "later");
    b.send().await;
    a.receive().await;
    assert_eq!(a.content()["key"], "too far ahead");
    b.pass(MINUTE);
    a.pass(MINUTE);
    a.receive().await;
    // Both are set right.
    a.set_clock(b.now());
    for _ in 0..2 {
        for server in [&a, &b] {
            server.receive().await;
            server.send().await;
        }
    }
    for server in [&a, &b] {
        assert_eq!(server.content()["key"], "later", "{}", server.name);
        assert_eq!(server.content()["new"], "too far ahead");
    }
    // B does not know yet that A has given up what it had under the key: it stays so when the time of that comes.
    for _ in 0..2 {
        for server in [&a, &b] {
            server.pass(HOUR);
            server.receive().await;
            server.send().await;
        }
    }
    for server in [&a, &b] {
        assert_eq!(server.content()["key"], "later", "{}", server.name);
        assert_eq!(quarantined(server), 0);
    }
    assert_eq!(database_content(&a.env), database_content(&b.env));
}

#[tokio::test]
async fn of_two_versions_of_one_writer_the_later_is_there_in_the_end_though_the_first_is_merged_when_it_comes()
 {
    let (a, b, _dated) = pair().await;
    let exchange = async || {
        for server in [&a, &b] {
            server.receive().await;
            server.send().await;
        }
    };
    let pass = |minutes: u64| {
        for server in [&a, &b] {
            server.pass(minutes * MINUTE);
        }
    };
    a.write("kept", "first");
    a.send().await;
    b.receive().await;
    pass(56);
    exchange().await;
    assert_eq!(b.content()["kept"], "first");
    // The time of the first is four minutes ahead yet.
    a.write("kept", "second");
    a.send().await;
    b.receive().await;
    assert_eq!(b.content()["kept"], "first");
    for _ in 0..2 {
        pass(60);
        exchange().await;
        exchange().await;
    }
    for server in [&a, &b] {
        assert_eq!(server.content()["kept"], "second", "{}", server.name);
    }
}

#[tokio::test]
async fn what_is_written_over_a_value_that_its_writer_has_given_a_time_to_come_is_later() {
    let (a, b, _dated) = pair().await;
    // Unchanged, as when PowerDNS rectifies a zone.
    a.write("kept", "b");
    a.send().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 1);
    b.pass(10 * MINUTE);
    b.write("kept", "later");
    b.send().await;
    for _ in 0..2 {
        for server in [&a, &b] {
            server.pass(HOUR);
            server.receive().await;
            server.replica.send(true).await.unwrap();
        }
    }
    a.receive().await;
    for server in [&a, &b] {
        assert_eq!(server.content()["kept"], "later", "{}", server.name);
    }
}

#[tokio::test]
async fn what_is_written_after_a_wrong_clock_was_set_right_stays_though_a_third_still_has_the_time_to_come() {
    let store = Watched::new();
    let (mut a, mut b) = (Server::new("a", &store), Server::new("b", &store));
    let (of_a, _of_b) = (a.learn_the_time(), b.learn_the_time());
    let unaware = Server::new("unaware", &store);
    for server in [&a, &b, &unaware] {
        server.begin().await;
    }
    // The store's clock is as wrong as that of A.
    a.pass(HOUR);
    of_a.tell(0);
    a.write("key", "value");
    a.send().await;
    b.receive().await;
    unaware.receive().await;
    assert_eq!((quarantined(&b), unaware.content()["key"].as_str()), (1, "value"));
    for server in [&a, &b, &unaware] {
        server.pass(10 * MINUTE);
    }
    a.set_clock(b.now());
    a.receive().await;
    a.send().await;
    b.receive().await;
    assert_eq!(quarantined(&b), 0);
    b.write("key", "later");
    b.send().await;
    // Whoever does not know the time has it as it was, and says so again.
    for _ in 0..3 {
        for server in [&a, &b, &unaware] {
            server.pass(30 * MINUTE);
            server.receive().await;
            server.replica.send(true).await.unwrap();
        }
    }
    for server in [&a, &b, &unaware] {
        server.receive().await;
        assert_eq!(server.content()["key"], "later", "{}", server.name);
    }
}

#[tokio::test]
async fn what_is_written_the_moment_before_a_kept_version_is_merged_is_later() {
    let (a, mut b, _dated) = pair().await;
    // More than one commit has room for, and all of them are before the one that counts.
    let others = (0..10_000).map(|number| (format!("a{number:05}"), b"too far ahead".to_vec()));
    a.write_all(others);
    a.write("kept", "too far ahead");
    a.send().await;
    b.receive().await;
    b.pass(HOUR - 2 * MINUTE);
    b.write_after_the_next_merge("kept", "later");
    b.receive().await;
    b.send().await;
    a.pass(HOUR);
    a.receive().await;
    for server in [&a, &b] {
        assert_eq!(server.content()["kept"], "later", "{}", server.name);
        assert_eq!(server.content()["a09999"], "too far ahead");
    }
}

#[tokio::test]
async fn what_is_written_after_a_version_to_come_was_stored_is_later_though_that_is_read_after_it() {
    let (a, b, _dated) = pair().await;
    a.write("kept", "too far ahead");
    a.store.is_at(b.now());
    a.send().await;
    b.pass(MINUTE);
    b.write("kept", "later");
    b.receive().await;
    b.pass(HOUR);
    b.receive().await;
    b.send().await;
    a.pass(HOUR);
    a.receive().await;
    for server in [&a, &b] {
        assert_eq!(server.content()["kept"], "later", "{}", server.name);
    }
}
