//! What runs, while it runs: a live line each on a terminal, and above them how much of
//! everything is done; otherwise a line when something starts and one when it ends.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::overall::Overall;
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
    /// How far everything is, and its line, as soon as anybody knows how much it is.
    overall: Option<Arc<Mutex<Overall>>>,
    overall_bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(is_terminal: bool) -> Self {
        Self {
            live: is_terminal
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout())),
            bars: BTreeMap::new(),
            overall: None,
            overall_bar: None,
        }
    }

    /// So much is to be done.
    pub(super) fn expect(&mut self, all: usize, is_open: bool) {
        self.overall = Some(Arc::new(Mutex::new(Overall::new(all, is_open))));
    }

    /// Shows how far everything is, above what runs: what is below the last line of a
    /// terminal is not seen.
    fn show_overall(&mut self, live: &MultiProgress) {
        let (Some(overall), None) = (&self.overall, &self.overall_bar) else {
            return;
        };
        let shown = Arc::clone(overall);
        let write = move |_: &ProgressState, to: &mut dyn Write| {
            let overall = shown.lock().unwrap_or_else(PoisonError::into_inner);
            // A line too long would be drawn on the next one.
            let width = super::Ui::width().saturating_sub(3);
            let _ = to.write_str(&overall.line(Instant::now(), width));
        };
        let style = ProgressStyle::with_template("{spinner} {overall}");
        let bar = live.insert(0, ProgressBar::new_spinner());
        if let Ok(style) = style {
            bar.set_style(style.tick_chars(SPINNER).with_key("overall", write));
        }
        bar.enable_steady_tick(TICK);
        self.overall_bar = Some(bar);
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
            Operation::Retain => "retiring",
            Operation::Forget => "forgetting",
            Operation::Import => "importing",
        };
        if let Some(overall) = &self.overall {
            let mut overall = overall.lock().unwrap_or_else(PoisonError::into_inner);
            overall.begin(Instant::now());
        }
        let Some(live) = self.live.clone() else {
            return Some(format!("  {path}  {}", paint.dim(doing)));
        };
        self.show_overall(&live);
        let bar = live.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style.tick_chars(SPINNER));
        }
        bar.set_message(format!("{path}  {}", paint.dim(doing)));
        bar.enable_steady_tick(TICK);
        self.bars.insert(path.clone(), bar);
        None
    }

    /// It ended; its line goes. Where there are no live ones, gives now and then the line
    /// that says how far everything is.
    pub(super) fn ended(&mut self, path: &MemberPath, is_failed: bool) -> Option<String> {
        if let Some(bar) = self.bars.remove(path) {
            bar.finish_and_clear();
        }
        let overall = self.overall.as_ref()?;
        let mut overall = overall.lock().unwrap_or_else(PoisonError::into_inner);
        overall.ended(is_failed);
        match &self.live {
            Some(_) => None,
            None => overall.seldom(Instant::now()),
        }
    }

    /// Nothing more is done; its line goes.
    pub(super) fn end(&mut self) {
        self.overall = None;
        if let Some(bar) = self.overall_bar.take() {
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
        Operation::Retain => "retired",
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
        Operation::Retain => "could not be retired",
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
