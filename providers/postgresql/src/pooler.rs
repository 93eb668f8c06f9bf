//! Poolers between us and the server.
//!
//! A session's lock, which CREATE DATABASE needs, is only ours while the session
//! is. PgBouncer with `pool_mode = session` keeps that; with `transaction` or
//! `statement` it gives each transaction whichever session is free, and that
//! must be found out before anything is set or locked.

use std::time::Duration;

use nixops4_provider_sdk::postgresql::client::{Target, connect};
use nixops4_provider_sdk::{Error, Result};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::connection::{APPLICATION, Connection};
use crate::failure;

/// How long a second session may take. A pool that has none left has given the
/// first one away for good, so it keeps sessions apart.
const SECOND_SESSION: Duration = Duration::from_secs(3);

/// A condition in SQL: whether something between us and the server sets up the
/// session for us. Who is connected directly has sent the name of the
/// application when the session began, so that is its default; a pooler says it
/// by SET, later. It needs `SET LOCAL application_name TO DEFAULT` before it.
pub(crate) fn is_pooled() -> String {
    format!("current_setting('application_name') <> '{APPLICATION}'")
}

/// Refuses a pooler that doesn't keep a session for each of its clients.
/// `first` is connected through it, and was served by the process `pid`.
pub(crate) async fn refuse_shared_sessions(
    at: &Connection,
    target: &Target,
    first: &mut PgConnection,
    pid: i32,
) -> Result<()> {
    let shares = shares_sessions(target, first, pid)
        .await
        .map_err(|error| failure::stating("unable to see how the pooler keeps sessions", &error))?;
    if shares { Err(refusal(at)) } else { Ok(()) }
}

/// What is said of a pooler that gives every transaction another session.
pub(crate) fn refusal(at: &Connection) -> Error {
    Error::input(
        "/connection",
        format!(
            "the pooler at {at} shares sessions between its clients (PgBouncer's pool_mode is \
             transaction or statement)"
        ),
    )
    .hint(
        "creating a database needs a lock that lasts for the session: connect to the server itself, \
         or give the administrator sessions of its own with `pool_mode=session` in PgBouncer's \
         [users] or [databases]",
    )
}

/// Where sessions are shared, the one that served `first` is idle now: either a
/// second client gets it, or it gets another one, which is then the next that
/// `first` gets.
async fn shares_sessions(
    target: &Target,
    first: &mut PgConnection,
    pid: i32,
) -> sqlx::Result<bool> {
    if backend(first).await? != pid {
        return Ok(true);
    }
    let connecting = tokio::time::timeout(SECOND_SESSION, connect(target));
    let Ok(Ok(mut session)) = connecting.await else {
        return Ok(false);
    };
    let second = &mut session.connection;
    let asking = sqlx::raw_sql("BEGIN; SELECT pg_catalog.pg_backend_pid()").fetch_one(&mut *second);
    let other = match tokio::time::timeout(SECOND_SESSION, asking).await {
        Ok(Ok(row)) => number(&row)?,
        // With `pool_mode = statement` there are no transactions.
        Ok(Err(_)) => return Ok(true),
        Err(_) => return Ok(false),
    };
    if other == pid {
        return Ok(true);
    }
    sqlx::raw_sql("COMMIT").execute(&mut *second).await?;
    // Twice: a pool may serve its sessions in turn.
    let shares = backend(first).await? != pid || backend(first).await? != pid;
    session.close().await;
    Ok(shares)
}

async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_catalog.pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    number(&row)
}

fn number(row: &PgRow) -> sqlx::Result<i32> {
    row.try_get(0)
}
