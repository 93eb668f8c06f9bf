//! What ends everything that a test process started, however it ends itself.
//!
//! A test process can be killed without a chance to clean up, and statics are
//! never dropped. So a small shell, `lifeline.sh`, holds the other end of a
//! pipe: once that closes, it signals the registered processes and removes the
//! folders. What is dropped in time is cleaned up at once and is no business of
//! the shell's any more.
//!
//! This module must not know what the processes are.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};
use tempfile::TempDir;
use wait_timeout::ChildExt;

/// How long a process may take to end after it was told to, before it is
/// killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lifeline of this process, started at the first use.
static LIFELINE: LazyLock<Lifeline> = LazyLock::new(Lifeline::start);

struct Lifeline {
    /// Holds every folder of this process.
    root: PathBuf,
    /// Reads orders; the closing of its stdin is the news of our end.
    shell: Mutex<Child>,
}

impl Lifeline {
    fn start() -> Self {
        let root = tempfile::Builder::new()
            .prefix("nixops4-resources-")
            .tempdir()
            .expect("cannot create a temporary folder");
        // Servers that run as another user have to get through.
        set_mode(root.path(), 0o711);
        let shell = Command::new("/bin/sh")
            .args(["-c", include_str!("lifeline.sh"), "lifeline"])
            .arg(root.path())
            .current_dir("/")
            // A Ctrl-C is for the test process; this one comes after it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start /bin/sh");
        Self {
            root: root.keep(),
            shell: Mutex::new(shell),
        }
    }

    fn order(&self, order: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = shell.stdin.as_mut().expect("stdin is a pipe");
        stdin
            .write_all(order.as_bytes())
            .expect("the shell that cleans up after this process is gone");
    }
}

/// A new folder, which goes when it is dropped, or else with this process.
/// Others may pass through it to what they have a right to, not list it.
#[must_use]
pub fn folder(prefix: &str) -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(&LIFELINE.root)
        .expect("cannot create a temporary folder");
    set_mode(folder.path(), 0o711);
    folder
}

/// Removes `path`, a folder elsewhere, when this process ends.
pub fn remove_at_end(path: &Path) {
    let path = path.to_str().expect("a path in UTF-8");
    assert!(!path.contains('\n'), "a line break in the path {path:?}");
    LIFELINE.order(&format!("remove {path}\n"));
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("cannot change the mode of {}: {error}", path.display()));
}

/// What is signalled at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// SIGQUIT to the process, which ends its own children.
    Quit,
    /// SIGKILL to the process and all of its group.
    Kill,
}

/// A child process with a process group of its own that ends when this is
/// dropped, or else with this process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    ending: Ending,
    status: Option<ExitStatus>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command, ending: Ending) -> io::Result<Self> {
        // First, so that nothing is started that could not be ended.
        LazyLock::force(&LIFELINE);
        let child = command.process_group(0).spawn()?;
        let process = Self {
            child,
            ending,
            status: None,
        };
        LIFELINE.order(&format!("end {}\n", process.entry()));
        Ok(process)
    }

    fn entry(&self) -> String {
        match self.ending {
            Ending::Quit => format!("QUIT:{}", self.id()),
            Ending::Kill => format!("KILL:-{}", self.id()),
        }
    }

    /// The child, for its pipes; waiting is [`Self::wait`]'s.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, unless the process has been seen to end.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // It may end at any time: that there is nobody left is no failure.
            let _gone = kill_process(self.pid(), signal);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end; `None` if it is still running after `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .child
                .wait_timeout(timeout)
                .expect("cannot wait for a child process");
            if self.status.is_some() {
                LIFELINE.order(&format!("forget {}\n", self.entry()));
            }
        }
        self.status
    }

    /// Ends it: with `signal`, and with SIGKILL if that was not enough.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        if let Some(status) = self.wait(PATIENCE) {
            return status;
        }
        self.kill()
    }

    /// Ends it and its group with SIGKILL.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        if self.status.is_none() {
            let _gone = kill_process_group(self.pid(), Signal::KILL);
        }
        self.wait(PATIENCE)
            .expect("a process that was killed is still there")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        match self.ending {
            Ending::Quit => self.end(Signal::QUIT),
            Ending::Kill => self.kill(),
        };
    }
}
