//! A SQLite file: making it, opening it, and saying what SQLite's errors mean.
//! It knows nothing of what is in it.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use crate::error::Error;
use crate::notice::Notice;
use crate::trust;
use crate::url::StoreUrl;

/// Makes an empty file of mode 0600, and the directories above it that are
/// missing with mode 0700. What exists is left as it is.
pub(crate) fn create_file(url: &StoreUrl, path: &Path) -> Result<(), Error> {
    // Whoever may write to the folder could put another store there at any time.
    trusted(url, path)?;
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| unreachable_file(url, "create", &error))?;
    }
    // Not SQLite's own way of making it, which leaves the mode to the umask.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unreachable_file(url, "create", &error)),
    }
}

/// What SQLite keeps beside a file, and believes when it opens that.
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Says clearly what SQLite only calls "unable to open database file". Refuses a file
/// that others could have written, and says what to warn of.
pub(crate) fn check_file(url: &StoreUrl, path: &Path) -> Result<Option<Notice>, Error> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => trusted(url, path),
        Ok(_) => Err(Error::NotAStore {
            store: url.to_string(),
            reason: "it is not a file",
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::StoreMissing {
            store: url.to_string(),
        }),
        Err(error) => Err(unreachable_file(url, "open", &error)),
    }
}

fn trusted(url: &StoreUrl, path: &Path) -> Result<Option<Notice>, Error> {
    let check = |path: &Path| {
        trust::check(path).map_err(|problem| Error::Untrusted {
            store: url.to_string(),
            problem,
        })
    };
    let tolerated = check(path)?;
    for end in BESIDE {
        let mut beside = path.as_os_str().to_owned();
        beside.push(end);
        check(Path::new(&beside))?;
    }
    Ok(tolerated.map(Notice::Tolerated))
}

/// Whether the file has no bytes.
pub(crate) fn is_empty_file(url: &StoreUrl, path: &Path) -> Result<bool, Error> {
    std::fs::metadata(path)
        .map(|metadata| metadata.len() == 0)
        .map_err(|error| unreachable_file(url, "open", &error))
}

fn unreachable_file(url: &StoreUrl, action: &'static str, error: &io::Error) -> Error {
    Error::Unreachable {
        store: url.to_string(),
        action,
        reason: error.to_string(),
        hint: match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "a part of its path is a file, not a directory: check the address"
            }
            _ => "check the address, and that this user may write to the directory",
        },
    }
}

/// Opens the file, which exists.
///
/// The rollback journal, not WAL: a store is written seldom, WAL would need a
/// writable directory to be read, and would keep deleted rows in its own file.
pub(crate) async fn connect(
    path: &Path,
    read_only: bool,
    busy_timeout: Duration,
) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        // Absolute, so never taken for a `file:` URI.
        .filename(path)
        .read_only(read_only)
        .busy_timeout(busy_timeout)
        // What is deleted is overwritten, not only marked as free.
        .pragma("secure_delete", "ON")
        // Nothing that somebody wrote into the file is run as code.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
        .connect()
        .await
}

/// How many tables there are, and how many of those that only a store has
/// together.
pub(crate) async fn tables(conn: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE name IN ('_sqlx_migrations', 'store')) \
         FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .fetch_one(conn)
    .await
}

/// What an error of SQLite means, while trying to `action`.
pub(crate) fn explain(url: &StoreUrl, action: &'static str, error: &sqlx::Error) -> Error {
    let store = url.to_string();
    let code = match error {
        sqlx::Error::Database(database) => database
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .unwrap_or(0),
        _ => 0,
    };
    let reason = error.to_string();
    // https://www.sqlite.org/rescode.html: the low byte is the kind of error.
    match (code & 0xff, code) {
        (5 | 6, _) => Error::Locked { store },
        // The file was moved away while it was open.
        (8, 1032) => Error::Database {
            store,
            action,
            reason,
        },
        (8, _) => Error::ReadOnly { store, action },
        // A statement that does not fit the schema, malformed pages, not a
        // database, shorter than it says.
        (1 | 11 | 26, _) | (_, 522) => Error::Damaged { store, reason },
        (14, _) => Error::Unreachable {
            store,
            action: "open",
            reason,
            hint: "check that this user may read and write the file and its directory",
        },
        _ => Error::Database {
            store,
            action,
            reason,
        },
    }
}
