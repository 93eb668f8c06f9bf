//! One at a time for what all databases of a server share.
//!
//! Concurrent changes of roles, memberships and databases fail with "tuple
//! concurrently updated". Everybody who manages a server takes this advisory
//! lock, in the maintenance database, because advisory locks are per database.

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sqlx::postgres::PgConnection;

use crate::connection::Connection;
use crate::failure;
use crate::server::{column, on_server, run};

/// The key of the lock: "nixops4r" in ASCII.
const KEY: i64 = 0x6e69_786f_7073_3472;
/// How long one attempt waits for it, in seconds.
const PATIENCE: u32 = 30;

/// Runs statements on a server, in a transaction that holds the lock.
pub(crate) async fn transact(
    cx: &Context,
    at: &Connection,
    doing: &str,
    statements: &str,
) -> Result<()> {
    let locked = format!(
        "BEGIN; SET LOCAL lock_timeout = '{PATIENCE}s'; SELECT pg_advisory_xact_lock({KEY});"
    );
    on_server(cx, at, None, async |server| {
        let connection = &mut server.connection;
        acquire(connection, doing, locked).await?;
        run(connection, doing, format!("{statements}; COMMIT")).await
    })
    .await
}

/// Takes the lock for the session, for statements that refuse a transaction. It
/// ends with [`release`], or with the connection.
pub(crate) async fn hold(connection: &mut PgConnection, doing: &str) -> Result<()> {
    let locked = format!(
        "SET lock_timeout = '{PATIENCE}s'; SELECT pg_advisory_lock({KEY}); SET lock_timeout = 0"
    );
    acquire(connection, doing, locked).await
}

/// Gives the session's lock back.
pub(crate) async fn release(connection: &mut PgConnection) -> Result<()> {
    run(connection, "unable to release the lock", format!("SELECT pg_advisory_unlock({KEY})")).await
}

async fn acquire(connection: &mut PgConnection, doing: &str, statements: String) -> Result<()> {
    let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut *connection).await
    else {
        return Ok(());
    };
    let timed_out = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03");
    if !timed_out {
        return Err(failure::stating(doing, &error));
    }
    run(connection, doing, "ROLLBACK").await?;
    let holder = holder(connection).await?;
    Err(Error::new(doing)
        .because(format!("{holder} has held the lock on the server's roles and databases for over {PATIENCE} s"))
        .hint("wait until it is done, or end that session with pg_terminate_backend")
        .retry(Retry::UntilDeadline))
}

/// Says who holds the lock.
async fn holder(connection: &mut PgConnection) -> Result<String> {
    let row = sqlx::query(
        "SELECT format('process %s (%s, role %s, from %s)', a.pid, a.application_name, a.usename,
                       coalesce(host(a.client_addr), 'a local socket'))
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
