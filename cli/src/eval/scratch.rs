//! The folder in which Nix is given what it is asked: recorded outputs stand in it, so
//! that nobody else may read it. It is locked as long as its process lives; what a
//! killed one left, the next one removes.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;
use tempfile::TempDir;

/// What such a folder is called, and nothing else of anybody's.
const PREFIX: &str = "nixops4-resources-eval-";
/// How often another one is made because somebody took it for one that was left.
const ATTEMPTS: u32 = 16;

/// A folder of its own, that is removed in the end.
pub(super) struct Scratch {
    folder: TempDir,
    /// Unlocked by the kernel, however the process ends. Dropped after the folder is
    /// removed.
    _lock: File,
}

impl Scratch {
    /// Makes one where temporary files are.
    pub(super) fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(place: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(place)?;
            // The umask may have taken more. Until it is locked, somebody may take it for
            // one that was left, and remove it.
            let opened = std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700));
            let Some(lock) = (match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
                Ok(()) => lock(folder.path())?,
            }) else {
                continue;
            };
            let is_still_there = folder.path().symlink_metadata().is_ok_and(|there| {
                lock.metadata()
                    .is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
            });
            if is_still_there {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other("somebody removes what is made there"))
    }

    /// Writes a file into it; says where it is.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text)?;
        Ok(path)
    }
}

/// Removes what processes of this user left that were killed. What can't be removed
/// stays, and keeps nobody from anything.
pub(super) fn sweep() {
    sweep_within(&std::env::temp_dir());
}

fn sweep_within(place: &Path) {
    let Ok(entries) = place.read_dir() else {
        return;
    };
    let us = geteuid().as_raw();
    for entry in entries.flatten() {
        let is_named_so = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_ours = || {
            let metadata = entry.path().symlink_metadata();
            metadata.is_ok_and(|it| it.is_dir() && it.uid() == us)
        };
        if is_named_so && is_ours() {
            // Held while it is removed, so that nobody begins to use it.
            if let Ok(Some(_lock)) = lock(&entry.path()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Locks a folder; `None` if somebody else has.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(folder);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder that only this user can look into, and those above it.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_one_has_stays_and_what_was_left_goes() {
        let place = tempfile::tempdir().unwrap();
        let alive = Scratch::within(place.path()).unwrap();
        alive.write("request.json", b"{}").unwrap();
        let left = place.path().join(format!("{PREFIX}left"));
        std::fs::create_dir_all(left.join("inner")).unwrap();
        let others = ["other", "nixops4-resources-x"].map(|name| place.path().join(name));
        for other in &others {
            std::fs::create_dir(other).unwrap();
        }
        // Neither what it leads to nor itself.
        let link = place.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&others[0], &link).unwrap();
        sweep_within(place.path());
        assert!(!left.exists() && alive.folder.path().join("request.json").exists());
        assert!(others.iter().all(|other| other.exists()) && link.exists());
        let path = alive.folder.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }

    #[test]
    fn nobody_else_can_read_it() {
        let scratch = Scratch::new().unwrap();
        let file = scratch.write("x", b"1").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(scratch.folder.path()), mode(&file)), (0o700, 0o600));
        assert!(scratch.write("x", b"2").is_err(), "it was there");
    }

    #[test]
    fn many_that_begin_and_sweep_at_once_lose_nothing() {
        let place = tempfile::tempdir().unwrap();
        let work = || {
            for _ in 0..200 {
                sweep_within(place.path());
                let scratch = Scratch::within(place.path()).unwrap();
                let file = scratch.write("x", b"1").unwrap();
                assert!(file.exists());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(work);
            }
        });
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
    }
}
