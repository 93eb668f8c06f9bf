//! Servers that answer in another language than English: whoever reads their words, and
//! not their codes, is found out.
//!
//! `scripts/setup.sh german` makes the locale, and gets the translations where the
//! machine's own PostgreSQL comes without.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::installation;
use crate::lifeline::{self, Ending, Process};
use crate::required::is_required;

/// The locale.
pub const GERMAN: &str = "de_DE.UTF-8";

/// The environment variable that names the `lc_messages` of the servers that don't ask
/// for another.
pub const LC_MESSAGES: &str = "NIXOPS4_TESTS_LC_MESSAGES";

/// What [`crate::required`] calls it.
const NAME: &str = "german";

/// How long a second run may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// The `lc_messages` that [`LC_MESSAGES`] names.
#[must_use]
pub fn lc_messages() -> Option<String> {
    std::env::var(LC_MESSAGES).ok()
}

/// Whether the machine's own PostgreSQL can be had in German. Panics if that is required
/// and can't be.
#[must_use]
pub fn speaks_german() -> bool {
    let is_there = locales().is_some() && has_translations();
    assert!(
        is_there || !is_required(NAME),
        "a German PostgreSQL is required, and can't be had; this gets it: scripts/setup.sh {NAME}"
    );
    is_there
}

/// Runs some tests of this executable once more, against servers that answer in German;
/// panics with what they print if one fails. `only` are parts of their names.
pub fn in_german(only: &[&str]) {
    if lc_messages().is_some() || !speaks_german() {
        return;
    }
    let folder = lifeline::folder("german-");
    let path = folder.path().join("printed");
    let printed = File::create(&path).expect("cannot create a file");
    let executable = std::env::current_exe().expect("cannot tell our own path");
    let mut again = Command::new(executable);
    again
        .args(only)
        .env(LC_MESSAGES, GERMAN)
        .stdout(printed.try_clone().expect("cannot duplicate a descriptor"))
        .stderr(printed);
    let mut again = Process::spawn(&mut again, Ending::Kill).expect("cannot run it again");
    let status = again.wait(PATIENCE);
    let printed = String::from_utf8_lossy(&fs::read(&path).expect("what it printed")).into_owned();
    assert!(
        status.is_some_and(|status| status.success()),
        "against a German server: {status:?}\n{printed}"
    );
    assert!(
        !printed.contains("running 0 tests"),
        "no test is called like {only:?}"
    );
}

/// The folder of locales that `scripts/setup.sh` has made.
pub(super) fn locales() -> Option<PathBuf> {
    let folder = installation::tool("locales")?;
    folder.join(GERMAN).is_dir().then_some(folder)
}

/// The installation that `scripts/setup.sh` gets where the machine's own comes without
/// translations.
pub(super) fn translated() -> Option<PathBuf> {
    let folder = installation::tool("postgresql-german")?;
    folder.join("programs/postgres").exists().then_some(folder)
}

fn has_translations() -> bool {
    translated().is_some()
        || installation::own_translations("de").is_some_and(|file| file.is_file())
}
