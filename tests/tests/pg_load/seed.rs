//! Chance that can be repeated.

use std::io::Write as _;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Where all chance of a test comes from; told when the test fails.
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new() -> Self {
        match std::env::var("NIXOPS4_TESTS_SEED") {
            Ok(text) => Self(text.parse().expect("NIXOPS4_TESTS_SEED is a number")),
            Err(_) => Self(rand::random()),
        }
    }

    /// The chance of one of many.
    pub(crate) fn of(&self, number: u32) -> StdRng {
        StdRng::seed_from_u64(self.0.wrapping_add(number.into()))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let again = format!("to repeat this: NIXOPS4_TESTS_SEED={}\n", self.0);
            // With stderr gone there is nobody to tell.
            let _ = std::io::stderr().write_all(again.as_bytes());
        }
    }
}
