//! Things inside a database: how they are reached, found again, and changed.
//!
//! It must not know any kind.

use nixops4_provider_sdk::{Context, Error, Mark, Prior, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assume::{For, assume};
use crate::connection::Connection;
use crate::name::Name;
use crate::server::{Server, column, in_database, on_server, run};
use crate::witness::{self, Class};
use crate::{failure, lock};

/// What is still of use of a record's inputs.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    pub(crate) connection: Connection,
    pub(crate) database: Name,
    pub(crate) name: Name,
}

/// The outputs by which something is found again, as they were recorded.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedOutputs {
    #[serde(default)]
    oid: Option<i64>,
    #[serde(default)]
    database_oid: Option<i64>,
    #[serde(default)]
    system_identifier: Option<String>,
}

pub(crate) type Recorded = Prior<PriorInputs, RecordedOutputs>;

/// Where something is: part of the outputs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whereabouts {
    /// The database that it is in.
    pub(crate) database: String,
    /// The database's object identifier.
    pub(crate) database_oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    pub(crate) system_identifier: String,
}

/// Does something in the database that the inputs name; `None` where there is no
/// such database, so nothing is in it. `look` is given the object identifier that
/// was recorded, if it still means something there.
pub(crate) async fn observe<T>(
    cx: &Context,
    at: &Connection,
    database: &Name,
    prior: Option<&Recorded>,
    look: impl AsyncFnOnce(&mut Server, Option<i64>, Whereabouts) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let known_id = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
    let done = in_database(cx, at, ("/database", database), known_id, async |server| {
        let here = whereabouts(server).await?;
        let oid = match prior {
            Some(prior) => known_oid(prior, database, &here)?,
            None => None,
        };
        look(server, oid, here).await
    })
    .await;
    match done {
        Err(error) if error.pointer() == Some("/database") => {
            match present_name(cx, at, database, None).await? {
                Some(_) => Err(error),
                None => Ok(None),
            }
        }
        done => done,
    }
}

/// Does something in the database that was recorded, under whatever name it has
/// now; `None` where it is gone.
pub(crate) async fn observe_recorded<T>(
    cx: &Context,
    prior: &Recorded,
    look: impl AsyncFnOnce(&mut Server, Option<i64>, Whereabouts) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let (at, known_id) = (
        &prior.inputs.connection,
        prior.outputs.system_identifier.as_deref(),
    );
    on_server(cx, at, known_id, async |_| Ok(())).await?;
    let oid = prior.outputs.database_oid;
    let Some(database) = present_name(cx, at, &prior.inputs.database, oid).await? else {
        return Ok(None);
    };
    observe(cx, at, &database, Some(prior), look).await
}

async fn whereabouts(server: &mut Server) -> Result<Whereabouts> {
    let row = sqlx::query(
        "SELECT datname::text, oid::int8 FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut server.connection)
    .await
    .map_err(|error| failure::stating("unable to identify the database", &error))?;
    Ok(Whereabouts {
        database: column(&row, 0)?,
        database_oid: column(&row, 1)?,
        system_identifier: server.id.clone(),
    })
}

/// The recorded object identifier, where it can be of this database. One that was
/// restored under the same name has others.
fn known_oid(prior: &Recorded, database: &Name, here: &Whereabouts) -> Result<Option<i64>> {
    match prior.outputs.database_oid {
        Some(recorded) if recorded == here.database_oid => Ok(prior.outputs.oid),
        _ if prior.inputs.database == *database => Ok(None),
        None => Ok(None),
        Some(recorded) => Err(Error::input(
            "/database",
            format!(
                "{:?} was made in the database {:?} (oid {recorded}), and can't be moved to the \
                 database {:?} (oid {})",
                prior.inputs.name.as_str(),
                prior.inputs.database.as_str(),
                here.database,
                here.database_oid
            ),
        )
        .hint("declare another one there under a new member, and remove this one; or set the input back")),
    }
}

/// The name of a database that was called `name`, or recorded with this oid.
pub(crate) async fn present_name(
    cx: &Context,
    at: &Connection,
    name: &Name,
    oid: Option<i64>,
) -> Result<Option<Name>> {
    on_server(cx, at, None, async |server| {
        let row = sqlx::query(
            "SELECT datname::text FROM pg_database WHERE oid = $1::int8::oid OR datname = $2
             ORDER BY oid = $1::int8::oid DESC LIMIT 1",
        )
        .bind(oid)
        .bind(name.as_str())
        .fetch_optional(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to look up the database", &error))?;
        row.map(|row| Name::of_server(column(&row, 0)?)).transpose()
    })
    .await
}

/// Runs statements inside a database in one transaction that holds its lock, as
/// somebody with the privileges of `whom`.
pub(crate) async fn change(
    cx: &Context,
    at: &Connection,
    database: &Name,
    whom: &For<'_>,
    doing: &str,
    statements: &str,
) -> Result<()> {
    in_database(cx, at, ("/database", database), None, async |server| {
        let connection = &mut server.connection;
        let statements = assume(connection, whom).await?.around(statements);
        lock::transact_on(cx, connection, doing, &statements).await
    })
    .await
}

/// As [`change`], for statements that write `mark` on something: what vouches for that
/// is written with it.
pub(crate) async fn change_marked(
    cx: &Context,
    at: &Connection,
    database: &Name,
    whom: &For<'_>,
    doing: &str,
    statements: &str,
    (class, name, mark): (Class, &Name, &Mark),
) -> Result<()> {
    in_database(cx, at, ("/database", database), None, async |server| {
        let connection = &mut server.connection;
        let acting = assume(connection, whom).await?;
        lock::begin(cx, connection, doing).await?;
        run(
            connection,
            doing,
            format!("{}{statements}", acting.before()),
        )
        .await?;
        let vouching =
            witness::vouching_inside(connection, &server.id, (class, name), mark).await?;
        let rest = format!("{vouching}{}; COMMIT", acting.after());
        run(connection, doing, rest).await
    })
    .await
}
