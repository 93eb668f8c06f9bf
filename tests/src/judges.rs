//! Other people's programs that judge what we make: where they are, and what
//! happens where they can't be had.

use std::io::Write as _;
use std::path::PathBuf;

use crate::required::{REQUIRED, is_required};

/// The program in `PATH`, or where `scripts/setup.sh` puts it. Where it is not,
/// that is said, so that the caller can leave out what needs it. Panics if
/// [`REQUIRED`] lists it.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let found = candidates(program)
        .into_iter()
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        assert!(
            !is_required(program),
            "{REQUIRED} names {program}, which isn't there; this installs it: scripts/setup.sh \
             {program}"
        );
        // Past the harness, which keeps what a test prints to itself.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: a test with {program}, which isn't there (scripts/setup.sh {program})"
        );
    }
    found
}

/// Where a program may be: in `PATH`, or where `scripts/setup.sh` puts it.
pub(crate) fn candidates(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .map(|cache| cache.join("nixops4-resources/tools/bin"));
    let folders = std::env::split_paths(&path).chain(cache);
    folders.map(|folder| folder.join(program)).collect()
}
