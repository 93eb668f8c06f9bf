//! Files that decide what is done, and what nobody else may have written into them.
//! The rule is that of [`nixops4_secrets_store::trust`].

use std::path::Path;

use nixops4_secrets_store::trust::{self, Untrusted};

use crate::error::{Error, Result};

/// Fails if somebody else could have written what is at `path`, or put something in
/// its place. `pointer` is the input that names it, and `what` what it is: "the state
/// in".
pub fn refuse_foreign(pointer: &str, what: &str, path: &Path) -> Result<()> {
    match trust::check(path) {
        Ok(None) => Ok(()),
        Ok(Some(tolerated)) => {
            tracing::warn!("{what} {}: {tolerated}", path.display());
            Ok(())
        }
        Err(untrusted) => Err(explain(pointer, what, path, &untrusted)),
    }
}

fn explain(pointer: &str, what: &str, path: &Path, untrusted: &Untrusted) -> Error {
    let unable = Error::input(pointer, format!("unable to use {what} {}", path.display()));
    let said = untrusted.to_string();
    match untrusted {
        Untrusted::Unreadable { .. } => unable
            .because(said)
            .hint("give a path that this process can reach"),
        // It ends with what to do.
        _ => match said.rsplit_once("; ") {
            Some((why, hint)) => unable.because(why).hint(hint),
            None => unable.because(said),
        },
    }
}
