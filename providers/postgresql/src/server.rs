//! A connection to a server, kept from one request to the next.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use nixops4_provider_sdk::{Context, Error, Object, Result, Retry};
use serde::Deserialize;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::connection::Connection;
use crate::failure;

/// How long connecting may take before the address counts as wrong.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A server that is connected to.
pub(crate) struct Server {
    pub(crate) connection: PgConnection,
    /// The cluster's own identifier, the same under every address.
    pub(crate) id: String,
    /// Whether the verifiers of passwords can be read.
    pub(crate) reads_verifiers: bool,
}

/// The connections that this process keeps while it is busy.
#[derive(Default)]
struct Kept(RefCell<HashMap<Connection, Server>>);

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
    let kept = cx.connections::<Kept>();
    let known = kept.0.borrow_mut().remove(at);
    let mut server = match known {
        Some(server) => server,
        None => connect(cx, at).await?,
    };
    refuse_another(at, &server.id, known_id)?;
    let done = work(&mut server).await?;
    kept.0.borrow_mut().insert(at.clone(), server);
    Ok(done)
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
    let options = at.options(cx).await?.disable_statement_logging();
    let limit = CONNECT_TIMEOUT.min(cx.time_left());
    let connected = tokio::time::timeout(limit, PgConnection::connect_with(&options)).await;
    let mut connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(failure::connecting(at, &error)),
        Err(_) => return Err(no_answer(at, limit).await),
    };
    // Whatever the role's own settings are, what follows has to mean the same.
    let set_up = "SET search_path = pg_catalog; SET client_min_messages = warning; \
                  SET statement_timeout = 0; SET default_transaction_read_only = off; \
                  SET idle_in_transaction_session_timeout = 0";
    run(&mut connection, "unable to set up the connection", set_up).await?;
    let row = sqlx::query(
        "SELECT system_identifier::text, has_table_privilege('pg_authid', 'SELECT')
         FROM pg_control_system()",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(|error| failure::stating("unable to identify the server", &error))?;
    Ok(Server {
        connection,
        id: column(&row, 0)?,
        reads_verifiers: column(&row, 1)?,
    })
}

/// Tells a server that is too busy to answer from an address that leads nowhere.
async fn no_answer(at: &Connection, limit: Duration) -> Error {
    let unable = Error::input(
        "/connection",
        format!(
            "the server at {at} gave no answer within {} s",
            limit.as_secs()
        ),
    );
    if at.listens().await {
        return unable
            .hint("it takes connections, so it is busy; it was tried until the time was over")
            .retry(Retry::UntilDeadline);
    }
    unable.hint("see that the address is right, and that no firewall drops the packets")
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
