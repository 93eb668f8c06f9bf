//! Times that were measured, and what is said of them.

use std::time::{Duration, Instant};

/// Times of one thing, done again and again.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    times: Vec<Duration>,
}

impl Sample {
    pub(crate) fn add(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// Does something and adds the time that it took.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun.elapsed());
        done
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The median, and what eight of ten are within: `1.24 ms (1.10 to 1.61)`.
    pub(crate) fn show(&self) -> String {
        let (low, high) = (self.quantile(0.1), self.quantile(0.9));
        let unit = Unit::of(high);
        format!(
            "{} {} ({} to {})",
            unit.show(self.median()),
            unit.name,
            unit.show(low),
            unit.show(high)
        )
    }

    /// By the nearest rank, so that it is one of those that were measured.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among some hundreds"
    )]
    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }
}

/// A time, with three digits that count.
pub(crate) fn show(time: Duration) -> String {
    let unit = Unit::of(time);
    format!("{} {}", unit.show(time), unit.name)
}

struct Unit {
    name: &'static str,
    seconds: f64,
    decimals: usize,
}

impl Unit {
    fn of(time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let (name, unit) = match seconds {
            0.0..0.001 => ("µs", 1e-6),
            0.001..1.0 => ("ms", 1e-3),
            _ => ("s", 1.0),
        };
        let decimals = match seconds / unit {
            0.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        Self {
            name,
            seconds: unit,
            decimals,
        }
    }

    fn show(&self, time: Duration) -> String {
        format!("{:.*}", self.decimals, time.as_secs_f64() / self.seconds)
    }
}
