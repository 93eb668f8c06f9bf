//! A connection to a server, kept from one request to the next.

use std::cell::RefCell;
use std::time::Duration;

use nixops4_provider_sdk::{Context, Error, Object, Result, Retry};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::admin::Admin;
use crate::connection::Connection;
use crate::name::Name;
use crate::{exposure, failure, pooler};

/// How long connecting may take before the address counts as wrong.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a listening socket may take to be connected to.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that is connected to.
pub(crate) struct Server {
    pub(crate) connection: PgConnection,
    /// The cluster's own identifier, the same under every address.
    pub(crate) id: String,
    /// As whom, and what that role may do.
    pub(crate) admin: Admin,
    /// Whether the verifiers of passwords can be read.
    pub(crate) reads_verifiers: bool,
}

/// How many connections a process keeps: to the maintenance database, and to
/// whatever it did something in last.
const KEPT_AT_MOST: usize = 3;

/// The connections that this process keeps, the last used one last. All are to
/// one server.
#[derive(Default)]
struct Kept(RefCell<Vec<(Connection, Server)>>);

impl Kept {
    fn take(&self, at: &Connection) -> Option<Server> {
        let mut kept = self.0.borrow_mut();
        let place = kept.iter().position(|(there, _)| there == at)?;
        Some(kept.remove(place).1)
    }

    /// Keeps a connection; gives back the one that is too many.
    fn put(&self, at: &Connection, server: Server) -> Option<Server> {
        let mut kept = self.0.borrow_mut();
        kept.push((at.clone(), server));
        (kept.len() > KEPT_AT_MOST).then(|| kept.remove(0).1)
    }

    async fn close_all(&self) {
        for (_, server) in self.0.take() {
            close(server).await;
        }
    }
}

/// Does something on a server. `known_id` is the identifier that was recorded of
/// it: another server behind the same address is refused.
///
/// After an error the connection is closed, and with it every transaction and
/// lock.
pub(crate) async fn on_server<T>(
    cx: &Context,
    at: &Connection,
    known_id: Option<&str>,
    work: impl AsyncFnOnce(&mut Server) -> Result<T>,
) -> Result<T> {
    let server = cx.connections::<Kept>().take(at);
    let mut server = match server {
        Some(server) => server,
        None => connect(cx, at).await?,
    };
    refuse_another(at, &server.id, known_id)?;
    exposure::tell(cx, at, &mut server).await?;
    let done = work(&mut server).await?;
    if let Some(other) = cx.connections::<Kept>().put(at, server) {
        close(other).await;
    }
    Ok(done)
}

/// Lets go of a database, if this process keeps a connection to it: as long as
/// somebody is connected, it can't be renamed, moved or copied.
pub(crate) async fn leave_database(cx: &Context, at: &Connection, database: &Name) -> Result<()> {
    let there = Connection {
        database: database.clone(),
        ..at.clone()
    };
    if let Some(server) = cx.connections::<Kept>().take(&there) {
        close(server).await;
    }
    Ok(())
}

async fn close(server: Server) {
    // What can't be closed properly is gone already.
    let _ = server.connection.close().await;
}

/// Does something in a database of a server, which the input at `pointer` names.
/// Otherwise as [`on_server`].
pub(crate) async fn in_database<T>(
    cx: &Context,
    at: &Connection,
    (pointer, database): (&str, &Name),
    known_id: Option<&str>,
    work: impl AsyncFnOnce(&mut Server) -> Result<T>,
) -> Result<T> {
    let there = Connection {
        database: database.clone(),
        ..at.clone()
    };
    on_server(cx, &there, known_id, work)
        .await
        .map_err(|error| match error.pointer() {
            Some("/connection/database") => error
                .at(pointer)
                .hint("declare that database, and use its `name` output here"),
            _ => error,
        })
}

fn refuse_another(at: &Connection, id: &str, known_id: Option<&str>) -> Result<()> {
    match known_id {
        Some(known) if known != id => Err(Error::input(
            "/connection",
            format!(
                "the server at {at} is another one (system identifier {id}) than that on which \
                 this was made ({known})"
            ),
        )
        .hint(
            "point connection at the server that is meant; to begin anew on this one, give the \
             member another name or forget it in the state",
        )),
        _ => Ok(()),
    }
}

async fn connect(cx: &Context, at: &Connection) -> Result<Server> {
    // Secrets may take their time: nobody queues behind them.
    let options = at.options(cx).await?.disable_statement_logging();
    cx.slot(&format!("postgresql {at}")).await?;
    let limit = CONNECT_TIMEOUT.min(cx.time_left());
    let connected = tokio::time::timeout(limit, PgConnection::connect_with(&options)).await;
    if !matches!(connected, Ok(Ok(_))) {
        // There may be too many connections: those that are kept are not missed.
        cx.connections::<Kept>().close_all().await;
    }
    let mut connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(failure::connecting(at, &error)),
        Err(_) => return Err(no_answer(at, limit).await),
    };
    identify(at, &options, &mut connection)
        .await
        .map(|(id, admin, reads_verifiers)| Server {
            connection,
            id,
            admin,
            reads_verifiers,
        })
}

/// Nothing came of connecting: somebody listens there who is busy, or nobody does.
async fn no_answer(at: &Connection, limit: Duration) -> Error {
    let error = Error::input(
        "/connection",
        format!(
            "the server at {at} gave no answer within {} s",
            limit.as_secs()
        ),
    );
    let listening = tokio::time::timeout(PROBE_TIMEOUT, at.somebody_listens()).await;
    if listening.unwrap_or_default() {
        error
            .hint("it accepts connections, and is too busy to serve them")
            .retry(Retry::UntilDeadline)
    } else {
        error.hint("see that the address is right, and that no firewall drops the packets")
    }
}

/// Sees which server and role this is, and makes what follows mean the same
/// whatever the role's own settings are.
async fn identify(
    at: &Connection,
    options: &PgConnectOptions,
    connection: &mut PgConnection,
) -> Result<(String, Admin, bool)> {
    // A pooler that shares sessions must be found out before anything is set in
    // one; what is local to a transaction is safe.
    let question = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL search_path = pg_catalog;
         SET LOCAL application_name TO DEFAULT;
         SELECT system_identifier::text, has_table_privilege('pg_authid', 'SELECT'),
                current_user::text, rolsuper, current_setting('server_version_num')::int4,
                pg_backend_pid(), {}
         FROM pg_control_system(), pg_roles WHERE rolname = current_user;
         COMMIT",
        pooler::is_pooled()
    );
    let row = sqlx::raw_sql(AssertSqlSafe(question))
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failure::stating("unable to identify the server", &error))?;
    let pooled: bool = column(&row, 6)?;
    if pooled {
        pooler::refuse_shared_sessions(at, options, connection, column(&row, 5)?).await?;
    }
    run(
        connection,
        "unable to set up the connection",
        "SET search_path = pg_catalog; SET client_min_messages = warning; \
         SET statement_timeout = 0; SET lock_timeout = 0; \
         SET default_transaction_read_only = off; \
         SET default_transaction_isolation = 'read committed'; \
         SET idle_in_transaction_session_timeout = 0; SET row_security = on",
    )
    .await?;
    let version: i32 = column(&row, 4)?;
    let admin = Admin {
        name: Name::of_server(column(&row, 2)?)?,
        superuser: column(&row, 3)?,
        version: version / 10_000,
    };
    Ok((column(&row, 0)?, admin, column(&row, 1)?))
}

/// Runs statements that this crate has put together; `doing` is for the error.
pub(crate) async fn run(
    connection: &mut PgConnection,
    doing: &str,
    statements: impl Into<String>,
) -> Result<()> {
    // Everything in them that came from outside went through `crate::sql`.
    sqlx::raw_sql(AssertSqlSafe(statements.into()))
        .execute(connection)
        .await
        .map_err(|error| failure::stating(doing, &error))?;
    Ok(())
}

/// A column of a row.
pub(crate) fn column<'r, T>(row: &'r PgRow, at: usize) -> Result<T>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(at).map_err(|error| {
        Error::new("the server's catalog is not what PostgreSQL 15 and newer have").because(error)
    })
}

/// The outputs by which something is found again, as they were recorded.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedOutputs {
    /// Its object identifier.
    #[serde(default)]
    pub(crate) oid: Option<i64>,
    /// The identifier of its server.
    #[serde(default)]
    pub(crate) system_identifier: Option<String>,
}

/// The outputs that say where something is, known from the connection alone.
pub(crate) fn predicted_outputs(name: &str, at: &Connection) -> Object {
    let mut outputs = Object::new();
    outputs.insert("name".to_owned(), name.into());
    outputs.insert("host".to_owned(), at.host.as_str().into());
    outputs.insert("port".to_owned(), at.port.into());
    outputs
}
