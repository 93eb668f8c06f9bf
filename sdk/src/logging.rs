//! Diagnostics on stderr, as text or JSON, with known secrets taken out.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::secret::redact;

/// Sets how much is logged: `error`, `warn` (default), `info`, `debug`, `trace`.
pub(crate) const LEVEL_VARIABLE: &str = "NIXOPS4_RESOURCES_LOG";
/// Sets how: `text` (default) or `json`.
pub(crate) const FORMAT_VARIABLE: &str = "NIXOPS4_RESOURCES_LOG_FORMAT";

/// Starts logging, and makes a panic say where it was without its message, which
/// could hold anything.
pub(crate) fn set_up() {
    let level = std::env::var(LEVEL_VARIABLE)
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(tracing::level_filters::LevelFilter::WARN);
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(RedactedStderr)
        .with_ansi(false);
    let result = if std::env::var(FORMAT_VARIABLE).is_ok_and(|format| format == "json") {
        builder.json().try_init()
    } else {
        builder.without_time().try_init()
    };
    // Somebody who embeds a provider has set up logging already.
    drop(result);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("panicked at {place}; this is a bug in the provider");
    }));
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
