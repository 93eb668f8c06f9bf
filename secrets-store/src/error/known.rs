//! What is wrong with the list of known stores.

use std::io;

use crate::trust::Untrusted;

/// What is wrong with the list of known stores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownStoresProblem {
    /// It cannot be read or written.
    #[error("{0}; make it readable and writable for this user")]
    Io(io::Error),
    /// Others could have written it.
    #[error("{0}")]
    Untrusted(Untrusted),
    /// A line is not as it has to be.
    #[error(
        "line {number} is not an address, a time and the store's keys; remove the line, and accept \
         the store anew with `nixops4-resources secret trust`"
    )]
    Line {
        /// Counted from 1.
        number: usize,
    },
}
