//! An SQLite file with logs of events in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use nixops4_provider_sdk::{Context, Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::Inputs;
use crate::failure::{explain, make_private, refuse_cut_off, refuse_foreign};
use crate::file_number::{FileNumber, number_of};
use crate::log::Event;
use crate::store::{Insertion, Log, first_of};
use crate::table;

/// How long somebody else's write is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The version of the tables below.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS event (
        deployment TEXT NOT NULL,
        position INTEGER NOT NULL,
        time TEXT NOT NULL,
        writer TEXT NOT NULL,
        event TEXT NOT NULL,
        nixops_version TEXT NOT NULL,
        patch TEXT NOT NULL,
        PRIMARY KEY (deployment, position)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// What to do where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

/// The files that stay open from one event to the next: opening and closing one
/// syncs it more often than an event does.
#[derive(Default)]
struct OpenFiles(RefCell<HashMap<PathBuf, File>>);

/// Waits until they are closed, so that everything is in the files themselves,
/// and nothing beside them, when this process is idle or ends.
impl Drop for OpenFiles {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
            return;
        };
        for (_, file) in self.0.get_mut().drain() {
            // Every event is on the disk already: whoever opens it next finds it.
            let _ = runtime.block_on(file.connection.close());
        }
    }
}

/// An open file. Dropping it ends its transaction.
pub(super) struct File {
    connection: SqliteConnection,
    path: PathBuf,
    deployment: String,
    /// Which file it is, whatever the path comes to lead to.
    number: Option<FileNumber>,
    /// Whether its tables are those of [`SCHEMA_VERSION`].
    is_set_up: bool,
}

impl File {
    /// The file as it was kept, unless another one stands in its place.
    pub(super) async fn open_again(cx: &Context, inputs: &Inputs) -> Result<Self> {
        let kept = cx
            .connections::<OpenFiles>()
            .0
            .borrow_mut()
            .remove(&inputs.path);
        match kept {
            Some(file) if file.number.is_some() && file.number == number_of(&file.path) => {
                Ok(Self {
                    deployment: inputs.deployment.as_str().to_owned(),
                    ..file
                })
            }
            _ => Self::open(inputs, Missing::Refuse).await,
        }
    }

    /// Keeps it for the next event; not if anything failed.
    pub(super) fn keep(self, cx: &Context) {
        cx.connections::<OpenFiles>()
            .0
            .borrow_mut()
            .insert(self.path.clone(), self);
    }

    pub(super) async fn open(inputs: &Inputs, missing: Missing) -> Result<Self> {
        let path = inputs.path.clone();
        refuse_foreign("/path", &path, &["-wal", "-shm", "-journal"])?;
        if missing == Missing::Create {
            // What SQLite makes beside it is open to the same. Why it can't be made,
            // SQLite says, too.
            let _ = make_private(&path);
        }
        refuse_cut_off(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(missing == Missing::Create)
            .busy_timeout(BUSY_TIMEOUT)
            // Readers never wait for a writer.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let connection = options
            .connect()
            .await
            .map_err(|error| explain(&path, "open", &error))?;
        let number = number_of(&path);
        let mut file = Self {
            connection,
            path,
            deployment: inputs.deployment.as_str().to_owned(),
            number,
            is_set_up: false,
        };
        let version = file.check_version().await?;
        let has_tables = file.check_tables(missing).await?;
        file.is_set_up = has_tables && version == SCHEMA_VERSION;
        Ok(file)
    }

    async fn check_version(&mut self) -> Result<i64> {
        let row = sqlx::query("PRAGMA user_version")
            .fetch_one(&mut self.connection)
            .await;
        let version: i64 = row
            .and_then(|row| row.try_get(0))
            .map_err(|error| explain(&self.path, "read", &error))?;
        if version > SCHEMA_VERSION {
            return Err(Error::input(
                "/path",
                format!(
                    "{} was written by a newer version of this provider (format {version}, this one \
                     knows {SCHEMA_VERSION})",
                    self.path.display()
                ),
            )
            .hint("upgrade nixops4-resources-state"));
        }
        Ok(version)
    }

    /// Refuses what isn't a file of this kind; says whether it has tables yet.
    async fn check_tables(&mut self, missing: Missing) -> Result<bool> {
        let tables =
            "SELECT count(*) FILTER (WHERE name = 'event'), count(*) FILTER (WHERE name <> 'event')
                      FROM sqlite_schema WHERE type = 'table'";
        let row = sqlx::query(tables).fetch_one(&mut self.connection).await;
        let (ours, others): (i64, i64) = row
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .map_err(|error| explain(&self.path, "read", &error))?;
        let path = self.path.display();
        if others > 0 {
            return Err(
                Error::input("/path", format!("{path} is another program's database"))
                    .hint("give the path of a file that isn't there yet"),
            );
        }
        if ours == 0 && missing == Missing::Refuse {
            return Err(Error::input("/path", format!("{path} has no state in it"))
                .hint("apply first, or see that the path is right"));
        }
        Ok(ours > 0)
    }

    /// Makes the tables and the deployment's first event.
    pub(super) async fn make(&mut self) -> Result<()> {
        if !self.is_set_up {
            self.run(SCHEMA).await?;
        }
        self.begin_writing().await?;
        if !self.has_begun().await? {
            self.write(&Event::first()).await?;
        }
        self.run("COMMIT").await
    }

    /// Fails if it can't be written to.
    pub(super) async fn prove_writable(&mut self) -> Result<()> {
        self.begin_writing().await?;
        // What is rolled back needs the same rights as what isn't.
        self.write(&Event::probe()).await?;
        self.run("ROLLBACK").await
    }

    /// Whether the deployment has an event, however many there are.
    pub(super) async fn has_begun(&mut self) -> Result<bool> {
        let row = sqlx::query(table::HAS_BEGUN)
            .bind(&self.deployment)
            .fetch_one(&mut self.connection)
            .await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| explain(&self.path, "read", &error))
    }

    async fn write(&mut self, event: &Event) -> Result<()> {
        sqlx::query(table::INSERT)
            .bind(&self.deployment)
            .bind(event.index)
            .bind(&event.time)
            .bind(event.writer.as_deref().unwrap_or_default())
            .bind(&event.operation)
            .bind(event.version.as_deref().unwrap_or_default())
            .bind(table::written(&event.patch)?)
            .execute(&mut self.connection)
            .await
            .map_err(|error| explain(&self.path, "write", &error))?;
        Ok(())
    }

    /// Begins a transaction that has the right to write from its first moment.
    async fn begin_writing(&mut self) -> Result<()> {
        self.run("BEGIN IMMEDIATE").await
    }

    async fn run(&mut self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements)
            .execute(&mut self.connection)
            .await
            .map_err(|error| explain(&self.path, "write", &error))?;
        Ok(())
    }
}

impl Log for File {
    async fn each(
        &mut self,
        from: i64,
        limit: i64,
        take: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let unreadable = |error: sqlx::Error| explain(&self.path, "read", &error);
        let mut rows = sqlx::query(table::SINCE)
            .bind(&self.deployment)
            .bind(from)
            .bind(limit)
            .fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await.map_err(unreadable)? {
            let event = table::event(&row).map_err(unreadable)?;
            drop(row);
            take(event)?;
        }
        Ok(())
    }

    async fn fitting(&mut self, from: i64, limit: i64, bytes: i64) -> Result<i64> {
        let lengths = sqlx::query_scalar(table::LENGTHS)
            .bind(&self.deployment)
            .bind(from)
            .bind(limit)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| explain(&self.path, "read", &error))?;
        Ok(first_of(lengths, bytes))
    }

    async fn length(&mut self) -> Result<i64> {
        let row = sqlx::query(table::LENGTH)
            .bind(&self.deployment)
            .fetch_one(&mut self.connection)
            .await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| explain(&self.path, "read", &error))
    }

    async fn begin(&mut self, _: &Context) -> Result<()> {
        self.begin_writing().await
    }

    async fn insert(&mut self, cx: &Context, event: &Event) -> Result<Insertion> {
        self.write(event).await?;
        cx.failpoint("state:inserted");
        self.run("COMMIT").await?;
        cx.failpoint("state:committed");
        Ok(Insertion::Done)
    }

    fn no_state(&self) -> Error {
        Error::input(
            "/deployment",
            format!(
                "{} has no state of {:?}",
                self.path.display(),
                self.deployment
            ),
        )
        .hint("apply first, or see that the name of the deployment is right")
    }
}
