//! A clean place to run an executable in: a folder with a home of its own, and
//! commands whose environment holds nothing of the caller's but `PATH`.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::lifeline;

/// The variables that name a folder, and that folder's name in the sandbox.
const FOLDERS: &[(&str, &str)] = &[
    ("HOME", "home"),
    ("XDG_CACHE_HOME", "home/.cache"),
    ("XDG_CONFIG_HOME", "home/.config"),
    ("XDG_DATA_HOME", "home/.local/share"),
    ("XDG_STATE_HOME", "home/.local/state"),
    ("XDG_RUNTIME_DIR", "run"),
    ("TMPDIR", "tmp"),
];

/// The folder that commands run in.
const WORK: &str = "work";

/// A temporary folder, removed at drop; nobody else can read it.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// Makes one, with empty folders.
    #[must_use]
    pub fn new() -> Self {
        let folder = lifeline::folder("sandbox-");
        lifeline::set_mode(folder.path(), 0o700);
        for name in FOLDERS.iter().map(|(_, name)| name).chain([&WORK]) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path)
                .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        }
        lifeline::set_mode(&folder.path().join("run"), 0o700);
        Self { folder }
    }

    /// The whole folder; what to search for a canary afterwards.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that commands run in, where [`Self::write`] writes.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path().join(WORK)
    }

    /// The private home folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Writes a file that only its owner can read, and gives its path. `name`
    /// is relative to [`Self::work`]; missing folders are made.
    pub fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        let parent = path.parent().expect("a file in a folder");
        std::fs::create_dir_all(parent)
            .and_then(|()| {
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&path)
            })
            .and_then(|mut file| file.write_all(contents.as_ref()))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// A command that runs in [`Self::work`]. Its environment: `PATH`, the
    /// private folders, a UTF-8 locale and UTC. Add the rest with
    /// [`Command::env`].
    #[must_use]
    pub fn command(&self, executable: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(executable);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(
                FOLDERS
                    .iter()
                    .map(|(variable, name)| (variable, self.path().join(name))),
            )
            .current_dir(self.work());
        command
    }
}
