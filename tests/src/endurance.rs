//! How long what could go on for ever goes on, and what it tells of itself.
//!
//! A test of this kind makes rounds, each with a seed of its own. In `make test`
//! they are few and always the same. With [`MINUTES`] they go on with new ones
//! until that time is over. This module must not know what happens in a round.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::seed::Seed;

/// The environment variable that says for how many minutes each test goes on.
pub const MINUTES: &str = "NIXOPS4_TESTS_ENDURANCE";

/// When the rounds of this process are over, if it is the time that ends them.
static END: LazyLock<Option<Instant>> = LazyLock::new(|| {
    let minutes = std::env::var(MINUTES).ok()?;
    let minutes = minutes.parse().ok();
    let minutes = minutes.unwrap_or_else(|| panic!("{MINUTES} is a number of minutes"));
    Some(Instant::now() + Duration::from_mins(minutes))
});

/// The seeds of the rounds that a test makes; several threads may take of them.
#[derive(Debug)]
pub struct Rounds {
    first: u64,
    taken: AtomicU64,
    /// How many there are, if it is not the time that ends them.
    count: Option<u64>,
}

impl Rounds {
    /// The seeds 0, 1, ... in the small form, as many as are asked for. One alone if
    /// somebody repeats it. Without end in the long form, until the time is over, and
    /// beginning anywhere.
    #[must_use]
    pub fn small(count: u64) -> Self {
        let (first, count) = match (Seed::given(), *END) {
            (Some(seed), _) => (seed, Some(1)),
            (None, Some(_)) => (u64::from(rand::random::<u32>()), None),
            (None, None) => (0, Some(count)),
        };
        Self {
            first,
            taken: AtomicU64::new(0),
            count,
        }
    }

    /// The seeds 0, 1, ..., so many, whatever the environment says.
    #[must_use]
    pub fn just(count: u64) -> Self {
        Self {
            first: 0,
            taken: AtomicU64::new(0),
            count: Some(count),
        }
    }

    /// The seed of the next round.
    pub fn next_seed(&self) -> Option<Seed> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let goes_on = match (self.count, *END) {
            (Some(count), _) => taken < count,
            (None, end) => taken == 0 || end.is_some_and(|end| Instant::now() < end),
        };
        if !goes_on {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        goes_on.then(|| Seed::numbered(self.first.wrapping_add(taken)))
    }

    /// The seeds that were taken, for whoever reads what a test tells.
    #[must_use]
    pub fn seeds(&self) -> String {
        let last = self.first + self.taken.load(Ordering::Relaxed).max(1) - 1;
        if last == self.first {
            return format!("seed {last}");
        }
        format!("seeds {} to {last}", self.first)
    }
}

/// Tells what a test did, past the capturing of its output.
pub fn tell(what: &str) {
    say(&format!("endurance: {what}"));
}

pub(crate) fn say(line: &str) {
    // On a line of its own among the dots of a quiet `cargo test`. With stderr gone
    // there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}

/// A number as people read it: `829,121`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (829_121, "829,121"),
            (1_000_000, "1,000,000"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn each_round_has_a_seed_of_its_own() {
        let rounds = Rounds::just(3);
        let seeds = std::iter::from_fn(|| Some(rounds.next_seed()?.number()));
        assert_eq!(seeds.collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(rounds.seeds(), "seeds 0 to 2");
    }
}
