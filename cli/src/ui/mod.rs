//! The only place that prints.
//!
//! People get text, machines get JSON on stdout; what providers and Nix say on
//! stderr goes to stderr, each line with the name of whom it is about.

mod plan;
mod progress;
mod removal;
mod summary;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::apply::Signals;
use crate::failure::Failure;
use crate::report::{DriftReport, Event, PlanReport};
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

    /// One that tells a machine, and a test what it told.
    #[cfg(test)]
    pub(crate) fn to(stdout: impl Write + Send + 'static) -> Self {
        Self {
            reader: Reader::Machine,
            all: false,
            paint: Paint { colour: false },
            errors: Paint { colour: false },
            progress: Mutex::new(Progress::new(false)),
            stdout: Mutex::new(Box::new(stdout)),
            stderr: Mutex::new(Box::new(io::sink())),
        }
    }

    /// Who reads what is printed.
    pub(crate) fn reader(&self) -> Reader {
        self.reader
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

    /// Asks before something is destroyed; only `yes` is one. On stderr, so that who
    /// keeps the rest in a file is asked, too.
    pub(crate) async fn confirm(
        &self,
        question: &str,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        if self.reader == Reader::Machine || !io::stdin().is_terminal() {
            return Err(Failure::NotConfirmed(
                "there is nobody to ask; --yes does it without asking",
            ));
        }
        self.stderr(question);
        let Ok(answer) = signals.race(line()).await else {
            self.stderr("\n");
            return Err(Failure::Interrupted);
        };
        let answer =
            answer.map_err(|error| Failure::Io("cannot read the answer".to_owned(), error))?;
        if answer.trim() == "yes" {
            Ok(())
        } else {
            Err(Failure::NotConfirmed("the answer was not yes"))
        }
    }

    /// Something happened during apply.
    pub(crate) fn event(&self, event: &Event) {
        if self.reader == Reader::Machine {
            self.json(event, false);
            return;
        }
        let paint = self.paint;
        match event {
            Event::Plan { plan } => self.plan(plan),
            Event::Removal { plan } => {
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
                self.progress().ended(path);
                let line = progress::finished(path, *operation, *seconds, paint);
                self.print(&format!("{line}\n"));
            }
            Event::Failed {
                path,
                operation,
                error,
                seconds,
                ..
            } => {
                self.progress().ended(path);
                let lines = progress::failed(path, *operation, error, *seconds, paint);
                self.print(&format!("{lines}\n"));
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
            Event::Summary(end) => self.print(&summary::summary(end, paint)),
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
