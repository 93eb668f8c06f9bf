//! Trying again when a server is busy, with growing pauses.

use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::context::Context;
use crate::error::{Error, Result, Retry};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long [`Retry::Briefly`] lasts: a server that restarts needs this.
const BRIEFLY: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 5000 });
/// How soon an interruption is noticed.
const SLICE: Duration = Duration::from_millis(50);

/// Calls `attempt` until it succeeds or fails for good.
pub(crate) async fn retrying<T>(
    cx: &Context,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    // When the failures that may only be met briefly began. Whatever else
    // happens in between shows that the server is there after all.
    let mut brief_since = None;
    let mut longest = FIRST_PAUSE;
    let mut before = None;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            // That the time ran out says less than why it was tried again.
            Err(error) if cx.time_left().is_zero() => return Err(before.unwrap_or(error)),
            Err(error) => error,
        };
        let left = match error.may_retry() {
            Retry::Never => return Err(error),
            Retry::Briefly => {
                let since: &mut Instant = brief_since.get_or_insert_with(Instant::now);
                BRIEFLY.saturating_sub(since.elapsed())
            }
            Retry::UntilDeadline => {
                brief_since = None;
                cx.time_left()
            }
        };
        // A random part keeps many processes from coming back at once.
        let pause = rand::rng().random_range(longest / 2..=longest).min(left);
        // An attempt without any time left would fail for that alone, and this
        // error says more.
        if left.is_zero() || pause >= cx.time_left() || cx.is_interrupted() {
            return Err(error);
        }
        tracing::debug!("trying again: {}", error.summary());
        before = Some(error.clone());
        pause_unless_interrupted(cx, pause, error).await?;
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

#[cfg(test)]
mod tests;
