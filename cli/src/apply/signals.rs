//! Ctrl-C and a polite request to end.

use std::io;

use futures_util::stream::{self, LocalBoxStream, StreamExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Waits for the user to stop the command.
pub(crate) struct Signals {
    source: LocalBoxStream<'static, ()>,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        let both = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let source = stream::unfold(both, async |(mut interrupt, mut terminate)| {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Some(((), (interrupt, terminate)))
        });
        Ok(Self::from(source.boxed_local()))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        if self.source.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// What comes of `work`, or [`Failure::Interrupted`] if one comes before that,
    /// with the work left where it is.
    pub(crate) async fn race<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = self.next() => Err(Failure::Interrupted),
        }
    }
}

impl From<LocalBoxStream<'static, ()>> for Signals {
    fn from(source: LocalBoxStream<'static, ()>) -> Self {
        Self { source }
    }
}
