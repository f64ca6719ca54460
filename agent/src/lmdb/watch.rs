//! Word from the kernel that another process may have committed to the file. It says nothing about what, and may be
//! missing (other kernels, other file systems): polling stays.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Environment;

/// A watch on one data file.
pub struct Watch {
    queue: AsyncFd<Queue>,
    path: PathBuf,
    inode: (u64, u64),
}

struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Environment {
    /// Watches the data file; needs a Tokio runtime.
    ///
    /// # Errors
    /// Those of the kernel: without a watch, poll.
    pub fn watch(&self) -> Result<Watch> {
        if self.path.is_dir() {
            Watch::new(&self.path.join("data.mdb"))
        } else {
            Watch::new(&self.path)
        }
    }
}

impl Watch {
    fn new(path: &Path) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // PowerDNS writes with write(2), so every commit modifies the file; a lost last link changes its attributes.
        inotify.add_watch(
            path,
            AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF,
        )?;
        // SAFETY: the queue owns its descriptor and gives out no other one as long as it lives.
        #[allow(unsafe_code)]
        let queue = unsafe { AsyncFd::register_with_interest(Queue(inotify), Interest::READABLE) }?;
        Ok(Self {
            queue,
            path: path.to_owned(),
            inode: inode(path)?,
        })
    }

    /// Waits until the file was written to since the last call, once or many times. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the path names no file or another one now, and those of the kernel. The watch is of no
    /// more use then.
    pub async fn changed(&mut self) -> Result<()> {
        loop {
            let mut ready = self.queue.readable().await?;
            let Ok(seen) = ready.try_io(|queue| drain(&queue.get_ref().0)) else {
                continue;
            };
            let seen = seen?;
            let written = (AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_Q_OVERFLOW).contains(seen);
            if seen.contains(AddWatchFlags::IN_IGNORED) || (!written && inode(&self.path)? != self.inode) {
                let what = format!("{} is another file now", self.path.display());
                return Err(Error::new(ErrorKind::NotFound, what));
            }
            return Ok(());
        }
    }
}

/// All that waits in the queue; `WouldBlock` if that is nothing.
fn drain(inotify: &Inotify) -> Result<AddWatchFlags> {
    let mut seen = AddWatchFlags::empty();
    loop {
        match inotify.read_events() {
            Ok(events) => seen.extend(events.into_iter().map(|event| event.mask)),
            Err(Errno::EAGAIN) if !seen.is_empty() => return Ok(seen),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn inode(path: &Path) -> Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::lmdb::walk::tests::open;
    use crate::lmdb::{LmdbError, OpenOptions};

    fn put(env: &Environment, value: &[u8]) {
        let written = env.write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi("records_v5")?;
            writer.put(&dbi, b"key", 1, false, value)
        });
        written.unwrap();
    }

    #[tokio::test]
    async fn commits_wake_once_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir);
        let mut watch = env.watch().unwrap();
        for _ in 0..2 {
            for _ in 0..20 {
                put(&env, b"value");
            }
            watch.changed().await.unwrap();
            drop(env.begin_write().unwrap());
            drop(env.keep_reader().unwrap());
            assert!(
                watch.changed().now_or_never().is_none(),
                "woken twice, or by a reader"
            );
        }
    }

    #[tokio::test]
    async fn a_database_in_a_folder_is_watched_too() {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            map_size: 1 << 20,
            max_dbs: 4,
            create: true,
            no_subdir: false,
        };
        let env = Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap();
        let mut watch = env.watch().unwrap();
        put(&env, b"value");
        watch.changed().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_gone_or_replaced_ends_the_watch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pdns.lmdb");
        assert_eq!(Watch::new(&path).err().unwrap().kind(), ErrorKind::NotFound);
        for replaced in [true, false] {
            std::fs::write(&path, "one").unwrap();
            let still_open = std::fs::File::open(&path).unwrap();
            let mut watch = Watch::new(&path).unwrap();
            if replaced {
                let other = dir.path().join("other");
                std::fs::write(&other, "two").unwrap();
                std::fs::rename(&other, &path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            assert_eq!(watch.changed().await.unwrap_err().kind(), ErrorKind::NotFound);
            drop(still_open);
        }
    }
}
