//! Files that can't be used, and what to do about them.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nixops4_provider_sdk::{Error, Result, Retry, trusted};

/// The size of a page, and so of the smallest file that holds anything, in bytes.
const PAGE: u64 = 4096;

/// Fails if somebody else could have written the state at `path`, or what stands
/// beside it and is read with it.
pub(crate) fn refuse_foreign(input: &str, path: &Path, beside: &[&str]) -> Result<()> {
    trusted::refuse_foreign(input, "the state in", path)?;
    let name = path.file_name().unwrap_or_default();
    for end in beside {
        let mut name = name.to_owned();
        name.push(end);
        let beside = path.with_file_name(name);
        // What nobody has made was judged with the folder.
        if beside.symlink_metadata().is_ok() {
            trusted::refuse_foreign(input, "what belongs to the state,", &beside)?;
        }
    }
    Ok(())
}

/// Makes an empty file for this user alone, if there is none.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// SQLite takes a file of less than a page for an empty one: what is left of a
/// state would be begun anew.
pub(crate) fn refuse_cut_off(path: &Path) -> Result<()> {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    if length == 0 || length >= PAGE {
        return Ok(());
    }
    Err(Error::input(
        "/path",
        format!(
            "unable to open the state in {}: it is malformed: {length} bytes are too few",
            path.display()
        ),
    )
    .hint("restore the file from a backup, or give another path"))
}

/// Whether there is a file at `path`, which the input has; what keeps anybody from
/// telling, such as a folder that must not be entered, is an error and no answer.
pub(crate) fn is_there(input: &str, path: &Path) -> Result<bool> {
    let there = path.try_exists();
    there.map_err(|error| explain_file(input, path, "look for", &error))
}

/// Explains why a file of upstream's kind could not be used.
pub(crate) fn explain_io(path: &Path, doing: &str, error: &io::Error) -> Error {
    explain_file("/name", path, doing, error)
}

fn explain_file(input: &str, path: &Path, doing: &str, error: &io::Error) -> Error {
    let unable = Error::input(
        input,
        format!("unable to {doing} the state in {}", path.display()),
    )
    .because(error);
    match error.kind() {
        io::ErrorKind::NotFound => unable.hint(
            "see that its folder is there; where there is no state yet, apply makes the file",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            unable.hint("make the file and its folder writable for who runs this")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            unable.hint("make room on that disk; nothing of this event was written")
        }
        _ => unable.hint("give the path of a file, or of one that isn't there yet"),
    }
}

/// Explains why an SQLite file could not be used.
pub(crate) fn explain(path: &Path, doing: &str, error: &sqlx::Error) -> Error {
    let unable = Error::input(
        "/path",
        format!("unable to {doing} the state in {}", path.display()),
    );
    if let sqlx::Error::Decode(cause) = error {
        return unable
            .because(cause)
            .hint("restore the file from a backup, or give another path");
    }
    let Some(cause) = error.as_database_error() else {
        return unable.because(error);
    };
    let unable = unable.because(cause.message());
    match cause
        .code()
        .as_deref()
        .and_then(|code| code.parse::<i32>().ok())
        .map(|code| code & 0xff)
    {
        // SQLITE_BUSY, SQLITE_LOCKED
        Some(5 | 6) => unable
            .hint("somebody else has been writing to it for long; see who, then apply again")
            .retry(Retry::UntilDeadline),
        // SQLITE_CANTOPEN
        Some(14) => unable.hint(
            "see that its folder is there and can be written by who runs this; where there is no \
             state yet, apply makes it",
        ),
        // SQLITE_READONLY
        Some(8) => unable.hint("make the file and its folder writable for who runs this"),
        // SQLITE_FULL
        Some(13) => unable.hint("make room on that disk; nothing of this event was written"),
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => unable.hint("restore the file from a backup, or give another path"),
        _ => unable,
    }
}
