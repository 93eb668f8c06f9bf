//! How many of our processes may be busy with one server at once.
//!
//! Whoever starts hundreds of processes would have a server refuse most of them,
//! again and again, until it does nothing else. So they queue on this machine: a
//! slot is a file that is locked, and the kernel gives it back when its process
//! ends, however that is. A process has one slot at most, and waits for no other
//! while it has one. It is a courtesy: where there is no place for the files,
//! nobody queues. Across users and machines the server's own limits hold.
//!
//! In the same way, what a server would get wrong if two did it at once is done by
//! one process of this machine at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::error::Result;

/// What changes a server is mostly serialised there anyway, so more would only
/// wait for each other.
const SLOTS: u32 = 8;
/// How long to queue for one slot before queueing for another one too: somebody
/// may keep the first for minutes.
const FIRST_QUEUE: Duration = Duration::from_secs(3);
/// How soon an interruption is noticed.
const SLICE: Duration = Duration::from_millis(100);
/// When to say what is waited for.
const LONG: Duration = Duration::from_secs(10);

/// The right to be busy with a server, as long as it lives.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) server: String,
    /// Locked; none where the files can't be made.
    _file: Option<File>,
}

impl Slot {
    /// Queues for a slot. `go_on` is asked again and again whether to wait on.
    pub(crate) async fn take(server: &str, go_on: impl Fn() -> Result<()>) -> Result<Self> {
        let file = match folder() {
            Some(folder) => Queue::new(&folder, server, SLOTS).wait(go_on).await?,
            None => None,
        };
        Ok(Self {
            server: server.to_owned(),
            _file: file,
        })
    }
}

/// The right to be the only process of this machine that does something, as long as
/// it lives.
#[derive(Debug)]
pub struct Alone {
    /// Locked; none where the files can't be made.
    _file: Option<File>,
}

impl Alone {
    /// Waits until nobody else does it. `go_on` is asked again and again whether to
    /// wait on.
    pub(crate) async fn take(what: &str, go_on: impl Fn() -> Result<()>) -> Result<Self> {
        let file = match folder() {
            Some(folder) => Queue::new(&folder, what, 1).wait(go_on).await?,
            None => None,
        };
        Ok(Self { _file: file })
    }
}

/// A folder that nobody else can write to.
fn folder() -> Option<PathBuf> {
    let me = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = match runtime.filter(|path| path.is_absolute()) {
        Some(runtime) => runtime.join("nixops4-resources"),
        None => std::env::temp_dir().join(format!("nixops4-resources-{me}")),
    };
    // That it is there already is no error; what it is shows next.
    let _ = DirBuilder::new().mode(0o700).create(&folder);
    let found = std::fs::symlink_metadata(&folder).ok()?;
    let ours = found.is_dir() && found.uid() == me && found.mode() & 0o022 == 0;
    ours.then_some(folder)
}

/// The slots of one server.
struct Queue<'a> {
    server: &'a str,
    /// The files' path, but for their number.
    files: PathBuf,
    /// How many there are.
    slots: u32,
}

impl<'a> Queue<'a> {
    fn new(folder: &Path, server: &'a str, slots: u32) -> Self {
        let hash = hex::encode(&Sha256::digest(server)[..8]);
        let files = folder.join(format!("slot-{hash}"));
        Self {
            server,
            files,
            slots,
        }
    }

    fn open(&self, number: u32) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(
                self.files
                    .with_added_extension((number % self.slots).to_string()),
            )
    }

    /// `None` where the files can't be made or locked.
    async fn wait(self, go_on: impl Fn() -> Result<()>) -> Result<Option<File>> {
        // Not everybody begins with the same.
        let first = std::process::id() % self.slots;
        for number in first..first + self.slots {
            let Ok(file) = self.open(number) else {
                return Ok(None);
            };
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
        self.queue(first, go_on).await
    }

    async fn queue(self, first: u32, go_on: impl Fn() -> Result<()>) -> Result<Option<File>> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let begun = Instant::now();
        let mut queues = 0;
        let mut told = false;
        loop {
            if queues < self.slots && begun.elapsed() >= FIRST_QUEUE * queues {
                let Ok(file) = self.open(first + queues) else {
                    return Ok(None);
                };
                let sender = sender.clone();
                // It can't be told to stop; what it gets too late it gives back.
                std::thread::spawn(move || {
                    if file.lock().is_ok() {
                        let _ = sender.send(file);
                    }
                });
                queues += 1;
            }
            if let Ok(Some(file)) = tokio::time::timeout(SLICE, receiver.recv()).await {
                return Ok(Some(file));
            }
            if begun.elapsed() >= LONG && !told {
                tracing::info!(
                    "waiting until one of the {} processes that are busy with {} is done",
                    self.slots,
                    self.server
                );
                told = true;
            }
            go_on()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;

    use super::*;

    fn lock_all(folder: &Path) -> Vec<File> {
        let queue = Queue::new(folder, "db", SLOTS);
        let lock = |number| {
            let file = queue.open(number).unwrap();
            file.try_lock().unwrap();
            file
        };
        (0..SLOTS).map(lock).collect()
    }

    #[tokio::test]
    async fn the_ninth_waits_until_one_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut others = lock_all(folder.path());
        let mine = std::process::id() % SLOTS;
        let freed = others.remove(mine as usize);
        let begun = Instant::now();
        let asked = std::cell::Cell::new(0);
        let freed = std::cell::RefCell::new(Some(freed));
        let go_on = || {
            asked.set(asked.get() + 1);
            if asked.get() == 2 {
                freed.borrow_mut().take();
            }
            Ok(())
        };
        // Somebody else took it in between, so that it isn't there at once.
        let got = Queue::new(folder.path(), "db", SLOTS)
            .wait(go_on)
            .await
            .unwrap();
        assert!(got.is_some());
        assert!(asked.get() >= 2 && begun.elapsed() >= SLICE);
    }

    #[tokio::test]
    async fn another_server_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let _others = lock_all(folder.path());
        let never = || Err(Error::new("it waited"));
        let got = Queue::new(folder.path(), "another", SLOTS)
            .wait(never)
            .await;
        assert!(got.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_interruption_ends_the_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let _others = lock_all(folder.path());
        let interrupted = || Err(Error::new("interrupted"));
        let error = Queue::new(folder.path(), "db", SLOTS)
            .wait(interrupted)
            .await;
        assert_eq!(error.unwrap_err().to_string(), "interrupted");
    }

    #[tokio::test]
    async fn nobody_queues_where_there_is_no_place() {
        let nowhere = Path::new("/proc/nowhere");
        let never = || Err(Error::new("it waited"));
        let got = Queue::new(nowhere, "db", SLOTS).wait(never).await;
        assert!(got.unwrap().is_none());
    }
}
