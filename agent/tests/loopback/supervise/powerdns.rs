//! A PowerDNS that is stopped, fails, or has no place left for TCP.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::{TcpSocket, TcpStream};
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{Garage, eventually};

use super::pod::{Pod, send};
use crate::node::{SOON, ZONE};

#[tokio::test]
async fn a_powerdns_that_is_stopped_by_a_signal_is_seen_within_two_seconds() {
    let garage = Garage::start().await;
    let mut pod = Pod::new("a", &garage.bucket("zones").await);
    pod.start().await;
    let dns = Pid::from_raw(i32::try_from(pod.node.dns.pid()).unwrap());
    send(dns, Signal::SIGSTOP);
    let begin = Instant::now();
    pod.comes_to_answer("/dns", 503, "PowerDNS is silent over UDP and is silent over TCP")
        .await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let begin = Instant::now();
    assert_eq!(pod.probe("/dns").await.0, 503);
    assert_eq!(pod.probe("/dns/livez").await.0, 503);
    assert!(begin.elapsed() < Duration::from_secs(1));
    send(dns, Signal::SIGCONT);
    pod.comes_to_answer("/dns", 200, "answers over UDP and answers over TCP")
        .await;
}

/// Has every name below a zone that is not there fail.
async fn break_zone(pod: &Pod, zone: &str) {
    let api = pod.node.api();
    api.replace(zone, &format!("*.{zone}"), "LUA", &["CNAME \"this is no Lua\""])
        .await
        .unwrap();
    eventually(SOON, &format!("{zone} fails"), async || {
        let answer = pod.node.dns.dns().ask(&format!("x.{zone}"), Type::SOA).await;
        answer
            .map_err(|error| error.to_string())?
            .expect_code(Code::ServFail)
    })
    .await;
}

#[tokio::test]
async fn a_wildcard_that_fails_takes_no_server_away_not_even_in_every_zone() {
    let garage = Garage::start().await;
    let mut pod = Pod::new("a", &garage.bucket("zones").await);
    pod.node.dns.set("enable-lua-records=yes");
    // PowerDNS 5.1 takes none by its API otherwise.
    pod.node.dns.set("enable-lua-record-updates=yes");
    pod.start().await;
    let zones = ["one.example.", "two.example.", "three.example."];
    for zone in zones {
        pod.node.api().create_zone(zone).await.unwrap();
    }
    // The agent looks at the zones when it starts, and later once a minute.
    let agent = pod.agent().unwrap();
    send(agent, Signal::SIGKILL);
    pod.comes_back(agent).await;
    let socket = pod.node.dns.control_socket();
    let file = socket.parent().unwrap().join("zonetide-zones");
    eventually(SOON, "the zones are named", async || {
        let names = std::fs::read_to_string(&file).unwrap_or_default();
        if names.lines().count() == 3 {
            Ok(())
        } else {
            Err(names)
        }
    })
    .await;

    for zone in &zones {
        break_zone(&pod, zone).await;
        for path in ["/dns", "/dns/livez"] {
            pod.comes_to_answer(path, 200, "answers over UDP and answers over TCP")
                .await;
        }
    }

    // One that has gone meanwhile is refused, which is an answer.
    pod.node.api().delete_zone(zones[2]).await.unwrap();
    pod.comes_to_answer("/dns", 200, "answers over UDP and answers over TCP")
        .await;

    std::fs::write(&file, [0xff; 10_000]).unwrap();
    pod.comes_to_answer("/dns", 200, "UDP").await;
    std::fs::remove_file(&file).unwrap();
    pod.comes_to_answer("/dns", 200, "UDP").await;
}

#[tokio::test]
async fn whoever_takes_all_places_for_tcp_does_not_take_the_server_away() {
    let garage = Garage::start().await;
    let mut pod = Pod::new("a", &garage.bucket("zones").await);
    pod.start().await;
    pod.node.api().create_zone(ZONE).await.unwrap();
    let mut crowd: Vec<TcpStream> = Vec::new();
    for _ in 0..40 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        crowd.push(socket.connect(pod.node.dns.address()).await.unwrap());
    }
    pod.comes_to_answer("/dns", 200, "is silent over TCP: others may have taken")
        .await;
    drop(crowd);
    pod.comes_to_answer("/dns", 200, "answers over UDP and answers over TCP")
        .await;
}
