//! Where the `garage` executable is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::judges;
use crate::required::{REQUIRED, is_required};

/// What is tested against; `scripts/setup.sh` names it as well.
const VERSION: &str = "2.5.0";

/// Whether there is a Garage here. Panics if there is none and one is required.
#[must_use]
pub fn is_there() -> bool {
    let is_there = FOUND.is_some();
    assert!(
        is_there || !is_required("garage"),
        "there is no garage, and {REQUIRED} names it: `scripts/setup.sh garage` installs it"
    );
    is_there
}

/// The executable. Panics where there is none.
#[must_use]
pub fn executable() -> PathBuf {
    FOUND
        .clone()
        .expect("found no garage: run `scripts/setup.sh garage`")
}

/// One of the version that is tested against.
static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let mut candidates = judges::candidates("garage").into_iter();
    candidates.find(|candidate| is_of_version(candidate))
});

fn is_of_version(candidate: &Path) -> bool {
    let output = Command::new(candidate).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION))
}
