//! PostgreSQL: connecting as libpq would, one writer at a time, and saying what
//! its errors mean. It knows nothing of what is in it.

mod address;

use std::time::Duration;

use nixops4_postgresql_client::{Failure, Meaning, Opening, Session, code, open, root_cause};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};
use url::Url;

use crate::error::Error;
use crate::url::StoreUrl;

/// How long the server may take until it lets us in.
const CONNECT: Duration = Duration::from_secs(15);

/// Connects. The password is taken from `PGPASSWORD`, or from the password file
/// (`PGPASSFILE`, or `~/.pgpass`), as by libpq.
pub(crate) async fn connect(
    url: &StoreUrl,
    address: &Url,
    busy_timeout: Duration,
) -> Result<Session, Error> {
    let unable = |failure| unable(url, &failure);
    let mut target = address::target(address).map_err(unable)?;
    target.set("lock_timeout", &format!("{}ms", busy_timeout.as_millis()));
    if url.is_read_only() {
        target.set("default_transaction_read_only", "on");
    }
    let Ok(opened) = tokio::time::timeout(CONNECT, open(&mut target)).await else {
        let slow = std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer");
        return Err(unable(Failure::Io(slow)));
    };
    let (session, settled) = opened.map_err(|error| match error {
        Opening::Connecting(failure) => unable(failure),
        Opening::Asking(error) => explain(url, "open it", &error),
    })?;
    if settled.is_standby && !url.is_read_only() {
        let store = url.to_string();
        return Err(Error::Standby { store });
    }
    Ok(session)
}

/// What it means that the server can't be logged in to.
fn unable(url: &StoreUrl, failure: &Failure) -> Error {
    let hint = match failure {
        Failure::Server(error) => {
            return said(url, "open it", &error.code, error.message.clone());
        }
        Failure::NoPassword => PASSWORD,
        Failure::Refused { .. } | Failure::Unproven | Failure::Unsupported(_) => {
            "let this role in by scram-sha-256 in the server's pg_hba.conf, or verify the server with \
             `sslrootcert` in the address; to trust it without either, say in the address what it may \
             ask for (`require_auth`)"
        }
        Failure::Binding(_) => {
            "give the authority that signed the server's certificate with `sslrootcert` in the \
             address, which tells the server from anybody in between"
        }
        _ => {
            "check the address, that the server runs, and its certificate (`sslmode` and \
             `sslrootcert` in the address) or yours (`sslcert` and `sslkey`)"
        }
    };
    Error::Unreachable {
        store: url.to_string(),
        action: "open",
        reason: root_cause(failure),
        hint,
    }
}

const PASSWORD: &str = "check the user in its address; the password comes from PGPASSWORD or the file \
     that PGPASSFILE names (~/.pgpass, mode 600)";

pub(crate) async fn reading(
    conn: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
}

/// Begins, and waits for the lock that every writer of this store takes first.
/// Readers don't wait.
pub(crate) async fn writing(
    conn: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1 || current_schema(), 0))")
        .bind("nixops4-secrets-store ")
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// How many tables the schema has, and how many of those that only a store has
/// together.
pub(crate) async fn tables(conn: &mut PgConnection) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE tablename IN ('_sqlx_migrations', 'store')) \
         FROM pg_catalog.pg_tables WHERE schemaname = current_schema()",
    )
    .fetch_one(conn)
    .await
}

/// What an error of PostgreSQL means, while trying to `action`.
pub(crate) fn explain(url: &StoreUrl, action: &'static str, error: &sqlx::Error) -> Error {
    match (code(error), error) {
        // Its message alone: the details can repeat a row.
        (Some(code), sqlx::Error::Database(database)) => {
            said(url, action, code, database.message().to_owned())
        }
        (_, other) => Error::Database {
            store: url.to_string(),
            action,
            reason: other.to_string(),
        },
    }
}

/// What it means that the server says this.
fn said(url: &StoreUrl, action: &'static str, code: &str, reason: String) -> Error {
    let store = url.to_string();
    let meaning = Meaning::of(code);
    let unreachable = |hint| Error::Unreachable {
        store: store.clone(),
        action: "open",
        reason: reason.clone(),
        hint,
    };
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match (code, meaning) {
        // lock_not_available
        ("55P03", _) | (_, Meaning::Conflict) => Error::Locked { store },
        (_, Meaning::Struck(timeout)) => Error::Database {
            store,
            action,
            reason: format!("{reason}; {}", timeout.hint()),
        },
        // admin_shutdown, crash_shutdown
        ("57P01" | "57P02", _) | (_, Meaning::Full | Meaning::Starting) => Error::Busy {
            store,
            action,
            reason,
        },
        (_, Meaning::ReadOnly) => Error::ReadOnly { store, action },
        (_, Meaning::NotAdmitted | Meaning::WrongPassword) => unreachable(PASSWORD),
        (_, Meaning::NoDatabase) => {
            unreachable("make the database first (`createdb`), or check the address")
        }
        (_, Meaning::Denied) => Error::Database {
            store,
            action,
            reason: format!(
                "{reason}; let the role create tables in its schema, and read and write them \
                 (GRANT), or do this as one that may"
            ),
        },
        // undefined_table, undefined_column
        ("42P01" | "42703", _) => Error::Damaged { store, reason },
        _ => Error::Database {
            store,
            action,
            reason,
        },
    }
}
