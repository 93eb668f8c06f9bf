//! Why a provider process gave no proper answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ParseError;
use crate::codec::LineError;

/// Why a request got no proper answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The process could not be started.
    #[error(
        "cannot start the provider {}: {source}; check that it is installed and that PATH or the \
         expression's `executable` leads to it",
        executable.display()
    )]
    Spawn {
        /// What was to be started.
        executable: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
    /// The provider answered that the request failed.
    #[error("{0}")]
    Refused(String),
    /// The process ended, or closed its end, before it answered.
    #[error("the provider {how} without an answer{}", stderr_tail(stderr))]
    Gone {
        /// How it ended.
        how: String,
        /// Its last lines on stderr.
        stderr: Vec<String>,
    },
    /// It took too long, and was stopped.
    #[error(
        "the provider gave no answer within {limit:?} and was stopped{}",
        stderr_tail(stderr)
    )]
    TimedOut {
        /// The limit that it went over.
        limit: Duration,
        /// Its last lines on stderr.
        stderr: Vec<String>,
    },
    /// It answered everything but did not end when its stdin did, and was stopped.
    #[error(
        "the provider did not end within {patience:?} of the end of its input and was stopped{}",
        stderr_tail(stderr)
    )]
    Lingered {
        /// How long it was waited for.
        patience: Duration,
        /// Its last lines on stderr.
        stderr: Vec<String>,
    },
    /// What it wrote on stdout is not a message of this protocol.
    #[error(
        "the provider wrote something on stdout that is not an answer: {0}; stdout is for answers \
         alone, logs belong on stderr"
    )]
    Malformed(#[from] ParseError),
    /// It wrote on stdout although nothing was asked, so that what it writes next
    /// can't be told from an answer.
    #[error(
        "the provider wrote on stdout without being asked; it has to give one answer for each \
         request, and logs belong on stderr"
    )]
    Unasked,
    /// An earlier request to this process failed, or was given up.
    #[error(
        "the provider can't be asked again after a request that it gave no proper answer to; \
         start it anew"
    )]
    Spent,
    /// What it said when asked to describe itself is not a description.
    #[error(
        "the provider's description of itself can't be read: {0}; its version may not fit this \
         program's"
    )]
    Description(#[source] serde_json::Error),
    /// A line of its stdout could not be read.
    #[error("cannot read the provider's answer: {0}")]
    Line(#[from] LineError),
    /// It answered another request than the one that was sent.
    #[error("the provider gave an answer of the wrong kind to {request}")]
    Mismatch {
        /// The request that was sent.
        request: &'static str,
    },
    /// The request itself could not be written.
    #[error("cannot write the request: {0}")]
    Encode(#[source] serde_json::Error),
}

fn stderr_tail(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("; it last said:\n  {}", lines.join("\n  "))
}
