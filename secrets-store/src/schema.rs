//! The schema's versions, compiled in, and what schema a database has. A store
//! that is behind is brought forward; one that is ahead is left alone.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

/// Every version of the schema of a SQLite store, oldest first.
pub(crate) const SQLITE: &[(i64, &str, &str)] = &[(
    1,
    "store",
    include_str!("../migrations/sqlite/0001_store.sql"),
)];

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
    /// An earlier one.
    Older,
    /// A later one: this version.
    Newer(i64),
    /// A version with a known number and unknown contents.
    Altered,
}

impl Schema {
    pub(crate) fn sqlite() -> Self {
        Self::of(SQLITE)
    }

    pub(crate) fn of(versions: &[(i64, &'static str, &'static str)]) -> Self {
        let migration = |(number, title, sql): &(i64, &'static str, &'static str)| {
            Migration::new(
                *number,
                (*title).into(),
                MigrationType::Simple,
                (*sql).into_sql_str(),
                false,
            )
        };
        Self(Migrator::with_migrations(
            versions.iter().map(migration).collect(),
        ))
    }

    /// The newest version known.
    pub(crate) fn newest(&self) -> i64 {
        self.0.iter().map(|m| m.version).max().unwrap_or(0)
    }

    /// Reads which schema the database has; changes nothing.
    pub(crate) async fn find(&self, conn: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
        let (tables, versioned): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE name IN ('_sqlx_migrations', 'store')) \
             FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .fetch_one(&mut *conn)
        .await?;
        if tables == 0 {
            return Ok(Found::Blank);
        }
        // Another program may keep its versions in a table of that name too.
        if versioned != 2 {
            return Ok(Found::Other);
        }
        let applied: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(conn)
                .await?;
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
            Found::Older
        } else {
            Found::Current
        })
    }

    /// Brings the database to the newest version. Call it inside a transaction
    /// that has the write lock: `Migrator` takes none in SQLite.
    pub(crate) async fn apply(&self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // `Migrator::run` gives a future that cannot be moved between threads.
        let done = self.0.run_direct(None, conn, false).await;
        done.map_err(|error| match error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
            other => sqlx::Error::Migrate(Box::new(other)),
        })
    }
}
