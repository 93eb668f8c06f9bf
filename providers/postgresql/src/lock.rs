//! One at a time for what all databases of a server share.
//!
//! Concurrent changes of roles, memberships and databases fail with "tuple
//! concurrently updated". Everybody who manages a server takes this advisory
//! lock, in the maintenance database, because advisory locks are per database.
//! Whoever holds it without managing the server is sent off: it is nobody else's.

use std::time::{Duration, Instant};

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sqlx::postgres::PgConnection;

use crate::connection::Connection;
use crate::failure;
use crate::server::{on_server, run};
use crate::sessions;

/// The key of the lock: "nixops4r" in ASCII.
const KEY: i64 = 0x6e69_786f_7073_3472;
/// How long one attempt waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is waited for before we look who holds it; each time twice as long,
/// because whoever looks goes to the end of the queue.
const FIRST_LOOK: Duration = Duration::from_millis(300);

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
    let locked = |wait: Duration| {
        format!(
            "BEGIN; SET LOCAL lock_timeout = {}; SELECT pg_advisory_xact_lock({KEY}); \
             SET LOCAL lock_timeout = {}",
            wait.as_millis(),
            patience(cx).as_millis()
        )
    };
    acquire(cx, connection, doing, true, locked).await
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
    let locked = |wait: Duration| {
        format!(
            "SET lock_timeout = {}; SELECT pg_advisory_lock({KEY}); SET lock_timeout = {}",
            wait.as_millis(),
            patience(cx).as_millis()
        )
    };
    acquire(cx, connection, doing, false, locked).await
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
        format!("SELECT pg_advisory_unlock({KEY}); SET lock_timeout = 0"),
    )
    .await
}

/// Waits for the lock, for as long as somebody holds it who manages the server;
/// `locked` says how, with the longest time to wait. Who doesn't is sent off at each
/// look, right before we queue again: it may come back, and is behind us then.
async fn acquire(
    cx: &Context,
    connection: &mut PgConnection,
    doing: &str,
    in_transaction: bool,
    locked: impl Fn(Duration) -> String,
) -> Result<()> {
    let (since, patience) = (Instant::now(), patience(cx));
    let mut wait = FIRST_LOOK;
    let mut sent_off = String::new();
    loop {
        let left = patience.saturating_sub(since.elapsed());
        let statements = locked(wait.min(left).max(Duration::from_millis(1)));
        let statements = match sent_off.as_str() {
            "" => statements,
            sent_off => format!("BEGIN; {sent_off}; COMMIT; {statements}"),
        };
        let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
            .execute(&mut *connection)
            .await
        else {
            return Ok(());
        };
        if sessions::code_of(&error).as_deref() != Some("55P03") {
            return Err(failure::stating(doing, &error));
        }
        if in_transaction {
            run(connection, doing, "ROLLBACK").await?;
        }
        let sitters = sessions::at_lock(connection, KEY).await?;
        if since.elapsed() >= patience {
            return Err(held(doing, &sitters, patience));
        }
        cx.checkpoint()?;
        sessions::roll_back(connection, &sitters).await?;
        sent_off = sessions::sending_off(connection, &sitters).await?;
        wait *= 2;
    }
}

/// Says who has held the lock all the time; first who doesn't manage the server, and
/// can't be sent off.
fn held(doing: &str, sitters: &[sessions::Sitter], patience: Duration) -> Error {
    let (holder, hint) = sitters.first().map_or_else(
        || ("somebody".to_owned(), "apply again".to_owned()),
        sessions::describe,
    );
    Error::new(doing)
        .because(format!(
            "{holder} has held the lock on the server's roles and databases for over {} s",
            patience.as_secs_f32().round()
        ))
        .hint(hint)
        .retry(Retry::UntilDeadline)
}
