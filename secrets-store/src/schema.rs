//! The schema's versions, compiled in, and what schema a database has. A store
//! that is behind is brought forward; one that is ahead is left alone.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::database::{On, on};
use crate::url::{Place, StoreUrl};

/// A number, a title and its SQL.
pub(crate) type Version = (i64, &'static str, &'static str);

/// Every version of the schema of a SQLite store, oldest first.
pub(crate) const SQLITE: &[Version] = &[
    (
        1,
        "store",
        include_str!("../migrations/sqlite/0001_store.sql"),
    ),
    (
        2,
        "metadata",
        include_str!("../migrations/sqlite/0002_metadata.sql"),
    ),
    (
        3,
        "succession",
        include_str!("../migrations/sqlite/0003_succession.sql"),
    ),
];

/// The same for PostgreSQL: same numbers, same tables, same columns.
const POSTGRES: &[Version] = &[
    (
        1,
        "store",
        include_str!("../migrations/postgresql/0001_store.sql"),
    ),
    (
        2,
        "metadata",
        include_str!("../migrations/postgresql/0002_metadata.sql"),
    ),
    (
        3,
        "succession",
        include_str!("../migrations/postgresql/0003_succession.sql"),
    ),
];

/// The versions of the schema that a program knows.
#[derive(Debug)]
pub(crate) struct Schema(Migrator);

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// No table at all.
    Blank,
    /// Tables, but not a store's.
    Other,
    /// The schema that is known.
    Current,
    /// An earlier one: this version.
    Older(i64),
    /// A later one: this version.
    Newer(i64),
    /// A version with a known number and unknown contents.
    Altered,
}

impl Schema {
    /// The schema of the database that holds the store.
    pub(crate) fn for_store(url: &StoreUrl) -> Self {
        Self::of(match url.place() {
            Place::Sqlite(_) => SQLITE,
            Place::Postgres(_) => POSTGRES,
        })
    }

    pub(crate) fn of(versions: &[Version]) -> Self {
        let migration = |(number, title, sql): &Version| {
            Migration::new(
                *number,
                (*title).into(),
                MigrationType::Simple,
                (*sql).into_sql_str(),
                false,
            )
        };
        let mut migrator = Migrator::with_migrations(versions.iter().map(migration).collect());
        // Every writer holds the store's own lock already.
        migrator.set_locking(false);
        Self(migrator)
    }

    /// The newest version known.
    pub(crate) fn newest(&self) -> i64 {
        self.0.iter().map(|m| m.version).max().unwrap_or(0)
    }

    /// Reads which schema the database has; changes nothing. `tables` is how many
    /// there are, and how many of those that only a store has together.
    pub(crate) async fn find(
        &self,
        on: On<'_>,
        (tables, versioned): (i64, i64),
    ) -> Result<Found, sqlx::Error> {
        if tables == 0 {
            return Ok(Found::Blank);
        }
        // Another program may keep its versions in a table of that name too.
        if versioned != 2 {
            return Ok(Found::Other);
        }
        let applied: Vec<(i64, Vec<u8>)> = on!(on, conn => {
            sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(conn)
                .await?
        });
        if let Some((version, _)) = applied.last()
            && *version > self.newest()
        {
            return Ok(Found::Newer(*version));
        }
        let known: Vec<&Migration> = self.0.iter().collect();
        let same = |(ours, theirs): (&&Migration, &(i64, Vec<u8>))| {
            ours.version == theirs.0 && *ours.checksum == *theirs.1
        };
        Ok(if !known.iter().zip(&applied).all(same) {
            Found::Altered
        } else if applied.len() < known.len() {
            Found::Older(applied.last().map_or(0, |(version, _)| *version))
        } else {
            Found::Current
        })
    }

    /// Brings the database to the newest version. Call it inside a transaction
    /// that has the write lock.
    pub(crate) async fn apply(&self, on: On<'_>) -> Result<(), sqlx::Error> {
        // `Migrator::run` gives a future that cannot be moved between threads.
        let done = on!(on, conn => self.0.run_direct(None, conn, false).await);
        done.map_err(|error| match error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
            other => sqlx::Error::Migrate(Box::new(other)),
        })
    }
}
