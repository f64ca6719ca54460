//! Moments at which a process is killed that chance would seldom hit: inside a write transaction, inside an upload.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use zonetide_testbed::garage::Bucket;

/// Where LMDB 0.9 has the mutex of its writers in the lock file, after a cache line of its own. The first word of
/// glibc's robust mutexes is the thread that holds it.
const WRITERS: u64 = 64;
/// Bits of that word that are not the thread: somebody waits; the owner died.
const THREAD: u32 = 0x3fff_ffff;
const OWNER_DIED: u32 = 0x4000_0000;

/// The lock of the writers of one LMDB file.
pub(super) struct WriteLock(File);

impl WriteLock {
    pub(super) fn of(database: &Path) -> Self {
        let mut lock = database.as_os_str().to_owned();
        lock.push("-lock");
        Self(File::open(PathBuf::from(lock)).unwrap())
    }

    fn word(&self) -> u32 {
        let mut word = [0; 4];
        self.0.read_exact_at(&mut word, WRITERS).unwrap();
        u32::from_ne_bytes(word)
    }

    /// The thread of this process that holds the lock.
    fn holder_in(&self, pid: u32) -> Option<u32> {
        let thread = self.word() & THREAD;
        (thread != 0 && task(pid, thread).exists()).then_some(thread)
    }

    /// The one who held the lock died, and nobody has taken it since.
    pub(super) fn is_orphaned(&self) -> bool {
        self.word() & OWNER_DIED != 0
    }

    /// Stops a process while it holds the lock, for good. False when it did not take it within `patience`.
    pub(super) fn stop_holder(&self, pid: u32, patience: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(thread) = self.holder_in(pid) {
                signal(pid, Signal::SIGSTOP);
                while !is_stopped(pid, thread) {
                    std::thread::sleep(Duration::from_micros(50));
                }
                if self.holder_in(pid) == Some(thread) {
                    return true;
                }
                signal(pid, Signal::SIGCONT);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        false
    }
}

fn task(pid: u32, thread: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{thread}"))
}

/// A thread that has ended counts: it will not move either.
fn is_stopped(pid: u32, thread: u32) -> bool {
    let stat = std::fs::read_to_string(task(pid, thread).join("stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_none_or(|state| state.starts_with('T'))
}

fn signal(pid: u32, signal: Signal) {
    // The child is not waited for before it is killed, so the number is still its own.
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// Between an agent and the store: lets everything through until it is told to hold an upload half-way.
#[derive(Default)]
pub(super) struct Uploads {
    armed: AtomicBool,
    held: Notify,
}

impl Uploads {
    /// The same bucket through this.
    pub(super) async fn before(self: &Arc<Self>, bucket: &Bucket) -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behind = bucket.endpoint.strip_prefix("http://").unwrap().to_owned();
        let uploads = self.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (uploads, behind) = (uploads.clone(), behind.clone());
                tokio::spawn(async move {
                    let store = TcpStream::connect(behind).await?;
                    uploads.carry(client, store).await
                });
            }
        });
        Bucket {
            endpoint,
            ..bucket.clone()
        }
    }

    async fn carry(&self, mut client: TcpStream, mut store: TcpStream) -> std::io::Result<()> {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_store, mut to_store) = store.split();
        let back = tokio::io::copy(&mut from_store, &mut to_client);
        let forth = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let len = from_client.read(&mut buffer).await?;
                if len == 0 {
                    return to_store.shutdown().await;
                }
                // A client waits for the answer before its next request, so that one begins a read.
                if buffer.starts_with(b"PUT ") && self.armed.swap(false, Ordering::SeqCst) {
                    to_store.write_all(&buffer[..len / 2]).await?;
                    self.held.notify_one();
                    while from_client.read(&mut buffer).await? > 0 {}
                    return Ok(());
                }
                to_store.write_all(&buffer[..len]).await?;
            }
        };
        // Either direction's end is the connection's.
        tokio::select! {
            ended = forth => ended,
            ended = back => ended.map(drop),
        }
    }

    /// Holds the next upload when it is half-way. False when there was none within `patience`.
    pub(super) async fn hold_next(&self, patience: Duration) -> bool {
        self.armed.store(true, Ordering::SeqCst);
        let held = tokio::time::timeout(patience, self.held.notified()).await.is_ok();
        if !held && !self.armed.swap(false, Ordering::SeqCst) {
            // It came at the last moment.
            self.held.notified().await;
            return true;
        }
        held
    }
}
