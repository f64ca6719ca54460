//! A proxy as companies have them at the border of their network: clients name it in `HTTP_PROXY` and `HTTPS_PROXY`. All names
//! lead to loopback, so that it is also the way to names that no DNS knows.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::message::{Head, read_head};
use crate::net::loopback;

/// A port on loopback that ends with this.
pub struct ForwardProxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// What the header `Proxy-Authorization` must say.
    authorization: Option<&'static str>,
    asked: Mutex<Vec<String>>,
}

/// Who may use a proxy that is not for everybody.
pub const USER: &str = "tide";
pub const PASSWORD: &str = "ebb-and-flow";
const AUTHORIZATION: &str = "Basic dGlkZTplYmItYW5kLWZsb3c=";

impl ForwardProxy {
    /// Starts one for everybody.
    pub async fn start() -> Self {
        Self::serve(Shared::default()).await
    }

    /// Starts one that is for [`USER`] alone.
    pub async fn start_closed() -> Self {
        let authorization = Some(AUTHORIZATION);
        Self::serve(Shared {
            authorization,
            ..Shared::default()
        })
        .await
    }

    async fn serve(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(shared);
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = serving.clone();
                // Clients and servers that go away are none of ours.
                tokio::spawn(async move { pass(client, &shared).await });
            }
        });
        Self { port, shared, task }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same with user and password.
    #[must_use]
    pub fn url_with_password(&self) -> String {
        format!("http://{USER}:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// What it was asked and did so far, such as `GET http://host:80/path` and `CONNECT host:443`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, or one tunnel.
async fn pass(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let Some((mut head, begun)) = read_head(&mut client).await? else {
        return Ok(());
    };
    if shared
        .authorization
        .is_some_and(|wanted| head.get("proxy-authorization") != Some(wanted))
    {
        let refusal =
            b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(refusal).await?;
        // Closed before all is read, the connection could break before the answer is.
        client.shutdown().await?;
        return tokio::io::copy(&mut client, &mut tokio::io::sink())
            .await
            .map(drop);
    }
    let (method, target) = words(&head);
    shared.lock().push(format!("{method} {target}"));
    if method == "CONNECT" {
        let mut server = TcpStream::connect(loopback(port(&target)?)).await?;
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
        server.write_all(&begun).await?;
        return tokio::io::copy_bidirectional(&mut client, &mut server)
            .await
            .map(drop);
    }
    let rest = target.strip_prefix("http://").ok_or_else(not_for_a_proxy)?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(slash);
    head.first = format!("{method} {} HTTP/1.1", if path.is_empty() { "/" } else { path });
    head.remove("proxy-authorization");
    // The next request may be for another server.
    head.set("connection", "close");
    let mut server = TcpStream::connect(loopback(port(host)?)).await?;
    server.write_all(&[head.bytes(), begun].concat()).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    // The client leaves its side open; the server ends what it has to say.
    tokio::select! {
        answered = tokio::io::copy(&mut from_server, &mut to_client) => answered.map(drop),
        broken = async {
            let mut piece = vec![0; 1 << 16];
            loop {
                match from_client.read(&mut piece).await {
                    Ok(0) => std::future::pending().await,
                    Ok(length) => to_server.write_all(&piece[..length]).await?,
                    Err(error) => break Err(error),
                }
            }
        } => broken,
    }
}

fn words(head: &Head) -> (String, String) {
    let mut words = head.first.split(' ').map(str::to_owned);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

fn port(authority: &str) -> io::Result<u16> {
    let port = authority.rsplit_once(':').map_or("80", |(_, port)| port);
    port.parse().map_err(io::Error::other)
}

fn not_for_a_proxy() -> io::Error {
    io::Error::other("a request that names no server")
}
