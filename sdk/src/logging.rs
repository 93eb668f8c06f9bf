//! Diagnostics on stderr, as text or JSON, with known secrets taken out.

use std::fmt;
use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::secret::redact;

/// Where it is told how far something is that takes long.
const PROGRESS: &str = "progress";
/// Sets how much is logged: `error`, `warn`, `info`, `debug`, `trace`. Unless said,
/// warnings and progress.
pub(crate) const LEVEL_VARIABLE: &str = "NIXOPS4_RESOURCES_LOG";
/// Sets how: `text` (default) or `json`.
pub(crate) const FORMAT_VARIABLE: &str = "NIXOPS4_RESOURCES_LOG_FORMAT";

/// Starts logging, and makes a panic say where it was without its message, which
/// could hold anything.
pub(crate) fn set_up() {
    let level = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let format = std::env::var(FORMAT_VARIABLE).unwrap_or_default();
    let said = Some(level.as_str()).filter(|level| !level.is_empty());
    let known_level: Option<LevelFilter> = said.and_then(|level| level.parse().ok());
    let shown = match known_level {
        Some(level) => Targets::new().with_default(level),
        None => Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target(PROGRESS, LevelFilter::INFO),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(RedactedStderr)
        .with_ansi(false);
    let lines = if format == "json" {
        lines.json().boxed()
    } else {
        lines.without_time().boxed()
    };
    let result = tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .try_init();
    // Somebody who embeds a provider has set up logging already.
    drop(result);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!("panicked at {place}; this is a bug in the provider");
    }));
    if said.is_some() && known_level.is_none() {
        tracing::warn!(
            "{LEVEL_VARIABLE} has to be off, error, warn, info, debug or trace; it counts as warn"
        );
    }
    if !matches!(format.as_str(), "" | "text" | "json") {
        tracing::warn!("{FORMAT_VARIABLE} has to be text or json; it counts as text");
    }
}

/// Tells how far something is that takes long; shown unless less is asked for.
pub fn progress(text: impl fmt::Display) {
    tracing::info!(target: PROGRESS, "{text}");
}

struct RedactedStderr;

impl<'a> MakeWriter<'a> for RedactedStderr {
    type Writer = RedactedLine;

    fn make_writer(&'a self) -> Self::Writer {
        RedactedLine(Vec::new())
    }
}

/// Collects one event, so that no secret is cut in two.
struct RedactedLine(Vec<u8>);

impl Write for RedactedLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RedactedLine {
    fn drop(&mut self) {
        let line = redact(&String::from_utf8_lossy(&self.0));
        // There is nowhere left to say that stderr is gone.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}
