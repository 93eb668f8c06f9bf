//! One at a time for what all databases of a server share.
//!
//! Concurrent changes of roles, memberships and databases fail with "tuple
//! concurrently updated". Everybody who manages a server takes this advisory
//! lock, in the maintenance database, because advisory locks are per database.

use std::time::Duration;

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sqlx::postgres::PgConnection;

use crate::connection::Connection;
use crate::failure;
use crate::server::{column, on_server, run};

/// The key of the lock: "nixops4r" in ASCII.
const KEY: i64 = 0x6e69_786f_7073_3472;
/// How long one attempt waits for it, in seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs statements on a server, in a transaction that holds the lock.
pub(crate) async fn transact(
    cx: &Context,
    at: &Connection,
    doing: &str,
    statements: &str,
) -> Result<()> {
    on_server(cx, at, None, async |server| {
        transact_on(cx, &mut server.connection, doing, statements).await
    })
    .await
}

/// Runs statements in a transaction that holds the lock of the database that is
/// connected to: the agreed one for what all databases share, any other for what
/// is in it.
pub(crate) async fn transact_on(
    cx: &Context,
    connection: &mut PgConnection,
    doing: &str,
    statements: &str,
) -> Result<()> {
    begin(cx, connection, doing).await?;
    run(connection, doing, format!("{statements}; COMMIT")).await
}

/// Begins the transaction of [`transact_on`], for whoever has to look before it
/// acts. COMMIT ends it.
pub(crate) async fn begin(cx: &Context, connection: &mut PgConnection, doing: &str) -> Result<()> {
    let patience = patience(cx);
    let locked = format!(
        "BEGIN; SET LOCAL lock_timeout = {}; SELECT pg_advisory_xact_lock({KEY});",
        patience.as_millis()
    );
    acquire(connection, doing, locked, patience).await
}

/// Statements of which an input asks: what goes wrong with them is its fault.
pub(crate) struct Part {
    /// The input, as a JSON pointer, if it is one alone.
    pub(crate) pointer: Option<String>,
    pub(crate) statements: String,
}

impl Part {
    /// Statements that one input asks for.
    pub(crate) fn of(pointer: impl Into<String>, statements: String) -> Self {
        Self {
            pointer: Some(pointer.into()),
            statements,
        }
    }

    /// Statements that several inputs ask for.
    pub(crate) fn plain(statements: String) -> Self {
        Self {
            pointer: None,
            statements,
        }
    }
}

/// As [`transact_on`], in several parts of one transaction.
pub(crate) async fn transact_parts(
    cx: &Context,
    connection: &mut PgConnection,
    doing: &str,
    parts: &[Part],
) -> Result<()> {
    begin(cx, connection, doing).await?;
    for (number, part) in parts.iter().enumerate() {
        let end = if number + 1 == parts.len() {
            "; COMMIT"
        } else {
            ""
        };
        run(connection, doing, format!("{}{end}", part.statements))
            .await
            .map_err(|error| blame(error, part.pointer.as_deref()))?;
    }
    Ok(())
}

/// Points at an input, unless the failure passes or is somebody else's.
pub(crate) fn blame(error: Error, pointer: Option<&str>) -> Error {
    match pointer {
        Some(pointer) if error.pointer().is_none() && error.may_retry() == Retry::Never => {
            error.at(pointer)
        }
        _ => error,
    }
}

/// Takes the lock for the session, for statements that refuse a transaction. It
/// ends with [`release`], or with the connection.
pub(crate) async fn hold(cx: &Context, connection: &mut PgConnection, doing: &str) -> Result<()> {
    let patience = patience(cx);
    let locked = format!(
        "SET lock_timeout = {}; SELECT pg_advisory_lock({KEY}); SET lock_timeout = 0",
        patience.as_millis()
    );
    acquire(connection, doing, locked, patience).await
}

/// At least a moment: to the server zero means for ever.
fn patience(cx: &Context) -> Duration {
    cx.time_left().clamp(Duration::from_millis(1), PATIENCE)
}

/// Gives the session's lock back.
pub(crate) async fn release(connection: &mut PgConnection) -> Result<()> {
    run(
        connection,
        "unable to release the lock",
        format!("SELECT pg_advisory_unlock({KEY})"),
    )
    .await
}

async fn acquire(
    connection: &mut PgConnection,
    doing: &str,
    statements: String,
    patience: Duration,
) -> Result<()> {
    let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&mut *connection)
        .await
    else {
        return Ok(());
    };
    let timed_out = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "55P03");
    if !timed_out {
        return Err(failure::stating(doing, &error));
    }
    run(connection, doing, "ROLLBACK").await?;
    let holder = holder(connection).await?;
    Err(Error::new(doing)
        .because(format!(
            "{holder} has held the lock on the server's roles and databases for over {} s",
            patience.as_secs_f32().round()
        ))
        .hint("wait until it is done, or end that session with pg_terminate_backend")
        .retry(Retry::UntilDeadline))
}

/// Says who holds the lock.
async fn holder(connection: &mut PgConnection) -> Result<String> {
    let row = sqlx::query(
        "SELECT format('process %s (%s, role %s, from %s)', a.pid, a.application_name, a.usename,
                       coalesce(host(a.client_addr), 'its own machine'))
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.classid = ($1 >> 32)::oid AND l.objid = ($1 & 4294967295)::oid
         LIMIT 1",
    )
    .bind(KEY)
    .fetch_optional(connection)
    .await
    .map_err(|error| failure::stating("unable to see who holds the lock", &error))?;
    row.map_or_else(|| Ok("somebody".to_owned()), |row| column(&row, 0))
}
