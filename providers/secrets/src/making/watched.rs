//! Randomness for whoever looks for primes, which can take minutes: it is asked for
//! each candidate, and ends the search once nobody waits for it.

use std::panic::resume_unwind;

use rsa::rand_core::{CryptoRng, Error, OsRng, RngCore};

/// The operating system's randomness, until it is over.
pub(crate) struct Watched<'a> {
    is_over: &'a dyn Fn() -> bool,
}

/// What the search ends with.
struct Over;

impl<'a> Watched<'a> {
    /// For a thread that ends with its work.
    pub(crate) fn new(is_over: &'a dyn Fn() -> bool) -> Self {
        Self { is_over }
    }

    /// The libraries take no error, so that the thread is unwound; as that is no
    /// panic, nothing is said of it.
    fn look(&self) {
        if (self.is_over)() {
            resume_unwind(Box::new(Over));
        }
    }
}

impl RngCore for Watched<'_> {
    fn next_u32(&mut self) -> u32 {
        self.look();
        OsRng.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.look();
        OsRng.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.look();
        OsRng.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.look();
        OsRng.try_fill_bytes(bytes)
    }
}

impl CryptoRng for Watched<'_> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_search_ends_once_nobody_waits() {
        let asked = Cell::new(0);
        let is_over = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        // A key of this size isn't found with three candidates in a lifetime.
        let search = || rsa::RsaPrivateKey::new(&mut Watched::new(&is_over), 16_384);
        let ended = catch_unwind(AssertUnwindSafe(search)).unwrap_err();
        assert!(ended.is::<Over>());
        assert_eq!(asked.get(), 4);
    }
}
