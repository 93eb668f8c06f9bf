//! The file of events: locks, appending, and mending what a killed writer left.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::Inputs;
use super::event::{Found, Odd, parse, write};
use crate::failure::{explain_io, refuse_foreign};
use crate::file_number::{FileNumber, number_of};
use crate::log::Event;
use crate::store::{Insertion, Log, first_of};

/// How long somebody else's write is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether they are done.
const SLICE: Duration = Duration::from_millis(10);
/// How much room there has to be before the first change, in bytes.
const ROOM: u64 = 64 << 10;

/// What the name of the file ends with that keeps what was cut off.
const TORN: &str = ".torn";

/// What to do where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

/// The files that stay open from one event to the next.
#[derive(Default)]
struct Kept(RefCell<HashMap<PathBuf, Journal>>);

/// An open file. Dropping it gives up its lock.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    deployment: String,
    number: Option<FileNumber>,
    /// How many events were read, and how many bytes they take.
    read: (i64, u64),
    /// Whether nobody else can write.
    locked: bool,
}

impl Journal {
    pub(super) fn open(inputs: &Inputs, missing: Missing) -> Result<Self> {
        let path = inputs.name.clone();
        refuse_foreign("/name", &path, &[TORN])?;
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(missing == Missing::Create)
            .mode(0o600)
            .open(&path);
        let file = opened.or_else(|error| match missing {
            // Whoever may only read it can still look.
            Missing::Refuse if error.kind() == io::ErrorKind::PermissionDenied => {
                File::open(&path).map_err(|_| error)
            }
            _ => Err(error),
        });
        let file = file.map_err(|error| explain_io(&path, "open", &error))?;
        let is_file = file.metadata().is_ok_and(|found| found.is_file());
        if !is_file {
            return Err(Error::input(
                "/name",
                format!(
                    "unable to open the state in {}: it is not a file",
                    path.display()
                ),
            )
            .hint("give the path of a file, or of one that isn't there yet"));
        }
        Ok(Self {
            number: number_of(&path),
            file,
            path,
            deployment: inputs.deployment.as_str().to_owned(),
            read: (0, 0),
            locked: false,
        })
    }

    /// The file as it was kept, unless another one stands in its place.
    pub(super) fn open_again(cx: &Context, inputs: &Inputs) -> Result<Self> {
        let kept = cx.session::<Kept>().0.borrow_mut().remove(&inputs.name);
        match kept {
            Some(journal)
                if journal.deployment == inputs.deployment.as_str()
                    && journal.number.is_some()
                    && journal.number == number_of(&journal.path) =>
            {
                Ok(journal)
            }
            _ => Self::open(inputs, Missing::Refuse),
        }
    }

    /// Keeps it for the next event; not if anything failed.
    pub(super) fn keep(self, cx: &Context) {
        let kept = cx.session::<Kept>();
        kept.0.borrow_mut().insert(self.path.clone(), self);
    }

    /// Writes the first event where there is none, and proves that there is room
    /// for more.
    pub(super) async fn make(&mut self, cx: &Context) -> Result<()> {
        self.begin(cx).await?;
        let bytes = self.bytes(0)?;
        if bytes.is_empty() {
            self.append(cx, &Event::first())?;
            self.sync_folder()?;
        } else {
            self.understand(&bytes, 0, |_, _| Ok(()))?;
        }
        let end = self.length_in_bytes()?;
        // Takes room without changing what anybody reads. Where the file system
        // can't, only writing tells.
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, end, ROOM) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(explain_io(&self.path, "write", &error.into())),
        }
        self.unlock()
    }

    /// Whether there is an event.
    pub(super) async fn has_begun(&mut self) -> Result<bool> {
        Ok(self.length().await? > 0)
    }

    fn bytes(&mut self, from: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(from))
            .and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(|error| explain_io(&self.path, "read", &error))?;
        Ok(bytes)
    }

    fn length_in_bytes(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata
            .map(|file| file.len())
            .map_err(|error| explain_io(&self.path, "read", &error))
    }

    /// Hands over the events in `bytes`, which begin with that of this index.
    fn understand(
        &self,
        bytes: &[u8],
        first: i64,
        take: impl FnMut(Event, usize) -> Result<()>,
    ) -> Result<Found> {
        let unreadable = |why: String| {
            Error::input(
                "/name",
                format!("unable to read the state in {}", self.path.display()),
            )
            .because(why)
            .hint("restore the file from a backup, or give another path; nothing was written")
        };
        let found = parse(bytes, first, take).map_err(|odd| match odd {
            Odd::Unreadable(why) => unreadable(why),
            Odd::Refused(error) => error,
        })?;
        if found.torn && first == 0 && found.events == 0 {
            return Err(unreadable("not even its first event is whole".to_owned()));
        }
        let others = found.deployments.iter();
        if let Some(other) = others.into_iter().find(|other| **other != self.deployment) {
            return Err(Error::input(
                "/deployment",
                format!(
                    "{} has the state of another deployment, {other:?}",
                    self.path.display()
                ),
            )
            .hint("give each deployment a file of its own, or set deployment to that name"));
        }
        Ok(found)
    }

    /// Hands over what is in the file behind what was read already, if it is all to
    /// be had. Waits for a writer only where an event without an end shows that there
    /// is one, or was.
    async fn read_on(&mut self, mut take: impl FnMut(Event, usize) -> Result<()>) -> Result<()> {
        loop {
            let (count, offset) = self.read;
            if self.length_in_bytes()? < offset {
                return Err(Error::input(
                    "/name",
                    format!(
                        "{} is shorter than it was when this process read it",
                        self.path.display()
                    ),
                )
                .hint("somebody has replaced what is in it; see who, then apply again"));
            }
            let bytes = self.bytes(offset)?;
            let found = self.understand(&bytes, count, &mut take)?;
            self.read = (count + found.events, offset + found.length as u64);
            if !found.torn || self.locked {
                return Ok(());
            }
            // The writer's last event is whole then, or never will be.
            self.lock(File::try_lock_shared).await?;
            let is_longer = self.length_in_bytes()? > offset + bytes.len() as u64;
            self.unlock()?;
            if !is_longer {
                return Ok(());
            }
        }
    }

    async fn lock(&mut self, lock: fn(&File) -> Result<(), TryLockError>) -> Result<()> {
        let begun = Instant::now();
        loop {
            match lock(&self.file) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if begun.elapsed() < BUSY_TIMEOUT => {
                    tokio::time::sleep(SLICE).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::input(
                        "/name",
                        format!("somebody holds the lock on {}", self.path.display()),
                    )
                    .hint(
                        "they have been writing to it for long; see who (fuser), then apply again",
                    )
                    .retry(Retry::UntilDeadline));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(explain_io(&self.path, "lock", &error));
                }
            }
        }
    }

    fn unlock(&mut self) -> Result<()> {
        self.locked = false;
        let unlocked = self.file.unlock();
        unlocked.map_err(|error| explain_io(&self.path, "unlock", &error))
    }

    /// Cuts off what a killed writer left of an event that it never was told to
    /// have written. What is cut off is kept beside the file.
    fn mend(&mut self, length: u64) -> Result<()> {
        let rest = self.bytes(length)?;
        let beside = self.path.with_added_extension(&TORN[1..]);
        let kept = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| {
                file.write_all(&rest)?;
                file.write_all(b"\n")?;
                file.sync_all()
            });
        kept.map_err(|error| explain_io(&beside, "write what was left beside", &error))?;
        // The end of the line went with it.
        let cut = self
            .file
            .set_len(length)
            .and_then(|()| (&self.file).write_all(b"\n"))
            .and_then(|()| self.file.sync_all());
        cut.map_err(|error| explain_io(&self.path, "mend", &error))
    }

    fn append(&mut self, cx: &Context, event: &Event) -> Result<()> {
        let unable = |error: &io::Error| explain_io(&self.path, "write", error);
        let bytes = write(event, &self.deployment).map_err(|error| unable(&error.into()))?;
        let before = self.length_in_bytes()?;
        let written = (&self.file).write_all(&bytes).and_then(|()| {
            cx.failpoint("state:inserted");
            self.file.sync_data()
        });
        if let Err(error) = written {
            // Half an event would be the end of it for upstream's provider.
            let _ = self.file.set_len(before);
            return Err(unable(&error));
        }
        cx.failpoint("state:committed");
        self.read = (event.index + 1, before + bytes.len() as u64);
        Ok(())
    }

    fn sync_folder(&self) -> Result<()> {
        let folder = self.path.parent().filter(|path| *path != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| explain_io(&self.path, "write", &error))
    }
}

impl Log for Journal {
    async fn each(
        &mut self,
        from: i64,
        limit: i64,
        take: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        if from != self.read.0 {
            self.read = (0, 0);
        }
        self.read_on(|event, _| {
            if event.index >= from && event.index - from < limit {
                take(event)?;
            }
            Ok(())
        })
        .await
    }

    async fn fitting(&mut self, from: i64, limit: i64, bytes: i64) -> Result<i64> {
        self.read = (0, 0);
        let mut lengths = Vec::new();
        self.read_on(|event, length| {
            if event.index >= from && event.index - from < limit {
                lengths.push(i64::try_from(length).unwrap_or(i64::MAX));
            }
            Ok(())
        })
        .await?;
        Ok(first_of(lengths, bytes))
    }

    async fn length(&mut self) -> Result<i64> {
        self.read = (0, 0);
        self.read_on(|_, _| Ok(())).await?;
        Ok(self.read.0)
    }

    async fn begin(&mut self, cx: &Context) -> Result<()> {
        cx.checkpoint()?;
        self.lock(File::try_lock).await?;
        self.locked = true;
        Ok(())
    }

    async fn insert(&mut self, cx: &Context, event: &Event) -> Result<Insertion> {
        let (_, offset) = self.read;
        let is_torn = !self.bytes(offset)?.trim_ascii().is_empty();
        if is_torn {
            self.mend(offset)?;
        }
        self.append(cx, event)?;
        self.unlock()?;
        Ok(Insertion::Done)
    }

    fn no_state(&self) -> Error {
        Error::input(
            "/name",
            format!("{} has no state in it", self.path.display()),
        )
        .hint("apply first, or see that the path is right")
    }
}
