//! What runs, while it runs: a live line each on a terminal, otherwise a line
//! when it starts and one when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::{self, Paint};
use crate::member::MemberPath;
use crate::report::Operation;

/// How often a live line is drawn anew.
const TICK: Duration = Duration::from_millis(120);
const SPINNER: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ";

/// The lines of what runs.
pub(super) struct Progress {
    /// Absent where there is no terminal.
    live: Option<MultiProgress>,
    bars: BTreeMap<MemberPath, ProgressBar>,
}

impl Progress {
    pub(super) fn new(is_terminal: bool) -> Self {
        Self {
            live: is_terminal
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout())),
            bars: BTreeMap::new(),
        }
    }

    /// Writes without disturbing the live lines.
    pub(super) fn around(&self, write: impl FnOnce()) {
        match &self.live {
            Some(live) => live.suspend(write),
            None => write(),
        }
    }

    /// Something begins; gives the line to print if there are no live ones.
    pub(super) fn started(
        &mut self,
        path: &MemberPath,
        operation: Operation,
        paint: Paint,
    ) -> Option<String> {
        let doing = match operation {
            Operation::Plan => "looking",
            Operation::Create => "creating",
            Operation::Update => "updating",
            Operation::Ensure => "making sure",
            Operation::Record => "recording",
            Operation::Destroy => "destroying",
            Operation::Retain => "taking out of service",
            Operation::Forget => "forgetting",
            Operation::Import => "importing",
        };
        let Some(live) = &self.live else {
            return Some(format!("  {path}  {}", paint.dim(doing)));
        };
        let bar = live.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style.tick_chars(SPINNER));
        }
        bar.set_message(format!("{path}  {}", paint.dim(doing)));
        bar.enable_steady_tick(TICK);
        self.bars.insert(path.clone(), bar);
        None
    }

    /// It ended; its line goes.
    pub(super) fn ended(&mut self, path: &MemberPath) {
        if let Some(bar) = self.bars.remove(path) {
            bar.finish_and_clear();
        }
    }
}

/// The line of something that is done.
pub(super) fn finished(
    path: &MemberPath,
    operation: Operation,
    seconds: f64,
    paint: Paint,
) -> String {
    let done = match operation {
        Operation::Plan => "looked at",
        Operation::Create => "created",
        Operation::Update => "updated",
        Operation::Ensure => "made sure of",
        Operation::Record => "recorded",
        Operation::Destroy => "destroyed",
        Operation::Retain => "taken out of service",
        Operation::Forget => "forgotten",
        Operation::Import => "imported",
    };
    format!(
        "  {path}  {} {}",
        paint.good(done),
        paint.dim(&format!("in {}", text::seconds(seconds)))
    )
}

/// The lines of something that failed.
pub(super) fn failed(
    path: &MemberPath,
    operation: Operation,
    error: &str,
    seconds: f64,
    paint: Paint,
) -> String {
    let what = match operation {
        Operation::Plan => "could not be looked at",
        Operation::Create => "could not be created",
        Operation::Update => "could not be updated",
        Operation::Ensure => "could not be made sure of",
        Operation::Record => "could not be recorded",
        Operation::Destroy => "could not be destroyed",
        Operation::Retain => "could not be taken out of service",
        Operation::Forget => "could not be forgotten",
        Operation::Import => "could not be imported",
    };
    // The summary has the rest.
    let reason = text::reason(error);
    format!(
        "  {path}  {} {}\n      {}",
        paint.bad(what),
        paint.dim(&format!("({})", text::seconds(seconds))),
        reason.lines().next().unwrap_or_default()
    )
}

/// The lines of something that is asked again.
pub(super) fn retried(
    path: &MemberPath,
    error: &str,
    attempt: usize,
    of: usize,
    paint: Paint,
) -> String {
    let reason = text::reason(error);
    format!(
        "  {path}  {}\n      {}",
        paint.dim(&format!("is tried again ({attempt} of {of})")),
        reason.lines().next().unwrap_or_default()
    )
}
