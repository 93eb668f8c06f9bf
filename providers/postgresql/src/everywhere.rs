//! Looking for what carries our mark in every database of a server.
//!
//! A database that can't be looked into is told of, and never passed over.

use std::time::Duration;

use nixops4_provider_sdk::{Context, Found, Result, Retry};

use crate::connection::Connection;
use crate::failure;
use crate::inside::present_name;
use crate::name::Name;
use crate::server::{Server, column, in_database, on_server};
use crate::sql::Ident;

/// What has to be left of the request's time to begin with another database.
const NEEDED: Duration = Duration::from_secs(5);

/// The databases that somebody can have put something in: `template0` takes nobody in
/// from the first moment on.
const DATABASES: &str = "
    SELECT datname::text, datallowconn, has_database_privilege(oid, 'CONNECT'), current_user::text
    FROM pg_database WHERE datname <> 'template0' ORDER BY datname";

/// What `look` finds in each database of the server.
pub(crate) async fn list(
    cx: &Context,
    at: &Connection,
    look: impl AsyncFn(&mut Server, &Name) -> Result<Vec<Found>>,
) -> Result<Vec<Found>> {
    let rows = on_server(cx, at, None, async |server| {
        sqlx::query(DATABASES)
            .fetch_all(&mut server.connection)
            .await
            .map_err(|error| failure::stating("unable to list the databases", &error))
    })
    .await?;
    let mut found = Vec::new();
    for (done, row) in rows.iter().enumerate() {
        let database = Name::of_server(column(row, 0)?)?;
        let place = format!("database {} on {at}", Ident(&database));
        let (takes_anybody, takes_us): (bool, bool) = (column(row, 1)?, column(row, 2)?);
        if cx.time_left() < NEEDED {
            let rest = rows.len() - done;
            cx.could_not_look(
                format!("{rest} databases on {at}, from {} on", Ident(&database)),
                "the time for this request was over before",
            );
            break;
        }
        if !takes_anybody {
            cx.could_not_look(
                place,
                "it takes no connections (ALLOW_CONNECTIONS is false)",
            );
            continue;
        }
        if !takes_us {
            let user: String = column(row, 3)?;
            cx.could_not_look(
                place,
                format!("{user} has no CONNECT on it; its owner can GRANT that"),
            );
            continue;
        }
        let pointer = ("/connection/database", &database);
        let looked = in_database(cx, at, pointer, None, async |server| {
            look(server, &database).await
        })
        .await;
        match looked {
            Ok(more) => found.extend(more),
            Err(error) if error.may_retry() != Retry::Never => return Err(error),
            Err(error) => {
                // Somebody may have dropped it meanwhile.
                if present_name(cx, at, &database, None).await?.is_some() {
                    cx.could_not_look(place, error.to_string());
                }
            }
        }
    }
    Ok(found)
}
