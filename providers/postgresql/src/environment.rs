//! The environment variables that must not decide anything.
//!
//! `sqlx` takes libpq's variables for what it isn't told, and for these four
//! there is no way to tell it "none". Which certificates are trusted and what a
//! session is set to is for the inputs to say.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const STRAY: [&str; 4] = ["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"];

/// Begins this process anew without them, if any is set. Returns if there is
/// nothing to do.
pub(crate) fn leave_behind() -> io::Result<()> {
    if STRAY.iter().all(|name| std::env::var_os(name).is_none()) {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1));
    for name in STRAY {
        again.env_remove(name);
    }
    Err(again.exec())
}
