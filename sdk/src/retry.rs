//! Trying again when a server is busy, with growing pauses.

use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::context::Context;
use crate::error::{Error, Result, Retry};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long [`Retry::Briefly`] lasts: a server that restarts needs this.
const BRIEFLY: Duration = Duration::from_secs(5);
/// How soon an interruption is noticed.
const SLICE: Duration = Duration::from_millis(50);

/// Calls `attempt` until it succeeds or fails for good.
pub(crate) async fn retrying<T>(
    cx: &Context,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let begun = Instant::now();
    let mut longest = FIRST_PAUSE;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let left = match error.may_retry() {
            Retry::Never => return Err(error),
            Retry::Briefly => BRIEFLY.saturating_sub(begun.elapsed()).min(cx.time_left()),
            Retry::UntilDeadline => cx.time_left(),
        };
        if left.is_zero() || cx.is_interrupted() {
            return Err(error);
        }
        tracing::debug!("trying again: {}", error.summary());
        // A random part keeps many processes from coming back at once.
        let pause = rand::rng().random_range(longest / 2..=longest);
        pause_unless_interrupted(cx, pause.min(left), error).await?;
        longest = (longest * 2).min(LONGEST_PAUSE);
    }
}

/// Sleeps; gives `error` back as soon as the request is interrupted.
async fn pause_unless_interrupted(cx: &Context, pause: Duration, error: Error) -> Result<()> {
    let until = Instant::now() + pause;
    loop {
        if cx.is_interrupted() {
            return Err(error);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(SLICE)).await;
    }
}
