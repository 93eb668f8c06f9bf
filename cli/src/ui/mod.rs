//! The only place that prints.
//!
//! People get text, machines get JSON on stdout; what providers and Nix say on
//! stderr goes to stderr, each line with the name of whom it is about.

pub(crate) mod graph;
pub(crate) mod inspect;
mod overall;
mod plan;
mod progress;
mod removal;
mod summary;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anstream::{AutoStream, ColorChoice};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use nixops4_resources_engine::{Answer, Frontend, shell};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::report::{DriftReport, Event, PlanReport, RemovalAction, RemovalReport};
use progress::Progress;
use text::Paint;

/// The width of lines that go to no terminal.
const WIDTH: usize = 120;

/// Who reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody at a terminal, or reading a log.
    Person,
    /// A program.
    Machine,
}

/// Prints.
pub(crate) struct Ui {
    reader: Reader,
    all: bool,
    paint: Paint,
    errors: Paint,
    progress: Mutex<Progress>,
    stdout: Output,
    stderr: Output,
}

type Output = Mutex<Box<dyn Write + Send>>;

impl Ui {
    /// `all` lists what stays as it is, too.
    pub(crate) fn new(reader: Reader, all: bool) -> Self {
        let coloured = |choice| Paint {
            colour: choice != ColorChoice::Never,
        };
        let is_live = reader == Reader::Person && io::stdout().is_terminal();
        Self {
            reader,
            all,
            paint: coloured(AutoStream::choice(&io::stdout())),
            errors: coloured(AutoStream::choice(&io::stderr())),
            progress: Mutex::new(Progress::new(is_live)),
            stdout: Mutex::new(Box::new(io::stdout())),
            stderr: Mutex::new(Box::new(io::stderr())),
        }
    }

    /// Who reads what is printed.
    pub(crate) fn reader(&self) -> Reader {
        self.reader
    }

    /// Whether what stays as it is, is listed, too.
    pub(crate) fn is_verbose(&self) -> bool {
        self.all
    }

    /// How text for stdout is coloured.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// How wide a line on stdout may be.
    pub(crate) fn width() -> usize {
        rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0)
            .unwrap_or(WIDTH)
    }

    /// Text on stdout.
    pub(crate) fn print(&self, text: &str) {
        self.write(&self.stdout, text);
    }

    /// One JSON document on stdout, on one line or made to be read.
    pub(crate) fn json(&self, document: &impl Serialize, pretty: bool) {
        let json = if pretty {
            serde_json::to_string_pretty(document)
        } else {
            serde_json::to_string(document)
        };
        match json {
            Ok(json) => self.print(&format!("{}\n", text::escaped(&json))),
            Err(error) => self.error(&format!("cannot write this as JSON: {error}")),
        }
    }

    /// What somebody said on stderr.
    pub(crate) fn said(&self, who: &str, line: &str) {
        let who = self.errors.dim(&format!("{who}:"));
        self.stderr(&format!("{who} {}\n", text::theirs(line)));
    }

    /// An error on stderr.
    pub(crate) fn error(&self, message: &str) {
        let head = self.errors.bad("error:");
        self.stderr(&format!("{head} {}\n", text::theirs(message)));
    }

    /// The plan, for whoever reads.
    pub(crate) fn plan(&self, report: &PlanReport) {
        match self.reader {
            Reader::Machine => self.json(report, true),
            Reader::Person => {
                self.print(&plan::plan(report, self.all, Self::width(), self.paint));
            }
        }
    }

    /// A plan was saved.
    pub(crate) fn saved(&self, file: &Path) {
        if self.reader == Reader::Person {
            let file = shell::word(&file.to_string_lossy());
            self.print(&text::line(&format!(
                "Saved: `nixops4-resources apply {file}` does this, and no more."
            )));
            self.print("\n");
        }
    }

    /// How reality differs from what is recorded, for whoever reads.
    pub(crate) fn drift(&self, report: &DriftReport) {
        match self.reader {
            Reader::Machine => self.json(report, true),
            Reader::Person => {
                let text = removal::drift(report, self.all, Self::width(), self.paint);
                self.print(&text);
            }
        }
    }

    /// Asks something; only `yes` is one. On stderr, so that who keeps the rest in a file
    /// is asked, too.
    pub(crate) async fn ask(&self, question: &str) -> io::Result<Answer> {
        if self.reader == Reader::Machine || !io::stdin().is_terminal() {
            return Ok(Answer::Nobody);
        }
        self.stderr(question);
        let cursor = Cursor { ui: Some(self) };
        let answer = line().await;
        cursor.has_moved();
        Ok(if answer?.trim() == "yes" {
            Answer::Yes
        } else {
            Answer::No
        })
    }

    /// How far everything is, where lines stay.
    fn overall(&self, line: Option<String>) {
        if let Some(line) = line {
            self.print(&format!("  {}\n", self.paint.dim(&line)));
        }
    }

    fn stderr(&self, text: &str) {
        self.write(&self.stderr, text);
    }

    fn write(&self, output: &Output, text: &str) {
        self.progress().around(|| {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody is left to be told if it is closed.
            let _ = output.write_all(text.as_bytes());
            let _ = output.flush();
        });
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands behind a question until it is answered: who is interrupted there goes on in a
/// line of their own.
struct Cursor<'a> {
    ui: Option<&'a Ui>,
}

impl Cursor<'_> {
    fn has_moved(mut self) {
        self.ui = None;
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        if let Some(ui) = self.ui {
            ui.stderr("\n");
        }
    }
}

impl Frontend for Ui {
    fn event(&self, event: &Event) {
        if self.reader == Reader::Machine {
            self.json(event, false);
            return;
        }
        let paint = self.paint;
        match event {
            Event::Plan { plan } => {
                self.plan(plan);
                let counts = &plan.counts;
                let work = counts.create + counts.update + counts.record + counts.ensure;
                let is_open = counts.later > 0 || !plan.unknown_members.is_empty();
                self.progress().expect(work + counts.later, is_open);
            }
            Event::Removal { plan } => {
                let work = plan.resources.len() - plan.count(RemovalAction::Refuse);
                self.progress().expect(work, false);
                self.print(&removal::removal(plan, Self::width(), paint));
            }
            Event::Started {
                path, operation, ..
            } => {
                let line = self.progress().started(path, *operation, paint);
                if let Some(line) = line {
                    self.print(&format!("{line}\n"));
                }
            }
            Event::Finished {
                path,
                operation,
                seconds,
                ..
            } => {
                let overall = self.progress().ended(path, false);
                let line = progress::finished(path, *operation, *seconds, paint);
                self.print(&format!("{line}\n"));
                self.overall(overall);
            }
            Event::Failed {
                path,
                operation,
                error,
                seconds,
                ..
            } => {
                let overall = self.progress().ended(path, true);
                let lines = progress::failed(path, *operation, error, *seconds, paint);
                self.print(&format!("{lines}\n"));
                self.overall(overall);
            }
            Event::Retried {
                path,
                error,
                attempt,
                of,
            } => {
                let lines = progress::retried(path, error, *attempt, *of, paint);
                self.print(&format!("{lines}\n"));
            }
            // The summary lists them.
            Event::Skipped { .. } => {}
            Event::Note { message } => self.print(&format!("{}\n", text::theirs(message))),
            Event::Error { message } => self.error(message),
            Event::Summary(end) => {
                self.progress().end();
                self.print(&summary::summary(end, paint));
            }
        }
    }

    fn said(&self, who: &str, line: &str) {
        Self::said(self, who, line);
    }

    fn confirm<'a>(&'a self, removal: &'a RemovalReport) -> LocalBoxFuture<'a, io::Result<Answer>> {
        async { self.ask(&removal::question(removal)).await }.boxed_local()
    }
}

/// A line from stdin. A thread of its own waits for it, which nobody has to wait
/// for: the process can go on, and end, without it.
async fn line() -> io::Result<String> {
    let (tell, told) = oneshot::channel();
    let read = move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        // Nobody is left to be told if the command was interrupted.
        let _ = tell.send(read.map(|_| line));
    };
    thread::Builder::new().spawn(read)?;
    told.await.map_err(io::Error::other)?
}
