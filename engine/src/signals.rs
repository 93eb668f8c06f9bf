//! The user stops what runs: by Ctrl-C, or by whatever a frontend has for that.

use futures_util::stream::{self, LocalBoxStream, StreamExt as _};

/// The user stopped what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Waits for the user to stop what runs. Made from a stream with one item for each time
/// that they ask for it.
pub struct Signals {
    source: LocalBoxStream<'static, ()>,
}

impl Signals {
    /// Nobody stops it.
    #[must_use]
    pub fn never() -> Self {
        Self::from(stream::pending().boxed_local())
    }

    /// The next one.
    pub async fn next(&mut self) {
        if self.source.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// What comes of `work`, or [`Interrupted`] if one comes before that,
    /// with the work left where it is.
    pub async fn race<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        tokio::select! {
            done = work => Ok(done),
            () = self.next() => Err(Interrupted),
        }
    }
}

impl From<LocalBoxStream<'static, ()>> for Signals {
    fn from(source: LocalBoxStream<'static, ()>) -> Self {
        Self { source }
    }
}
