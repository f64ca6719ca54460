//! A proxy in front of a store that breaks requests and answers as it is told. It has a thread of its own, so that it
//! goes on while a test waits for a process to end.

mod fault;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use fault::{Fault, Hold, Refusal, mix};

use crate::garage::Bucket;
use crate::message::{Head, read_head, split};

/// What a plan decides by.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The ID of the key that signed it is in here.
    pub authorization: String,
}

type Plan = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

struct State {
    plan: Option<Plan>,
    /// How far the clock in the answers is ahead, seconds.
    clock: i64,
    /// Faults that happened, by name.
    happened: BTreeMap<&'static str, u64>,
}

struct Shared {
    store: String,
    state: Mutex<State>,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn decide(&self, request: &Request) -> Option<Fault> {
        self.change(|state| {
            let fault = state.plan.as_mut()?(request)?;
            *state.happened.entry(fault.name()).or_default() += 1;
            Some(fault)
        })
    }

    /// What the clock of the store says, as a header.
    fn date(&self) -> String {
        let ahead = jiff::SignedDuration::from_secs(self.change(|state| state.clock));
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        let date = printer.timestamp_to_rfc9110_string(&(jiff::Timestamp::now() + ahead));
        date.unwrap_or_default()
    }
}

/// The proxy; it ends when it is dropped.
pub struct FaultProxy {
    endpoint: String,
    shared: Arc<Shared>,
    _running: oneshot::Sender<()>,
}

impl FaultProxy {
    /// Starts a proxy in front of the store of a bucket, which passes everything on.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start(bucket: &Bucket) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::new(Shared {
            store: bucket.endpoint.trim_start_matches("http://").to_owned(),
            state: Mutex::new(State {
                plan: None,
                clock: 0,
                happened: BTreeMap::new(),
            }),
        });
        let (running, stopped) = oneshot::channel();
        let serving = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = accept(listener, &serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            endpoint: format!("http://{address}"),
            shared,
            _running: running,
        }
    }

    /// The bucket as seen through the proxy.
    pub fn bucket(&self, bucket: &Bucket) -> Bucket {
        Bucket {
            endpoint: self.endpoint.clone(),
            ..bucket.clone()
        }
    }

    /// From now on each request meets what `plan` says.
    pub fn plan(&self, plan: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        self.shared.change(|state| state.plan = Some(Box::new(plan)));
    }

    /// From now on every request meets the same fault.
    pub fn always(&self, fault: &Fault) {
        let fault = fault.clone();
        self.plan(move |_| Some(fault.clone()));
    }

    /// From now on all is well, but for requests that hang already.
    pub fn heal(&self) {
        self.shared.change(|state| state.plan = None);
    }

    /// Sets the clock of the store, as answers show it, this far ahead.
    pub fn set_clock(&self, seconds: i64) {
        self.shared.change(|state| state.clock = seconds);
    }

    /// How many requests have met which fault so far.
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.shared.change(|state| state.happened.clone())
    }
}

async fn accept(listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let mut connections = JoinSet::new();
    loop {
        if let Ok((client, _)) = listener.accept().await {
            let shared = shared.clone();
            connections.spawn(async move {
                // Clients that go away are none of ours.
                let _ = serve(client, &shared).await;
            });
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One request after the other, until the connection ends.
async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    while let Some((head, mut body)) = read_head(&mut client).await? {
        let mut words = head.first.split(' ').map(str::to_owned);
        let fault = shared.decide(&Request {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            authorization: head.get("authorization").unwrap_or_default().to_owned(),
        });
        if matches!(fault, Some(Fault::ResetBefore)) {
            return client.set_zero_linger();
        }
        let length = head.length();
        if matches!(fault, Some(Fault::ResetInRequest)) {
            read_up_to(&mut client, &mut body, length / 2).await?;
            return client.set_zero_linger();
        }
        read_up_to(&mut client, &mut body, length).await?;
        match &fault {
            Some(Fault::Hang) => {
                // Until the client has had enough.
                while client.read_u8().await.is_ok() {}
                return Ok(());
            }
            Some(Fault::Refuse(refusal)) => {
                client.write_all(&refuse(refusal, shared)).await?;
                continue;
            }
            Some(Fault::Hold(hold)) => hold.wait().await,
            _ => {}
        }
        let Ok((mut answer, content)) = ask(&shared.store, head, &body).await else {
            // The store is not there, which looks like this from afar.
            return client.set_zero_linger();
        };
        answer.set("date", shared.date());
        match fault {
            Some(Fault::ResetAfter) => return client.set_zero_linger(),
            Some(Fault::ResetInAnswer) => {
                let all = [answer.bytes(), content].concat();
                client.write_all(&all[..all.len() / 2]).await?;
                client.flush().await?;
                return client.set_zero_linger();
            }
            Some(Fault::Truncate) => {
                if content.is_empty() {
                    answer.set("content-length", "17");
                }
                client.write_all(&answer.bytes()).await?;
                client.write_all(&content[..content.len() / 2]).await?;
                return client.shutdown().await;
            }
            Some(Fault::Trickle(bytes, pause)) => {
                for piece in [answer.bytes(), content].concat().chunks(bytes) {
                    tokio::time::sleep(pause).await;
                    client.write_all(piece).await?;
                }
            }
            _ => client.write_all(&[answer.bytes(), content].concat()).await?,
        }
    }
    Ok(())
}

/// Reads until `body` has so many bytes.
async fn read_up_to(client: &mut TcpStream, body: &mut Vec<u8>, length: usize) -> io::Result<()> {
    while body.len() < length {
        if client.read_buf(body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Asks the store, over a connection of its own.
async fn ask(store: &str, mut head: Head, body: &[u8]) -> io::Result<(Head, Vec<u8>)> {
    let mut stream = TcpStream::connect(store).await?;
    head.set("connection", "close");
    let (mut answers, mut requests) = stream.split();
    let request = [&head.bytes(), body].concat();
    let mut answer = Vec::new();
    // At a time: a store that refuses may answer and close before it has read everything.
    let asking = async { tokio::join!(requests.write_all(&request), answers.read_to_end(&mut answer)) };
    let _ = tokio::time::timeout(Duration::from_secs(30), asking).await?;
    let (mut head, content) = split(answer)?;
    head.remove("connection");
    Ok((head, content))
}

fn refuse(refusal: &Refusal, shared: &Shared) -> Vec<u8> {
    let Refusal {
        status,
        code,
        retry_after,
        region,
    } = refusal;
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>As planned.</Message></Error>"
    );
    let retry = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
    let region = region.map(|region| format!("x-amz-bucket-region: {region}\r\n"));
    format!(
        "HTTP/1.1 {status} As Planned\r\ncontent-type: application/xml\r\ncontent-length: {}\r\ndate: {}\r\n{}{}\r\n{body}",
        body.len(),
        shared.date(),
        retry.unwrap_or_default(),
        region.unwrap_or_default(),
    )
    .into_bytes()
}
