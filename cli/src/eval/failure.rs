//! Why an evaluation failed, told so that the author finds the place.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::Root;
use super::nix::MARK;
use crate::member::MemberPath;

/// Why a deployment could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvalError {
    /// The deployment's file.
    #[error(
        "cannot read the deployment {}: {source}; name the right one with --file",
        file.display()
    )]
    File {
        /// As given.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing that could be one.
    #[error(
        "there is no deployment here: neither nixops4.nix, nor a flake.nix here or above; write \
         one, or name it with --file"
    )]
    NoRoot,
    /// No Nix.
    #[error(
        "nix-instantiate is not installed, and evaluates the deployment: install Nix 2.8 or newer \
         (Debian and Ubuntu: apt-get install nix-bin; others: https://nixos.org/download) and \
         see that it is in PATH"
    )]
    NixMissing,
    /// Nix could not be started.
    #[error("cannot run Nix: {0}")]
    NixFailed(#[source] io::Error),
    /// Nix was stopped by a signal.
    #[error("the evaluation was interrupted ({0})")]
    Interrupted(ExitStatus),
    /// No private store.
    #[error("the Nix store cannot be written, nor can a private one be made in your cache: {0}")]
    PrivateStore(#[source] io::Error),
    /// No scratch directory.
    #[error("cannot write what Nix is asked into a temporary directory: {0}; check TMPDIR")]
    Scratch(#[source] io::Error),
    /// The answer is not what this program expects.
    #[error("cannot read what Nix answered: {0}; this is a mistake in nixops4-resources")]
    Answer(#[source] serde_json::Error),
    /// The expression itself.
    #[error("{0}")]
    Expression(Expression),
    /// Nothing but an output that is not known yet.
    #[error("an output is not known yet")]
    Unknown,
    /// Inputs that are not a set.
    #[error("the inputs of the member '{path}' are {found}, not a set")]
    Inputs {
        /// Whose.
        path: MemberPath,
        /// What they are.
        found: &'static str,
    },
    /// Store paths that could not be made.
    #[error("cannot build {}:\n{said}", paths.join(", "))]
    Realise {
        /// Which.
        paths: Vec<String>,
        /// What Nix said.
        said: String,
    },
}

/// A mistake in the expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    /// What is wrong.
    message: String,
    /// What was being evaluated, such as `the inputs of the member 'db'`.
    within: Option<String>,
    /// `FILE:LINE:COLUMN`.
    position: Option<String>,
    /// The lines around it.
    snippet: Vec<String>,
    /// All that Nix said, if that was asked for.
    trace: Option<String>,
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(position) = &self.position {
            writeln!(f, "{position}: {}", self.message)?;
        } else {
            writeln!(f, "{}", self.message)?;
        }
        for line in &self.snippet {
            writeln!(f, "  {line}")?;
        }
        if let Some(within) = &self.within {
            writeln!(f, "while evaluating {within}")?;
        }
        match &self.trace {
            Some(trace) => write!(f, "\n{trace}"),
            None => f.write_str("(--show-trace shows all that Nix says)"),
        }
    }
}

/// Lines that say nothing to whoever only wants to evaluate.
pub(super) fn is_noise(line: &str) -> bool {
    line.starts_with("warning: the group 'nixbld'") || line.trim().is_empty()
}

/// What is left of Nix's stderr.
pub(super) fn without_noise(stderr: &str) -> String {
    let own = format!("trace: {MARK}");
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !is_noise(line) && !line.starts_with(&own))
        .collect();
    lines.join("\n")
}

struct Frame {
    position: String,
    file: String,
    snippet: Vec<String>,
}

/// Reads what a failed run said. Old Nix puts the message first and the
/// innermost place after it; new Nix puts both at the end.
pub(super) fn read(
    stderr: &str,
    status: ExitStatus,
    driver: &Path,
    root: &Root,
    show_trace: bool,
) -> EvalError {
    if status.code().is_none() {
        return EvalError::Interrupted(status);
    }
    let lines: Vec<&str> = stderr.lines().collect();
    let said = |line: &&str| line.trim_start().starts_with("error: ");
    let Some(at) = lines.iter().rposition(said) else {
        return EvalError::Expression(Expression {
            message: without_noise(stderr),
            within: None,
            position: None,
            snippet: Vec::new(),
            trace: None,
        });
    };
    let message = message(&lines[at..]);
    if message.contains(&format!("{MARK}: the output ")) {
        return EvalError::Unknown;
    }
    let mut frames = frames(&lines[at..]);
    let mut outer = self::frames(&lines[..at]);
    outer.reverse();
    frames.append(&mut outer);
    let driver = driver.to_string_lossy();
    let mut authors = None;
    for (index, frame) in frames.iter_mut().enumerate() {
        if frame.file == driver {
            continue;
        }
        if let Some(own) = root.authors(&frame.file) {
            frame.position = frame.position.replacen(&frame.file, &own, 1);
            authors = Some(index);
            break;
        }
    }
    let authors = authors.or_else(|| {
        frames
            .iter()
            .position(|frame| frame.file.starts_with('/') && frame.file != driver)
    });
    let frame = authors.map(|index| frames.swap_remove(index));
    let (position, snippet) = match frame {
        Some(frame) => (Some(frame.position), frame.snippet),
        None => (None, Vec::new()),
    };
    EvalError::Expression(Expression {
        message: clean(&message),
        within: within(&lines),
        position,
        snippet,
        trace: show_trace.then(|| without_noise(stderr)),
    })
}

/// The message itself, which may have several lines.
fn message(lines: &[&str]) -> String {
    let mut message = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 && (line.trim_start().starts_with('…') || position(line).is_some()) {
            break;
        }
        message.push(if index == 0 {
            line.trim_start().trim_start_matches("error: ")
        } else {
            line.trim()
        });
    }
    message.join("\n").trim().to_owned()
}

fn clean(message: &str) -> String {
    let inner = message
        .strip_prefix("evaluation aborted with the following error message: ")
        .map_or(message, |quoted| {
            quoted.trim_matches(|c| matches!(c, '\'' | '‘' | '’' | '"'))
        });
    inner
        .strip_prefix(MARK)
        .map_or(inner, |rest| rest.trim_start_matches(": "))
        .to_owned()
}

fn within(lines: &[&str]) -> Option<String> {
    lines.iter().find_map(|line| {
        let what = line.trim_start().strip_prefix("… while evaluating ")?;
        (what.starts_with("the ") && what.contains(" of the member ")).then(|| what.to_owned())
    })
}

/// `at FILE:LINE:COLUMN:`
fn position(line: &str) -> Option<(&str, &str)> {
    let place = line.trim_start().strip_prefix("at ")?.strip_suffix(':')?;
    let mut parts = place.rsplitn(3, ':');
    let (column, row, file) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(column) && is_number(row)).then_some((place, file))
}

fn frames(lines: &[&str]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((place, file)) = position(line) else {
            continue;
        };
        let snippet = lines[index + 1..]
            .iter()
            .skip_while(|line| line.trim().is_empty())
            .take_while(|line| is_snippet(line))
            .map(|line| line.trim_end().to_owned())
            .collect();
        frames.push(Frame {
            position: place.to_owned(),
            file: file.to_owned(),
            snippet: dedent(snippet),
        });
    }
    frames
}

/// `   12| text` or `     |   ^`
fn is_snippet(line: &str) -> bool {
    line.trim_start()
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .starts_with('|')
}

fn dedent(mut lines: Vec<String>) -> Vec<String> {
    let indent = |line: &String| line.len() - line.trim_start().len();
    let least = lines.iter().map(indent).min().unwrap_or(0);
    for line in &mut lines {
        line.drain(..least);
    }
    lines
}

#[cfg(test)]
mod tests;
