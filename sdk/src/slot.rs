//! How many of our processes may be busy with one server at once.
//!
//! Whoever starts hundreds of processes would have a server refuse most of them,
//! again and again, until it does nothing else. So they queue on this machine: a
//! slot is a file that is locked, and the kernel gives it back when its process
//! ends, however that is. A process has one slot at most, and waits for no other
//! while it has one. It is a courtesy: where there is no place for the files,
//! nobody queues. Where somebody else has spoilt the usual place, it is said, and the
//! files are in the user's home. Across users and machines the server's own limits hold.
//!
//! Who waits shows that by a lock, too, which those who have a slot see: they don't
//! keep it for a request that may come, nor for ever if one follows the other.
//!
//! In the same way, what a server would get wrong if two did it at once is done by
//! one process of this machine at a time.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Once;
use std::time::{Duration, Instant};

use nixops4_secrets_store::trust;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::error::Result;
use crate::logging::progress;

/// What changes a server is mostly serialised there anyway, so more would only
/// wait for each other.
const SLOTS: u32 = 8;
/// How soon an interruption is noticed, and how often another slot is tried than
/// the one that is queued for: somebody may keep that for minutes.
const SLICE: Duration = Duration::from_millis(100);
/// How long one who is always busy keeps a slot that somebody waits for.
const TURN: Duration = Duration::from_secs(1);
/// When to say what is waited for.
const LONG: Duration = Duration::from_secs(10);

/// The right to be busy with a server, as long as it lives.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) server: String,
    /// Since when it is kept, or was not waited for.
    since: Cell<Instant>,
    /// None where the files can't be made.
    locked: Option<Locked>,
}

/// A slot's file.
#[derive(Debug)]
struct Locked {
    _file: File,
    /// What those who wait have locked together.
    waiting: File,
}

/// Whether others have locked a file.
fn is_locked(file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => file.unlock().is_err(),
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
    }
}

impl Slot {
    /// Queues for a slot. `go_on` is asked again and again whether to wait on.
    pub(crate) async fn take(server: &str, go_on: impl Fn() -> Result<()>) -> Result<Self> {
        let locked = match folder() {
            Some(folder) => Queue::new(&folder, server, SLOTS).wait(go_on).await?,
            None => None,
        };
        Ok(Self {
            server: server.to_owned(),
            since: Cell::new(Instant::now()),
            locked,
        })
    }

    /// Whether another process waits for a slot of this server.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.locked
            .as_ref()
            .is_some_and(|locked| is_locked(&locked.waiting))
    }

    /// Whether it is another's turn, who has waited while this one was busy.
    pub(crate) fn is_anothers_turn(&self) -> bool {
        if self.since.get().elapsed() < TURN {
            return false;
        }
        self.since.set(Instant::now());
        self.is_waited_for()
    }
}

/// The right to be the only process of this machine that does something, as long as
/// it lives.
#[derive(Debug)]
pub struct Alone {
    /// None where the files can't be made.
    _locked: Option<Locked>,
}

impl Alone {
    /// Waits until nobody else does it. `go_on` is asked again and again whether to
    /// wait on.
    pub(crate) async fn take(what: &str, go_on: impl Fn() -> Result<()>) -> Result<Self> {
        let locked = match folder() {
            Some(folder) => Queue::new(&folder, what, 1).wait(go_on).await?,
            None => None,
        };
        Ok(Self { _locked: locked })
    }
}

/// A folder that nobody else can write to.
fn folder() -> Option<PathBuf> {
    static TOLD: Once = Once::new();
    let me = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = match runtime.filter(|path| path.is_absolute()) {
        Some(runtime) => runtime.join("nixops4-resources"),
        None => std::env::temp_dir().join(format!("nixops4-resources-{me}")),
    };
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || Some(std::env::home_dir()?.join(".local/state"));
    let own = state.filter(|path| path.is_absolute()).or_else(home);
    let own = own.map(|folder| folder.join("nixops4-resources/slots"));
    let (chosen, warning) = choose(usual, own);
    if let Some(warning) = warning {
        TOLD.call_once(|| tracing::warn!("{warning}"));
    }
    chosen
}

/// The usual folder, or the user's own if somebody else has spoilt that; and what the
/// user should know.
fn choose(usual: PathBuf, own: Option<PathBuf>) -> (Option<PathBuf>, Option<String>) {
    let spoilt = match make_private(&usual, false) {
        Ok(()) => return (Some(usual), None),
        Err(why) => why,
    };
    let instead = own.filter(|own| make_private(own, true).is_ok());
    let warning = spoilt.map(|why| {
        let what = match &instead {
            Some(own) => format!("{} is used instead", own.display()),
            None => "nothing keeps too many processes off one server".to_owned(),
        };
        format!("no slots can be kept in {}: {why}; {what}", usual.display())
    });
    (instead, warning)
}

/// Makes a folder for this user alone where there is none, and those above it if it
/// is `deep`. Fails with words if somebody else has spoilt it, and without if it just
/// can't be made.
fn make_private(folder: &Path, deep: bool) -> Result<(), Option<String>> {
    // That it is there already is no error; what it is shows next.
    let _ = DirBuilder::new().recursive(deep).mode(0o700).create(folder);
    let Ok(found) = fs::symlink_metadata(folder) else {
        return Err(None);
    };
    if !found.is_dir() {
        return Err(Some("it is not a folder".to_owned()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Some(format!(
            "it belongs to another user ({})",
            found.uid()
        )));
    }
    match trust::check(folder) {
        // Under `sudo` it may stand in a folder of whoever called that.
        Ok(_) => Ok(()),
        Err(untrusted) => Err(Some(untrusted.to_string())),
    }
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
        self.open_file(&(number % self.slots).to_string())
    }

    fn open_file(&self, extension: &str) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.files.with_added_extension(extension))
    }

    /// `None` where the files can't be made or locked.
    async fn wait(self, go_on: impl Fn() -> Result<()>) -> Result<Option<Locked>> {
        let Ok(waiting) = self.open_file("waiting") else {
            return Ok(None);
        };
        // Not everybody begins with the same.
        let first = std::process::id() % self.slots;
        // Whoever waits was here before.
        let others = if is_locked(&waiting) { 0 } else { self.slots };
        for number in first..first + others {
            match self.take_at_once(number) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    return Ok(Some(Locked {
                        _file: file,
                        waiting,
                    }));
                }
                Err(_) => return Ok(None),
            }
        }
        let file = self.queue(first, &waiting, go_on).await?;
        // Nor is it waited for by this one any more.
        let is_shown_no_more = waiting.unlock().is_ok();
        Ok(file.filter(|_| is_shown_no_more).map(|file| Locked {
            _file: file,
            waiting,
        }))
    }

    /// A slot, if it is free.
    fn take_at_once(&self, number: u32) -> std::io::Result<Option<File>> {
        let file = self.open(number)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    async fn queue(
        self,
        first: u32,
        waiting: &File,
        go_on: impl Fn() -> Result<()>,
    ) -> Result<Option<File>> {
        let Ok(file) = self.open(first) else {
            return Ok(None);
        };
        let (sender, receiver) = oneshot::channel();
        // It can't be told to stop; what it gets too late it gives back.
        std::thread::spawn(move || {
            if file.lock().is_ok() {
                let _ = sender.send(file);
            }
        });
        let mut receiver = pin!(receiver);
        let begun = Instant::now();
        let mut told = false;
        let mut shown = false;
        let mut other = first;
        loop {
            // Somebody who looks may have it for a moment: then the next time.
            shown = shown || waiting.try_lock_shared().is_ok();
            match tokio::time::timeout(SLICE, receiver.as_mut()).await {
                Ok(Ok(file)) => return Ok(Some(file)),
                Ok(Err(_)) => return Ok(None),
                Err(_) => {}
            }
            other += 1;
            if let Ok(Some(file)) = self.take_at_once(other) {
                return Ok(Some(file));
            }
            if begun.elapsed() >= LONG && !told {
                progress(format!(
                    "waiting until one of the {} processes that are busy with {} is done",
                    self.slots, self.server
                ));
                told = true;
            }
            go_on()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

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
        let asked = Cell::new(0);
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
    async fn who_has_one_sees_whether_somebody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let queue = || Queue::new(folder.path(), "db", 1);
        let mine = queue().wait(|| Ok(())).await.unwrap().unwrap();
        assert!(!is_locked(&mine.waiting));
        let until_seen = || {
            if is_locked(&mine.waiting) {
                return Err(Error::new("seen"));
            }
            Ok(())
        };
        let error = queue().wait(until_seen).await.unwrap_err();
        assert_eq!(error.to_string(), "seen");
        assert!(!is_locked(&mine.waiting));
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
    async fn of_one_slot_the_second_waits_until_the_first_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let alone = || Queue::new(folder.path(), "stand-in", 1);
        let first = alone().wait(|| Ok(())).await.unwrap();
        assert!(first.is_some());
        let interrupted = || Err(Error::new("interrupted"));
        let error = alone().wait(interrupted).await.unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        drop(first);
        let never = || Err(Error::new("it waited"));
        assert!(alone().wait(never).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_place_that_others_have_spoilt_is_told_and_not_used() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode(place.path(), 0o700);
        let (usual, warning) = choose(at("usual"), Some(at("own")));
        assert_eq!((usual, warning), (Some(at("usual")), None));
        assert_eq!(fs::metadata(at("usual")).unwrap().mode() & 0o777, 0o700);
        assert!(!at("own").exists());

        fs::create_dir(at("open")).unwrap();
        set_mode(&at("open"), 0o777);
        fs::create_dir(at("open/inner")).unwrap();
        set_mode(&at("open/inner"), 0o700);
        symlink(at("usual"), at("link")).unwrap();
        fs::write(at("file"), "").unwrap();
        let mut spoilt = vec![
            ("open", "written by everybody"),
            ("open/inner", "written by everybody"),
            ("link", "not a folder"),
            ("file", "not a folder"),
        ];
        if rustix::process::geteuid().is_root() {
            fs::create_dir(at("foreign")).unwrap();
            set_mode(&at("foreign"), 0o700);
            chown(at("foreign"), Some(61_234), None).unwrap();
            spoilt.push(("foreign", "another user (61234)"));
        }
        for (name, why) in spoilt {
            let own = at(&format!("home-{}/deep/slots", name.len()));
            let (chosen, warning) = choose(at(name), Some(own.clone()));
            assert_eq!(chosen.as_ref(), Some(&own), "{name}");
            let warning = warning.unwrap();
            for word in [why, &at(name).display().to_string(), "is used instead"] {
                assert!(warning.contains(word), "{name}: {warning}");
            }
            assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
            // They are slots like any other.
            let _others = lock_all(&own);
            let interrupted = || Err(Error::new("interrupted"));
            let error = Queue::new(&own, "db", SLOTS).wait(interrupted).await;
            assert_eq!(error.unwrap_err().to_string(), "interrupted");
        }
        let (chosen, warning) = choose(at("open"), Some(at("file/no")));
        assert_eq!(chosen, None);
        assert!(warning.unwrap().contains("nothing keeps too many"));
    }

    #[tokio::test]
    async fn nobody_queues_where_there_is_no_place() {
        let nowhere = Path::new("/proc/nowhere");
        let never = || Err(Error::new("it waited"));
        let got = Queue::new(nowhere, "db", SLOTS).wait(never).await;
        assert!(got.unwrap().is_none());
    }
}
