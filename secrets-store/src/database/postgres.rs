//! PostgreSQL: connecting as libpq would, one writer at a time, and saying what
//! its errors mean. It knows nothing of what is in it.

use std::io;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Transaction};
use url::Url;

use crate::error::Error;
use crate::url::StoreUrl;

/// How long the server may take until it lets us in.
const CONNECT: Duration = Duration::from_secs(15);

/// Connects. The password is taken from `PGPASSWORD`, or from the password file
/// (`PGPASSFILE`, or `~/.pgpass`), as by libpq.
pub(crate) async fn connect(
    address: &Url,
    read_only: bool,
    busy_timeout: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let mut options = PgConnectOptions::from_str(address.as_str())?
        .options([("lock_timeout", format!("{}ms", busy_timeout.as_millis()))])
        .disable_statement_logging();
    let says_mode = std::env::var_os("PGSSLMODE").is_some()
        || address.query_pairs().any(|(key, _)| key == "sslmode");
    if !says_mode && !is_local(&options) {
        // `prefer`, the default of libpq, would talk to whoever answers.
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    if read_only {
        options = options.options([("default_transaction_read_only", "on")]);
    }
    match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server does not answer",
        ))),
    }
}

/// Whether nobody can listen on the way.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

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
    let store = url.to_string();
    let (code, reason) = match error {
        // Its message alone: the details can repeat a row.
        sqlx::Error::Database(database) => (
            database.code().unwrap_or_default().into_owned(),
            database.message().to_owned(),
        ),
        other => (String::new(), other.to_string()),
    };
    let unreachable = |hint| Error::Unreachable {
        store: store.clone(),
        action: "open",
        reason: reason.clone(),
        hint,
    };
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match code.as_str() {
        // lock_not_available, deadlock_detected, serialization_failure
        "55P03" | "40P01" | "40001" => Error::Locked { store },
        // too_many_connections, cannot_connect_now, admin_shutdown, crash_shutdown
        "53300" | "57P03" | "57P01" | "57P02" => Error::Busy {
            store,
            action,
            reason,
        },
        "25006" => Error::ReadOnly { store, action },
        // invalid_authorization_specification, invalid_password
        "28000" | "28P01" => unreachable(
            "check the user in its address; the password comes from PGPASSWORD or the file that \
             PGPASSFILE names (~/.pgpass, mode 600)",
        ),
        "3D000" => unreachable("make the database first (`createdb`), or check the address"),
        // insufficient_privilege
        "42501" => Error::Database {
            store,
            action,
            reason: format!(
                "{reason}; let the role create tables in its schema, and read and write them \
                 (GRANT), or do this as one that may"
            ),
        },
        // undefined_table, undefined_column
        "42P01" | "42703" => Error::Damaged { store, reason },
        "" => match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => {
                unreachable(
                    "check the address, that the server runs, and its certificate (`sslmode` and \
                     `sslrootcert` in the address) or yours (`sslcert` and `sslkey`)",
                )
            }
            _ => Error::Database {
                store,
                action,
                reason,
            },
        },
        _ => Error::Database {
            store,
            action,
            reason,
        },
    }
}
