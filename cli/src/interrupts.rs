//! Ctrl-C and a polite request to end.

use futures_util::stream::{self, StreamExt as _};
use nixops4_resources_engine::Signals;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// From now on Ctrl-C does not end the process by itself.
pub(crate) fn signals() -> Result<Signals, Failure> {
    let caught = |kind| {
        signal(kind).map_err(|error| Failure::Io("cannot wait for signals".to_owned(), error))
    };
    let both = (
        caught(SignalKind::interrupt())?,
        caught(SignalKind::terminate())?,
    );
    let asked = stream::unfold(both, async |(mut interrupt, mut terminate)| {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Some(((), (interrupt, terminate)))
    });
    Ok(Signals::from(asked.boxed_local()))
}
