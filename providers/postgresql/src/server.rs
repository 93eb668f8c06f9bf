//! A connection to a server, kept from one request to the next.

use std::cell::RefCell;
use std::time::Duration;

use nixops4_provider_sdk::postgresql::client::{
    Failure, LIFT_TIMEOUTS, Lifted, Link, Meaning, Session, Target, connect,
};
use nixops4_provider_sdk::{Context, Error, Object, Result, Retry};
use serde::Deserialize;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

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
    link: Link,
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
        None => connect_to(cx, at).await?,
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
    let (connection, link) = (server.connection, server.link);
    Session { connection, link }.close().await;
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

async fn connect_to(cx: &Context, at: &Connection) -> Result<Server> {
    // Secrets may take their time: nobody queues behind them.
    let mut target = at.login().target(cx).await?;
    cx.slot(&format!("postgresql {at}")).await?;
    let limit = CONNECT_TIMEOUT.min(cx.time_left());
    let opening = open(at, &mut target);
    let opened = match tokio::time::timeout(limit, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(no_answer(at, limit).await),
    };
    if opened.is_err() {
        // There may be too many connections: those that are kept are not missed.
        cx.connections::<Kept>().close_all().await;
    }
    let (Session { connection, link }, found) = opened?;
    Ok(Server {
        connection,
        id: found.id,
        admin: found.admin,
        reads_verifiers: found.reads_verifiers,
        link,
    })
}

async fn open(at: &Connection, target: &mut Target) -> Result<(Session, Found)> {
    let mut lifted = Lifted::default();
    loop {
        let opened = async {
            let mut session = connect(target).await.map_err(Unidentified::Unreached)?;
            let found = identify(at, target, &mut session.connection).await?;
            Ok((session, found))
        };
        match opened.await {
            Ok(opened) => return Ok(opened),
            Err(Unidentified::Refused(error)) => return Err(error),
            Err(Unidentified::Unreached(failure)) => {
                let meaning = failure.meaning();
                lifted.lift(target, at.login().unable(&failure), meaning)?;
            }
            Err(Unidentified::Said(doing, error)) => {
                let meaning = Meaning::of_statement(&error);
                lifted.lift(target, failure::stating(doing, &error), meaning)?;
            }
        }
    }
}

/// Nothing came of connecting: somebody listens there who is busy, or nobody does.
async fn no_answer(at: &Connection, limit: Duration) -> Error {
    let login = at.login();
    let (error, place) = (login.no_answer(limit), login.place());
    let listening = tokio::time::timeout(PROBE_TIMEOUT, place.somebody_listens()).await;
    if listening.unwrap_or_default() {
        error
            .hint("it accepts connections, and is too busy to serve them")
            .retry(Retry::UntilDeadline)
    } else {
        error.hint("see that the address is right, and that no firewall drops the packets")
    }
}

/// What is known of a server and of who is connected to it.
struct Found {
    id: String,
    admin: Admin,
    reads_verifiers: bool,
}

/// Why that is not known.
enum Unidentified {
    /// Nobody is connected.
    Unreached(Failure),
    /// The server said so, while this was done.
    Said(&'static str, sqlx::Error),
    /// It can't be used.
    Refused(Error),
}

impl From<Error> for Unidentified {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What a database sets for whoever connects to it, back to what PostgreSQL comes
/// with: its owner would otherwise say what our statements mean. Where things are
/// put is the database's to say.
const WHAT_A_DATABASE_SETS: &str = "SELECT pg_catalog.set_config(name, boot_val, false)
     FROM pg_catalog.pg_settings
     WHERE source IN ('database', 'database user') AND boot_val IS NOT NULL
       AND (context = 'user' OR context = 'superuser'
            AND pg_catalog.has_parameter_privilege(name, 'SET'))
       AND name NOT IN ('default_tablespace', 'temp_tablespaces', 'default_table_access_method',
                        'default_toast_compression')";

/// Gives up the role that a database sets for whoever connects to it, for the session
/// or for a transaction; one that is set for the administrator itself is meant.
fn give_up_role_of_database(is_local: bool) -> String {
    let sets_role = "FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
                     WHERE setting LIKE 'role=%'";
    format!(
        "SELECT set_config('role', 'none', {is_local}) FROM pg_database d
         WHERE d.datname = current_database()
           AND EXISTS (SELECT {sets_role} AND s.setdatabase = d.oid AND s.setrole = 0)
           AND NOT EXISTS (SELECT {sets_role} AND s.setdatabase IN (0, d.oid)
                           AND s.setrole = to_regrole(quote_ident(session_user)))"
    )
}

/// Sees which server and role this is, and makes what follows mean the same
/// whatever the settings of the role and of the database are.
async fn identify(
    at: &Connection,
    target: &Target,
    connection: &mut PgConnection,
) -> Result<Found, Unidentified> {
    // A pooler that shares sessions must be found out before anything is set in
    // one; what is local to a transaction is safe.
    let question = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL search_path = pg_catalog;
         SET LOCAL application_name TO DEFAULT; {};
         SELECT system_identifier::text, has_table_privilege('pg_authid', 'SELECT'),
                current_user::text, rolsuper, current_setting('server_version_num')::int4,
                pg_backend_pid(), {}
         FROM pg_control_system(), pg_roles WHERE rolname = current_user;
         COMMIT",
        give_up_role_of_database(true),
        pooler::is_pooled()
    );
    let said = |error| Unidentified::Said("unable to identify the server", error);
    let rows = sqlx::raw_sql(AssertSqlSafe(question))
        .fetch_all(&mut *connection)
        .await
        .map_err(said)?;
    let row = rows.last().ok_or_else(|| said(sqlx::Error::RowNotFound))?;
    if column(row, 6)? {
        pooler::refuse_shared_sessions(at, target, connection, column(row, 5)?).await?;
    }
    // The path comes first: by it a database says what an operator is.
    let settings = format!(
        "SET search_path = pg_catalog; SET statement_timeout = 0; {}; {WHAT_A_DATABASE_SETS}; \
         {LIFT_TIMEOUTS}; SET client_min_messages = warning; \
         SET default_transaction_read_only = off; \
         SET default_transaction_isolation = 'read committed'; SET row_security = on",
        give_up_role_of_database(false)
    );
    sqlx::raw_sql(AssertSqlSafe(settings))
        .execute(connection)
        .await
        .map_err(|error| Unidentified::Said("unable to set up the connection", error))?;
    let version: i32 = column(row, 4)?;
    Ok(Found {
        id: column(row, 0)?,
        admin: Admin {
            name: Name::of_server(column(row, 2)?)?,
            superuser: column(row, 3)?,
            version: version / 10_000,
        },
        reads_verifiers: column(row, 1)?,
    })
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
