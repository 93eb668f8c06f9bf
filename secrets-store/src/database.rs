//! A connection to whichever database holds the store, and transactions on it.
//! It knows nothing of tables. The statements of the store are the same for all
//! databases; [`on!`] runs one on the connection that is there.

mod postgres;
mod sqlite;

use std::time::Duration;

use nixops4_postgresql_client::Session;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Sqlite, SqliteConnection};

use crate::error::Error;
use crate::notice::Notice;
use crate::schema::{Found, Schema};
use crate::url::{Place, StoreUrl};

/// An open connection.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Box<Session>),
}

/// A transaction, rolled back when it is dropped.
pub(crate) enum Transaction<'c> {
    Sqlite(sqlx::Transaction<'c, Sqlite>),
    Postgres(sqlx::Transaction<'c, Postgres>),
}

/// What statements run on.
pub(crate) enum On<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// Runs the same expression on whichever connection there is.
macro_rules! on {
    ($on:expr, $conn:ident => $run:expr) => {
        match $on {
            $crate::database::On::Sqlite($conn) => $run,
            $crate::database::On::Postgres($conn) => $run,
        }
    };
}
pub(crate) use on;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Says clearly that there is nothing to open, or that others can put anything there,
/// where that can be seen from outside.
pub(crate) fn check(url: &StoreUrl) -> std::result::Result<Option<Notice>, Error> {
    match url.place() {
        Place::Sqlite(path) => sqlite::check_file(url, path),
        Place::Postgres(_) => Ok(None),
    }
}

/// Makes what has to be there before connecting.
pub(crate) fn create(url: &StoreUrl) -> std::result::Result<(), Error> {
    match url.place() {
        Place::Sqlite(path) => sqlite::create_file(url, path),
        Place::Postgres(_) => Ok(()),
    }
}

/// Whether a database without tables is one that nobody has written to, rather
/// than the rest of one: SQLite reads a store that was cut down to a byte as
/// blank.
pub(crate) fn is_new(url: &StoreUrl) -> std::result::Result<bool, Error> {
    match url.place() {
        Place::Sqlite(path) => sqlite::is_empty_file(url, path),
        Place::Postgres(_) => Ok(true),
    }
}

/// Connects. `busy_timeout` is how long a statement waits for another process.
pub(crate) async fn connect(
    url: &StoreUrl,
    busy_timeout: Duration,
) -> std::result::Result<Connection, Error> {
    match url.place() {
        Place::Sqlite(path) => {
            let connected = sqlite::connect(path, url.is_read_only(), busy_timeout).await;
            connected
                .map(Connection::Sqlite)
                .map_err(|error| explain(url, "open it", error))
        }
        Place::Postgres(address) => {
            let connected = postgres::connect(url, address, busy_timeout).await;
            connected.map(|session| Connection::Postgres(Box::new(session)))
        }
    }
}

/// What an error of the database means, while trying to `action`.
pub(crate) fn explain(url: &StoreUrl, action: &'static str, error: sqlx::Error) -> Error {
    match error {
        // A column of another type, or a row that is not there: not as we wrote it.
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::Migrate(_) => Error::Damaged {
            store: url.to_string(),
            reason: error.to_string(),
        },
        error => match url.place() {
            Place::Sqlite(_) => sqlite::explain(url, action, &error),
            Place::Postgres(_) => postgres::explain(url, action, &error),
        },
    }
}

impl Connection {
    /// For a single statement.
    pub(crate) fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(conn) => On::Sqlite(conn),
            Self::Postgres(session) => On::Postgres(&mut session.connection),
        }
    }

    /// Begins to read: what is read is of one moment.
    pub(crate) async fn reading(&mut self) -> Result<Transaction<'_>> {
        Ok(match self {
            Self::Sqlite(conn) => Transaction::Sqlite(conn.begin().await?),
            Self::Postgres(session) => {
                Transaction::Postgres(postgres::reading(&mut session.connection).await?)
            }
        })
    }

    /// Begins to write, once no other process does: a transaction that begins by
    /// reading can fail to get the lock later, however long it waits.
    pub(crate) async fn writing(&mut self) -> Result<Transaction<'_>> {
        Ok(match self {
            Self::Sqlite(conn) => Transaction::Sqlite(conn.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(session) => {
                Transaction::Postgres(postgres::writing(&mut session.connection).await?)
            }
        })
    }

    /// Closes it, waiting until the database has let go.
    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(session) => {
                session.close().await;
                Ok(())
            }
        }
    }
}

impl Transaction<'_> {
    /// For the next statement.
    pub(crate) fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(tx) => On::Sqlite(tx),
            Self::Postgres(tx) => On::Postgres(tx),
        }
    }

    /// Ends it: makes all of it last if all went well, and else leaves everything
    /// as it was. One that is only dropped ends when the connection is used next,
    /// and keeps others waiting until then.
    pub(crate) async fn end<T>(
        self,
        outcome: std::result::Result<T, Error>,
        fail: impl FnOnce(sqlx::Error) -> Error,
    ) -> std::result::Result<T, Error> {
        match outcome {
            Ok(done) => match self {
                Self::Sqlite(tx) => tx.commit().await,
                Self::Postgres(tx) => tx.commit().await,
            }
            .map(|()| done)
            .map_err(fail),
            Err(error) => {
                // Why it ends is worth more than that it does not end well.
                let _ = match self {
                    Self::Sqlite(tx) => tx.rollback().await,
                    Self::Postgres(tx) => tx.rollback().await,
                };
                Err(error)
            }
        }
    }

    /// Which schema the database has.
    pub(crate) async fn find(&mut self, schema: &Schema) -> Result<Found> {
        let tables = match self {
            Self::Sqlite(tx) => sqlite::tables(tx).await?,
            Self::Postgres(tx) => postgres::tables(tx).await?,
        };
        schema.find(self.on(), tables).await
    }
}
