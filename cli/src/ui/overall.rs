//! How much of everything is done, and how long the rest may take. Pure, but for the
//! clock that it is given.
//!
//! The rest is taken to go on as what is done went on average, so that it already counts
//! how many work at once. Nothing is said of it before there is anything to go by.

use std::time::{Duration, Instant};

use super::text;

/// So many have to be done, and so long it has to have taken, before it is foretold.
const FEWEST: usize = 3;
const SHORTEST: Duration = Duration::from_secs(2);
/// How often it is told where there is no terminal.
const SELDOM: Duration = Duration::from_secs(30);
/// On a narrower terminal, words are left out.
const NARROW: usize = 48;

/// How far everything is.
#[derive(Debug, Clone)]
pub(super) struct Overall {
    /// When the first of it was begun, and when the line was told last.
    times: Option<(Instant, Instant)>,
    all: usize,
    /// Whether there may be more than is known.
    is_open: bool,
    done: usize,
    failed: usize,
}

impl Overall {
    /// With so many to be done.
    pub(super) fn new(all: usize, is_open: bool) -> Self {
        Self {
            times: None,
            all,
            is_open,
            done: 0,
            failed: 0,
        }
    }

    /// Something begins: until then somebody may have been asked whether it should.
    pub(super) fn begin(&mut self, now: Instant) {
        self.times.get_or_insert((now, now));
    }

    /// One more ended.
    pub(super) fn ended(&mut self, is_failed: bool) {
        self.done += 1;
        self.failed += usize::from(is_failed);
        self.all = self.all.max(self.done);
    }

    /// How long the rest may take.
    fn left(&self, now: Instant) -> Option<Duration> {
        let (begun, _) = self.times?;
        let elapsed = now.duration_since(begun);
        if self.done < FEWEST || elapsed < SHORTEST || self.is_open {
            return None;
        }
        let left = u32::try_from(self.all - self.done).ok()?;
        let done = u32::try_from(self.done).ok()?;
        Some(elapsed.checked_mul(left)? / done)
    }

    /// All of it on one line that fits into `width`.
    pub(super) fn line(&self, now: Instant, width: usize) -> String {
        let Self { done, all, .. } = self;
        let left = self.left(now).filter(|_| done < all);
        let line = if width < NARROW {
            let left = left.map_or_else(String::new, |left| format!(" ~{}", roughly(left)));
            let open = if self.is_open { "+" } else { "" };
            let failed = match self.failed {
                0 => String::new(),
                failed => format!(" !{failed}"),
            };
            format!("{done}/{all}{open}{failed}{left}")
        } else {
            let left = left.map_or_else(String::new, |left| {
                format!(", about {} left", roughly(left))
            });
            let open = if self.is_open { "at least " } else { "" };
            let failed = match self.failed {
                0 => String::new(),
                failed => format!(", {failed} failed"),
            };
            format!("{done} of {open}{all} done{failed}{left}")
        };
        text::cut(&line, width)
    }

    /// The line, if it is time to tell it where lines stay.
    pub(super) fn seldom(&mut self, now: Instant) -> Option<String> {
        let (_, told) = self.times.as_mut()?;
        if now.duration_since(*told) < SELDOM || self.done >= self.all {
            return None;
        }
        *told = now;
        Some(self.line(now, super::WIDTH))
    }
}

/// A time that nobody knows exactly.
fn roughly(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => "10 s".to_owned(),
        10..55 => format!("{} s", seconds.div_ceil(10) * 10),
        55..3300 => format!("{} min", (seconds + 30) / 60),
        _ => {
            let minutes = (seconds + 300) / 600 * 10;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(all: usize, done: usize, failed: usize, seconds: u64, width: usize) -> String {
        let begun = Instant::now();
        let mut overall = Overall::new(all, false);
        overall.begin(begun);
        for number in 0..done {
            overall.ended(number < failed);
        }
        overall.line(begun + Duration::from_secs(seconds), width)
    }

    #[test]
    fn what_is_left_goes_by_what_was_done() {
        for (all, done, failed, seconds, expected) in [
            (200, 0, 0, 50, "0 of 200 done"),
            (200, 2, 0, 50, "2 of 200 done"),
            (200, 10, 0, 1, "10 of 200 done"),
            (200, 10, 1, 10, "10 of 200 done, 1 failed, about 3 min left"),
            (200, 190, 0, 95, "190 of 200 done, about 10 s left"),
            (200, 100, 0, 7200, "100 of 200 done, about 2 h 0 min left"),
            (3, 3, 0, 9, "3 of 3 done"),
            // There was more than anybody knew.
            (3, 4, 0, 9, "4 of 4 done"),
        ] {
            assert_eq!(after(all, done, failed, seconds, 80), expected);
        }
        assert_eq!(after(200, 10, 1, 10, 30), "10/200 !1 ~3 min");
        assert_eq!(after(123_456, 99_999, 7, 10, 12), "99999/12345…");
    }

    #[test]
    fn where_there_may_be_more_nothing_is_foretold() {
        let begun = Instant::now();
        let mut overall = Overall::new(4, true);
        overall.begin(begun);
        for _ in 0..3 {
            overall.ended(false);
        }
        let later = begun + Duration::from_mins(1);
        assert_eq!(overall.line(later, 80), "3 of at least 4 done");
        assert_eq!(overall.line(later, 20), "3/4+");
    }

    #[test]
    fn lines_that_stay_are_few() {
        let begun = Instant::now();
        let mut overall = Overall::new(1000, false);
        overall.begin(begun);
        overall.begin(begun + SELDOM);
        let told: Vec<u64> = (0..100)
            .filter(|second| {
                overall.ended(false);
                overall
                    .seldom(begun + Duration::from_secs(*second))
                    .is_some()
            })
            .collect();
        assert_eq!(told, [30, 60, 90]);
    }
}
