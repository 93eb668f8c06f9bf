//! Chance that can be repeated.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::endurance;

/// The environment variable that repeats a run: the number that a failure told.
pub const SEED: &str = "NIXOPS4_TESTS_SEED";

/// Where all chance of a test comes from; told when the test fails.
#[derive(Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self::new()
    }
}

impl Seed {
    /// The one that [`SEED`] names, or any.
    #[must_use]
    pub fn new() -> Self {
        Self(Self::given().unwrap_or_else(rand::random))
    }

    /// This one.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// The one that [`SEED`] names.
    pub(crate) fn given() -> Option<u64> {
        let text = std::env::var(SEED).ok()?;
        let number = text.parse();
        Some(number.unwrap_or_else(|_| panic!("{SEED} is a number")))
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0
    }

    /// The chance of one of many.
    #[must_use]
    pub fn of(&self, number: u32) -> StdRng {
        StdRng::seed_from_u64(self.0.wrapping_add(number.into()))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            endurance::say(&format!("to repeat this: {SEED}={}", self.0));
        }
    }
}
