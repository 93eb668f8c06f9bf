//! An example provider that runs, and a folder for it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// An example's executable: cargo builds the examples with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples")
        .join(name);
    assert!(path.exists(), "build it: cargo build --example {name}");
    path
}

pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    folder: TempDir,
}

/// What came out of a provider that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    /// Lines that were not read as answers.
    pub(crate) rest: Vec<String>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_with(Command::new(example("scratch")))
    }

    pub(crate) fn start_with(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            stdin: child.stdin.take(),
            child,
            answers,
            stderr: Some(stderr),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn send_line(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    pub(crate) fn send(&mut self, request: &Value) {
        self.send_line(request.to_string().as_bytes());
    }

    pub(crate) fn answer(&self) -> Value {
        let line = self.answers.recv_timeout(PATIENCE).expect("an answer");
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.answer()
    }

    /// Sends a line that is refused; gives the message.
    pub(crate) fn refused(&mut self, line: &[u8]) -> String {
        self.send_line(line);
        message(&self.answer())
    }

    /// Inputs of a note in this folder.
    pub(crate) fn inputs(&self, own: Value) -> Value {
        let mut inputs = json!({ "owner": "demo", "folder": self.folder(), "name": "a" });
        let Value::Object(own) = own else {
            panic!("no object")
        };
        inputs.as_object_mut().unwrap().extend(own);
        inputs
    }

    pub(crate) fn create(&self, own: Value) -> Value {
        let inputs = self.inputs(own);
        json!({ "createResourceRequest":
            { "type": "scratch_note", "inputProperties": inputs, "isStateful": false } })
    }

    pub(crate) fn faults(&self, faults: &Value) {
        std::fs::write(self.folder().join("faults.json"), faults.to_string()).unwrap();
    }

    /// Waits until a slow step was begun.
    pub(crate) fn wait_for_step(&self) {
        let begun = Instant::now();
        while !self.folder().join("stepping").exists() {
            assert!(begun.elapsed() < PATIENCE, "no step was begun");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end, with stdin left as it is.
    pub(crate) fn wait(&mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended {
            status,
            stderr,
            rest: self.answers.iter().collect(),
        }
    }

    /// Closes stdin and waits; it has to have ended well and said nothing more.
    pub(crate) fn finish(mut self) -> String {
        self.close_stdin();
        let ended = self.wait();
        assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
        assert!(ended.rest.is_empty(), "{:?}", ended.rest);
        ended.stderr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn message(answer: &Value) -> String {
    let message = answer["errorResponse"]["message"].as_str();
    message
        .unwrap_or_else(|| panic!("no error: {answer}"))
        .to_owned()
}
