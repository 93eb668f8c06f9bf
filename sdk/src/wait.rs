//! Waiting until something has come about on a server: bounded, and given up as soon as
//! the request is.

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::{Error, Result, Retry};
use crate::retry::pause_unless_interrupted;

/// How often it is looked whether something has come about.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    first: Duration,
    longest: Duration,
}

impl Pace {
    /// Pauses that grow, each by a half of the one before, up to the longest.
    #[must_use]
    pub fn growing(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }
}

/// Pauses of the same length.
impl From<Duration> for Pace {
    fn from(pause: Duration) -> Self {
        Self::growing(pause, pause)
    }
}

/// Looks with `poll` until it gives something, and `limit` at most. `what` completes
/// "waited for ...", such as `the task that clones vm 100`.
///
/// A look that fails in a way that may pass counts as one that gave nothing: if nothing
/// comes after it, its error is what is said, and there is no more to be tried.
pub async fn wait_until<T>(
    cx: &Context,
    what: &str,
    every: impl Into<Pace>,
    limit: Duration,
    mut poll: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let Pace { first, longest } = every.into();
    let begun = Instant::now();
    let mut pause = first;
    loop {
        let failed = match poll().await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => None,
            Err(error) if error.may_retry() == Retry::Never => return Err(error),
            Err(error) => Some(error),
        };
        let left = limit.saturating_sub(begun.elapsed());
        if left.is_zero() {
            let seconds = limit.as_secs_f32();
            let late = || Error::new(format!("waited {seconds} s for {what} in vain"));
            return Err(failed.unwrap_or_else(late).retry(Retry::Never));
        }
        let pause_now = pause.min(left).min(cx.time_left());
        if !pause_unless_interrupted(cx, pause_now).await || cx.time_left().is_zero() {
            let said = cx.checkpoint().err();
            let waited = format!("waited {:.0} s for {what}", begun.elapsed().as_secs_f32());
            return Err(match said {
                Some(error) => error.because(failed.map_or(waited, |error| error.to_string())),
                None => Error::new(waited),
            });
        }
        pause = (pause * 3 / 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::model::{cx, request};

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn until_it_has_come_about() {
        let looks = Cell::new(0);
        let cx = cx();
        let pace = Pace::growing(SOON, SOON * 3);
        let done = wait_until(&cx, "the third look", pace, LONG, async || {
            looks.set(looks.get() + 1);
            match looks.get() {
                1 => Ok(None),
                // A server that hiccups is asked again.
                2 => Err(Error::new("busy").retry(Retry::Briefly)),
                looks => Ok(Some(looks)),
            }
        });
        assert_eq!(done.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn why_it_is_given_up() {
        let limit = SOON * 4;
        let wait = async |cx: &Context, limit, poll: fn() -> Result<Option<()>>| {
            let waited = wait_until(cx, "the key", SOON, limit, async || poll()).await;
            waited.unwrap_err()
        };
        let cx = cx();
        let late = wait(&cx, limit, || Ok(None)).await;
        assert_eq!(late.to_string(), "waited 0.02 s for the key in vain");
        let busy = wait(&cx, limit, || Err(Error::new("busy").retry(Retry::Briefly))).await;
        assert_eq!(
            (busy.to_string(), busy.may_retry()),
            ("busy".to_owned(), Retry::Never)
        );
        let failed = wait(&cx, LONG, || Err(Error::new("broken"))).await;
        assert_eq!(failed.to_string(), "broken");
    }

    #[tokio::test]
    async fn it_ends_with_the_request() {
        let (short, _) = request(SOON * 4);
        let begun = Instant::now();
        let over = wait_until(&short, "the key", SOON, LONG, async || Ok(None::<()>)).await;
        let over = over.unwrap_err().to_string();
        assert!(over.contains("the time for this request is over"), "{over}");
        assert!(over.contains("s for the key\nhint: "), "{over}");
        let (interrupted, flag) = request(LONG);
        let stopped = wait_until(&interrupted, "the key", LONG, LONG, async || {
            flag.store(true, Ordering::SeqCst);
            Ok(None::<()>)
        });
        let stopped = stopped.await.unwrap_err().to_string();
        assert!(stopped.starts_with("interrupted before"), "{stopped}");
        assert!(stopped.contains("for the key"), "{stopped}");
        assert!(begun.elapsed() < LONG / 2);
    }
}
