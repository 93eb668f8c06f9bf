//! An executable that is spoken to in lines over stdin and stdout.
//!
//! Lines are raw bytes: this module must not know the protocol, so that a test
//! can send what no client would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::lifeline::{Ending, Process, Signal};

/// How long [`Provider::answer`] and [`Provider::finish`] wait. Far more than
/// anything takes, so that a slow machine fails no test.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// Why no line came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The process may still be at work.
    TimedOut,
    /// Its stdout is closed: nothing will come any more.
    Closed,
}

/// A running executable. Killed when dropped.
#[derive(Debug)]
pub struct Provider {
    process: Process,
    /// `None` once stdin was closed.
    to_stdin: Option<Sender<Vec<u8>>>,
    lines: Receiver<Vec<u8>>,
    stdout: Collected,
    stderr: Collected,
    stderr_ended: Receiver<()>,
}

/// What has come out so far.
type Collected = Arc<Mutex<Vec<u8>>>;

impl Provider {
    /// Starts a command, usually one of [`crate::sandbox::Sandbox::command`].
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command, Ending::Kill).unwrap_or_else(|error| {
            panic!(
                "cannot start {}: {error}",
                command.get_program().to_string_lossy()
            )
        });
        let child = process.child();
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout_pipe = child.stdout.take().expect("stdout is a pipe");
        let stderr_pipe = child.stderr.take().expect("stderr is a pipe");

        let (to_stdin, from_test) = mpsc::channel();
        thread::spawn(move || write_all(stdin, &from_test));
        let (to_test, lines) = mpsc::channel();
        let stdout = Collected::default();
        let collected = Arc::clone(&stdout);
        thread::spawn(move || read_lines(stdout_pipe, &collected, &to_test));
        let (ended, stderr_ended) = mpsc::channel();
        let stderr = Collected::default();
        let collected = Arc::clone(&stderr);
        thread::spawn(move || {
            read_all(stderr_pipe, &collected);
            drop(ended);
        });
        Self {
            process,
            to_stdin: Some(to_stdin),
            lines,
            stdout,
            stderr,
            stderr_ended,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a line; the line break is added. Never blocks, and does not fail
    /// if nobody reads it any more: the missing answer tells.
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        let mut bytes = line.as_ref().to_vec();
        bytes.push(b'\n');
        self.send_bytes(bytes);
    }

    /// Sends bytes as they are: half a line, say.
    pub fn send_bytes(&mut self, bytes: impl Into<Vec<u8>>) {
        let to_stdin = self.to_stdin.as_ref().expect("stdin was closed before");
        // The writing thread is gone once the process is.
        let _unread = to_stdin.send(bytes.into());
    }

    /// Closes its stdin once everything sent is written.
    pub fn close_stdin(&mut self) {
        self.to_stdin = None;
    }

    /// The next line on stdout, without its line break.
    pub fn receive(&mut self, timeout: Duration) -> Result<String, Silence> {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => Ok(String::from_utf8_lossy(&line).into_owned()),
            Err(RecvTimeoutError::Timeout) => Err(Silence::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(Silence::Closed),
        }
    }

    /// The next line on stdout; panics with what stands on stderr if none
    /// comes.
    pub fn answer(&mut self) -> String {
        self.receive(TIMEOUT).unwrap_or_else(|silence| {
            panic!(
                "no answer ({silence:?}); stderr: {}",
                String::from_utf8_lossy(&self.stderr())
            )
        })
    }

    /// Sends a line and gives the line that answers it.
    pub fn request(&mut self, line: impl AsRef<[u8]>) -> String {
        self.send(line);
        self.answer()
    }

    /// All of stdout so far, received or not.
    #[must_use]
    pub fn stdout(&self) -> Vec<u8> {
        snapshot(&self.stdout)
    }

    /// All of stderr so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<u8> {
        snapshot(&self.stderr)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end; `None` if it still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        self.process.wait(timeout)
    }

    /// Closes its stdin, waits for its end and gives all that came out.
    /// Panics if it does not end.
    #[must_use]
    pub fn finish(mut self) -> Output {
        self.close_stdin();
        let Some(status) = self.process.wait(TIMEOUT) else {
            panic!(
                "still running {TIMEOUT:?} after its stdin was closed; stderr: {}",
                String::from_utf8_lossy(&self.stderr())
            )
        };
        self.output(status)
    }

    /// Kills it and its group with SIGKILL and gives all that came out.
    #[must_use]
    pub fn kill(mut self) -> Output {
        let status = self.process.kill();
        self.output(status)
    }

    fn output(self, status: ExitStatus) -> Output {
        // A grandchild may hold the pipes open: what it writes is waited for,
        // but not for ever.
        while self.lines.recv_timeout(Duration::from_secs(5)).is_ok() {}
        let _ended = self.stderr_ended.recv_timeout(Duration::from_secs(5));
        Output {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

/// Runs a command on these lines and gives all that came out.
#[must_use]
pub fn oneshot<L: AsRef<[u8]>>(command: Command, lines: impl IntoIterator<Item = L>) -> Output {
    let mut provider = Provider::spawn(command);
    for line in lines {
        provider.send(line);
    }
    provider.finish()
}

/// Runs a provider on one line that kills itself at a failpoint, once it has passed
/// that so many times; fails if it isn't killed there, or answers before. Gives all
/// that came out.
#[must_use]
pub fn killed_at(
    mut command: Command,
    failpoint: &str,
    passed: usize,
    line: impl AsRef<[u8]>,
) -> Output {
    let action = match passed {
        0 => "return(kill)".to_owned(),
        passed => format!("{passed}*off->return(kill)"),
    };
    command.env("FAILPOINTS", format!("{failpoint}={action}"));
    let output = oneshot(command, [line]);
    assert_eq!(
        output.status.signal(),
        Some(Signal::KILL.as_raw()),
        "it was not killed at {failpoint}"
    );
    assert_eq!(output.stdout, b"", "killed at {failpoint}");
    output
}

fn snapshot(collected: &Collected) -> Vec<u8> {
    collected
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn collect(collected: &Collected, bytes: &[u8]) {
    collected
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend_from_slice(bytes);
}

/// Writes until the test closes the channel or the process stops reading.
fn write_all(mut stdin: impl Write, from_test: &Receiver<Vec<u8>>) {
    while let Ok(bytes) = from_test.recv() {
        if stdin
            .write_all(&bytes)
            .and_then(|()| stdin.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read_lines(stdout: impl Read, collected: &Collected, to_test: &Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                collect(collected, &line);
                line.pop_if(|last| *last == b'\n');
                let _nobody = to_test.send(line);
            }
        }
    }
}

fn read_all(mut stderr: impl Read, collected: &Collected) {
    let mut buffer = [0; 4096];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => collect(collected, &buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
