//! What somebody should hear who opens a store, although nothing is wrong.

use std::fmt;
use std::path::PathBuf;

use crate::succession::Fingerprint;
use crate::trust::Tolerated;

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A store was opened for the first time, and is believed to be the right one.
    FirstUse {
        /// Address of the store.
        store: String,
        /// The key that it is known by from now on.
        key: Fingerprint,
    },
    /// Which store it is could not be noted, so that the next process knows nothing.
    NotNoted {
        /// Address of the store.
        store: String,
        /// Where it would be noted.
        file: PathBuf,
        /// Why it could not be.
        reason: String,
    },
    /// Something belongs to the user who called `sudo`.
    Tolerated(Tolerated),
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstUse { store, key } => write!(
                out,
                "the secrets store {store} is opened for the first time here, and is known by its \
                 key {key} from now on; compare that with what `nixops4-resources secret trust` \
                 shows to somebody who knows the store"
            ),
            Self::NotNoted {
                store,
                file,
                reason,
            } => write!(
                out,
                "unable to note in {} by which key the secrets store {store} is known: {reason}; \
                 until it can be, another store in its place is believed; make the file writable, \
                 or name another one in {}",
                file.display(),
                crate::environment::KNOWN_STORES_VARIABLE
            ),
            Self::Tolerated(tolerated) => tolerated.fmt(out),
        }
    }
}
