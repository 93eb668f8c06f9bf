//! How long a request may take. It stands still while the request queues.

use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

/// The time of one request after the other.
#[derive(Debug)]
pub(crate) struct Clock {
    deadline: Cell<Instant>,
    stopped_since: Cell<Option<Instant>>,
}

impl Clock {
    /// A clock that gives the first request this much time.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            deadline: Cell::new(Instant::now() + time),
            stopped_since: Cell::new(None),
        }
    }

    /// Gives another request this much time.
    pub(crate) fn restart(&self, time: Duration) {
        self.deadline.set(Instant::now() + time);
        self.stopped_since.set(None);
    }

    /// How much is left.
    pub(crate) fn left(&self) -> Duration {
        self.left_with(Duration::ZERO)
    }

    /// How much would be left if there were this much more.
    pub(crate) fn left_with(&self, grace: Duration) -> Duration {
        let now = self.stopped_since.get().unwrap_or_else(Instant::now);
        (self.deadline.get() + grace).saturating_duration_since(now)
    }

    /// Waits for `work`, but no longer than until the deadline and `grace`.
    pub(crate) async fn limit<T>(
        &self,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let left = self.left_with(grace);
            match tokio::time::timeout(left, work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) if self.left_with(grace).is_zero() => return None,
                // It has queued meanwhile.
                Err(_) => {}
            }
        }
    }

    /// Waits for something that is not this request's work.
    pub(crate) async fn stopped<T>(&self, waiting: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        self.stopped_since.set(Some(begun));
        let done = waiting.await;
        self.stopped_since.set(None);
        self.deadline.set(self.deadline.get() + begun.elapsed());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_takes_no_time() {
        let clock = Clock::new(Duration::from_millis(20));
        clock
            .stopped(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert!(!clock.left().is_zero());
            })
            .await;
        assert!(!clock.left().is_zero());
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(clock.left().is_zero());
        assert!(!clock.left_with(Duration::from_mins(1)).is_zero());
        clock.restart(Duration::from_mins(1));
        assert!(!clock.left().is_zero());
    }
}
