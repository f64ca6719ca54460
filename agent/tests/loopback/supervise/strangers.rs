//! Strangers who open connections and are silent, or slow, on both listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use zonetide_testbed::Garage;
use zonetide_testbed::http::HttpClient;

use super::pod::{Pod, probe};

/// The kubelet's patience with these probes.
const IN_TIME: Duration = Duration::from_secs(2);

/// Opens connections from another address of this machine, all at a time, which say `head` and no more.
async fn crowd(to: SocketAddr, count: usize, head: &str) -> Vec<TcpStream> {
    let connect = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut connection = socket.connect(to).await.unwrap();
        // One that had to make room already takes nothing.
        let _ = connection.write_all(head.as_bytes()).await;
        connection
    };
    join_all((0..count).map(|_| connect())).await
}

async fn answers_in_time(to: SocketAddr, paths: &[&str]) {
    let client = HttpClient::new(Arc::new(to));
    for path in paths {
        let begin = Instant::now();
        let (status, said) = probe(&client, path).await;
        let took = begin.elapsed();
        assert!(
            status == 200 && took < IN_TIME,
            "{path}: {status} {said} after {took:?}"
        );
    }
}

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[tokio::test]
async fn two_thousand_idle_connections_and_half_requests_of_strangers_keep_nobody_from_an_answer() {
    let garage = Garage::start().await;
    let mut pod = Pod::new("a", &garage.bucket("zones").await);
    pod.start().await;
    let (own, probes) = (pod.node.agent.address(), pod.node.agent.probes());
    let all = [
        (own, &["/livez", "/readyz", "/status", "/metrics"][..]),
        (probes, &["/livez", "/startup", "/dns"]),
    ];
    let mut crowds = Vec::new();
    for head in [
        "",
        "GET /livez HTTP/1.1\r\nHos",
        "GET /drain?seconds=30 HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        for (address, paths) in all {
            for _ in 0..10 {
                crowds.push(crowd(address, 200, head).await);
                answers_in_time(address, paths).await;
            }
        }
        // Of the same kind there are not two at a time: this process may have 20,000 files at most.
        crowds.clear();
    }
    let agent = u32::try_from(pod.agent().unwrap().as_raw()).unwrap();
    for process in [agent, pod.node.agent.pid()] {
        assert!(open_files(process) < 1200, "{}", open_files(process));
    }
    // Two thousand connections at a time included.
    let memory = pod.memory();
    assert!(memory < 40 << 10, "{memory} KiB");
    assert_eq!(
        pod.agent().map(|agent| agent.as_raw().unsigned_abs()),
        Some(agent),
        "it was not started anew"
    );
}

#[tokio::test]
async fn where_few_files_may_be_open_connections_take_half_of_them_at_most() {
    let garage = Garage::start().await;
    let mut pod = Pod::new("a", &garage.bucket("zones").await);
    pod.node.agent.run_through(&["prlimit", "--nofile=128"]);
    pod.start().await;
    let (own, probes) = (pod.node.agent.address(), pod.node.agent.probes());
    let _crowds = [crowd(own, 500, "").await, crowd(probes, 500, "").await];
    answers_in_time(own, &["/livez", "/readyz"]).await;
    answers_in_time(probes, &["/livez", "/startup", "/dns"]).await;
    let agent = u32::try_from(pod.agent().unwrap().as_raw()).unwrap();
    for process in [agent, pod.node.agent.pid()] {
        assert!(open_files(process) < 128, "{}", open_files(process));
    }
}
