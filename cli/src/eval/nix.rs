//! Runs the Nix that is installed.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::output::Mark;
use super::scratch::{self, Scratch};
use super::{EvalError, Known, Notes, Place, Root, failure, store};

/// Begins each trace line and each error of the driver's.
pub(super) const MARK: &str = "@nixops4-resources@";

const DRIVER: &str = include_str!("driver.nix");
const NIX_INSTANTIATE: &str = "nix-instantiate";
const NIX_STORE: &str = "nix-store";

/// What the driver is asked.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    pub(super) root: &'a Root,
    pub(super) mark: &'a str,
    pub(crate) known: &'a Known,
    pub(super) catch: bool,
    pub(crate) look: &'a str,
    pub(super) places: &'a [Place],
    /// Begins the name of each store path that stands for an output.
    pub(crate) edge: &'a str,
    /// Whether derivations are written into the store.
    pub(super) writes: bool,
}

/// What the driver answers.
pub(crate) struct Answer {
    /// A list of what it found, as JSON.
    pub(crate) items: Vec<u8>,
    /// The trace lines that it left, in order.
    pub(crate) marks: Vec<Mark>,
}

/// What runs the driver: Nix, or what a test puts in its place.
pub(crate) trait Driver {
    /// Evaluates once.
    fn run<'a>(&'a self, request: &'a Request<'a>)
    -> LocalBoxFuture<'a, Result<Answer, EvalError>>;

    /// Builds, or fetches, store paths.
    fn realise<'a>(&'a self, paths: &'a [&String]) -> LocalBoxFuture<'a, Result<(), EvalError>>;
}

impl Driver for Nix {
    fn run<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> LocalBoxFuture<'a, Result<Answer, EvalError>> {
        self.evaluate(request).boxed_local()
    }

    fn realise<'a>(&'a self, paths: &'a [&String]) -> LocalBoxFuture<'a, Result<(), EvalError>> {
        self.make(paths).boxed_local()
    }
}

/// The installed Nix.
pub(super) struct Nix {
    show_trace: bool,
    notes: Notes,
    environment: OnceCell<Vec<(&'static str, OsString)>>,
    /// Whether nobody has looked yet for what a killed one left.
    has_to_sweep: AtomicBool,
}

impl Nix {
    pub(super) fn new(show_trace: bool, notes: Notes) -> Self {
        Self {
            show_trace,
            notes,
            environment: OnceCell::new(),
            has_to_sweep: AtomicBool::new(true),
        }
    }

    async fn command(&self, program: &str) -> Result<Command, EvalError> {
        let environment = self
            .environment
            .get_or_try_init(|| async { store::environment().map_err(EvalError::PrivateStore) })
            .await?;
        let mut command = Command::new(program);
        command
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    async fn evaluate(&self, request: &Request<'_>) -> Result<Answer, EvalError> {
        if self.has_to_sweep.swap(false, Ordering::Relaxed) {
            scratch::sweep();
        }
        let directory = Scratch::new().map_err(EvalError::Scratch)?;
        let write = |name, text: &[u8]| directory.write(name, text).map_err(EvalError::Scratch);
        let driver = write("driver.nix", DRIVER.as_bytes())?;
        let json = serde_json::to_vec(request).map_err(EvalError::Answer)?;
        write("request.json", &json)?;

        let mut command = self.command(NIX_INSTANTIATE).await?;
        command
            .args(["--eval", "--strict", "--json"])
            .args(["--show-trace"])
            .arg(&driver);
        if request.writes {
            command.arg("--read-write-mode");
        }
        if let Root::Flake(_) = request.root {
            command.args([
                "--option",
                "extra-experimental-features",
                "nix-command flakes",
            ]);
        }
        let output = command.output().await.map_err(not_started)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(failure::read(
                &stderr,
                output.status,
                &driver,
                request.root,
                self.show_trace,
            ));
        }
        let marks = self.sort_out(&stderr);
        Ok(Answer {
            items: output.stdout,
            marks,
        })
    }

    /// Keeps the driver's own lines and passes on what else was said.
    fn sort_out(&self, stderr: &str) -> Vec<Mark> {
        let mut marks = Vec::new();
        for line in stderr.lines() {
            let own = line
                .strip_prefix("trace: ")
                .and_then(|rest| rest.strip_prefix(MARK));
            if let Some(json) = own {
                marks.extend(serde_json::from_str::<Mark>(json));
            } else if !failure::is_noise(line) {
                (self.notes)(line);
            }
        }
        marks
    }

    async fn make(&self, paths: &[&String]) -> Result<(), EvalError> {
        let mut command = self.command(NIX_STORE).await?;
        command
            .arg("--realise")
            .args(paths)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(not_started)?;
        let mut said = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            // A build may take long, so that what it says is shown at once.
            while reader
                .read_until(b'\n', &mut line)
                .await
                .map_err(EvalError::NixFailed)?
                > 0
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !failure::is_noise(&text) {
                    (self.notes)(&text);
                    said.push(text);
                }
                line.clear();
            }
        }
        if child.wait().await.map_err(EvalError::NixFailed)?.success() {
            return Ok(());
        }
        said.retain(|line| line.starts_with("error:"));
        Err(EvalError::Realise {
            paths: paths.iter().map(|path| (*path).clone()).collect(),
            said: said.join("\n"),
        })
    }
}

fn not_started(source: io::Error) -> EvalError {
    if source.kind() == io::ErrorKind::NotFound {
        EvalError::NixMissing
    } else {
        EvalError::NixFailed(source)
    }
}
