//! One process from its start to its end: how long it takes, and how much
//! memory it has at most.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often the memory of a command is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What is measured of one thing.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) time: Duration,
    /// Peak, in KiB; 0 where it was not looked at.
    pub(crate) memory: u64,
}

/// Runs a command that takes long enough to be looked at while it runs. Its
/// output goes through a file.
pub(crate) fn watch(mut command: Command, output: &Path) -> (Figure, String) {
    let stdout = File::create(output).expect("cannot create a file");
    let begun = Instant::now();
    let mut child = spawn(command.stdin(Stdio::null()).stdout(stdout));
    let mut memory = 0;
    let status = loop {
        memory = high_water(child.id()).unwrap_or(memory).max(memory);
        if let Some(status) = child.try_wait().expect("a process of ours") {
            break status;
        }
        std::thread::sleep(LOOK);
    };
    let time = begun.elapsed();
    let text = fs::read_to_string(output).expect("UTF-8");
    assert!(status.success(), "{command:?}: {status}\n{text}");
    (Figure { time, memory }, text)
}

/// A process that is started again and again.
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    make: Box<dyn Fn() -> Command + 'a>,
    /// The one line that it is sent; its answer is read before stdin is closed.
    request: Option<Vec<u8>>,
    /// What has to stand in its output, so that no failure is measured.
    expected: &'static str,
}

impl<'a> Subject<'a> {
    /// A program that is not spoken to.
    pub(crate) fn program(
        name: impl Into<String>,
        expected: &'static str,
        make: impl Fn() -> Command + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            make: Box::new(make),
            request: None,
            expected,
        }
    }

    /// A provider that answers one line.
    pub(crate) fn provider(
        name: impl Into<String>,
        expected: &'static str,
        request: impl Into<String>,
        make: impl Fn() -> Command + 'a,
    ) -> Self {
        let line: String = request.into() + "\n";
        Self {
            request: Some(line.into_bytes()),
            ..Self::program(name, expected, make)
        }
    }

    /// Runs it once.
    pub(crate) fn run(&self) -> Duration {
        let mut command = self.command();
        let begun = Instant::now();
        let child = spawn(&mut command);
        self.to_its_end(child, |_| {});
        begun.elapsed()
    }

    /// Its greatest resident set, in KiB, where the kernel tells.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let child = spawn(&mut self.command());
        let mut peak = None;
        self.to_its_end(child, |id| {
            if self.request.is_some() {
                peak = high_water(id);
                return;
            }
            // Only grows, and is gone with the process: the last one counts.
            while let Some(memory) = high_water(id) {
                peak = Some(memory);
            }
        });
        peak
    }

    fn command(&self) -> Command {
        let mut command = (self.make)();
        let stdin = if self.request.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `look` is given the process's id when the answer is there, or at once if
    /// nothing was asked.
    fn to_its_end(&self, mut child: Child, look: impl FnOnce(u32)) {
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut output = String::new();
        if let Some(request) = &self.request {
            let stdin = child.stdin.as_mut().expect("stdin is a pipe");
            // If nobody reads it, what follows says why.
            let _unread = stdin.write_all(request);
            stdout.read_line(&mut output).expect("an answer in UTF-8");
        }
        look(child.id());
        drop(child.stdin.take());
        stdout.read_to_string(&mut output).expect("output in UTF-8");
        let status = child.wait().expect("a process of ours");
        if !status.success() || !output.contains(self.expected) {
            let mut said = String::new();
            let mut stderr = child.stderr.take().expect("stderr is a pipe");
            stderr.read_to_string(&mut said).expect("UTF-8");
            panic!("{}: it ended with {status}\n{output}{said}", self.name);
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()))
}

/// `VmHWM` belongs to the program that runs now: what the parent had before it
/// became that program is not in it, as it is in the maximum that `wait4` gives.
fn high_water(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
