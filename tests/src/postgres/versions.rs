//! Which servers there are to test against, and a test executable's second run
//! against another one.

use std::fs::{self, File};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use super::installation;
use crate::lifeline::{self, Ending, Process};
use crate::required::{REQUIRED, required};

/// How long a second run may take.
const PATIENCE: Duration = Duration::from_mins(30);

/// The environment variable that names the major version of the servers that
/// don't ask for one.
pub const VERSION: &str = "NIXOPS4_TESTS_POSTGRESQL";

/// Major versions of the servers that are there, the machine's own first. Panics
/// if one is missing that is required.
#[must_use]
pub fn versions() -> Vec<u32> {
    static FOUND: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let found = installation::versions();
        let missing = missing(&found, &required());
        assert!(
            missing.is_empty(),
            "{REQUIRED} names what isn't there; this installs it: scripts/setup.sh {}",
            missing.join(" ")
        );
        found
    });
    FOUND.clone()
}

/// Those of the required servers that aren't there.
fn missing(found: &[u32], required: &[String]) -> Vec<String> {
    let is_missing = |name: &&String| {
        let version = name.strip_prefix("postgresql-");
        version.is_some_and(|version| !found.iter().any(|one| one.to_string() == version))
    };
    required.iter().filter(is_missing).cloned().collect()
}

/// The major version that [`VERSION`] names.
#[must_use]
pub fn version() -> Option<u32> {
    let text = std::env::var(VERSION).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{VERSION} has to be a major version: {text:?}")))
}

/// Runs all other tests of this executable once more, against each version that
/// is there and that they have not been run against; panics with what they print
/// if one fails. `this` is the name of the test that calls it.
pub fn on_each_other_version(this: &str) {
    let all = versions();
    if version().is_some() {
        // Somebody has chosen.
        return;
    }
    let executable = std::env::current_exe().expect("cannot tell our own path");
    let folder = lifeline::folder("again-");
    for other in all.into_iter().skip(1) {
        let path = folder.path().join(other.to_string());
        let printed = File::create(&path).expect("cannot create a file");
        let mut again = Command::new(&executable);
        again
            .args(["--skip", this])
            .env(VERSION, other.to_string())
            .stdout(printed.try_clone().expect("cannot duplicate a descriptor"))
            .stderr(printed);
        let mut again = Process::spawn(&mut again, Ending::Kill).expect("cannot run it again");
        let status = again.wait(PATIENCE);
        assert!(
            status.is_some_and(|status| status.success()),
            "against PostgreSQL {other}: {status:?}\n{}",
            String::from_utf8_lossy(&fs::read(&path).expect("what it printed"))
        );
    }
}

#[test]
fn what_is_required_is_missed() {
    let required = ["pgbouncer", "postgresql-15", "postgresql-18"].map(str::to_owned);
    assert_eq!(missing(&[15], &required), ["postgresql-18"]);
    assert!(missing(&[15, 18], &required).is_empty());
}
