//! The kind `state_sqlite`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::PointerBuf};
use nixops4_protocol::message::StateResourceEvent;
use nixops4_protocol::state;
use nixops4_provider_sdk::{Context, Error, Owner, Result, StateKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::failure::{explain, refuse_cut_off};
use crate::log::{Event, View, refuse_overlap};

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

/// The state of a deployment in an SQLite file: a log of events that is only ever
/// appended to. One file can hold the states of several deployments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The deployment whose state this is. Two deployments never share one.
    deployment: Owner,
    /// Path of the file; it is made if it isn't there, its folder isn't. A
    /// relative path begins where the command is run.
    path: PathBuf,
}

/// What an expression can read of it: nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outputs {}

/// See [`Inputs`].
pub(crate) struct Sqlite;

/// What this process knows, by place.
#[derive(Default)]
struct KnownStates(RefCell<HashMap<Inputs, Known>>);

/// What this process knows of one state.
#[derive(Default)]
struct Known {
    /// The document, empty where it has to be read anew.
    view: View,
    /// How many events this process knows of.
    seen: i64,
    /// What others have appended since this process read the state; `None` if it
    /// never has.
    others: Option<Vec<Event>>,
}

impl Known {
    fn read(view: View) -> Self {
        Self {
            seen: view.length(),
            view,
            others: Some(Vec::new()),
        }
    }

    fn take_view(&mut self) -> View {
        std::mem::take(&mut self.view)
    }

    /// Fails if the patch overlaps with what others have appended since this
    /// process read; gives what is new of that.
    fn judge(&self, patch: &Patch, events: &[Event]) -> Result<Vec<Event>> {
        let Some(others) = &self.others else {
            return Ok(Vec::new());
        };
        let news = events.iter().filter(|event| event.index >= self.seen);
        refuse_overlap(patch, others.iter().chain(news.clone()))?;
        Ok(news.cloned().collect())
    }

    fn put_back(&mut self, view: View, news: Vec<Event>) {
        self.seen = view.length();
        self.view = view;
        if let Some(others) = &mut self.others {
            others.extend(news);
        }
    }
}

impl StateKind for Sqlite {
    const TYPE: &'static str = "state_sqlite";
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn deployment(inputs: &Inputs) -> &Owner {
        &inputs.deployment
    }

    async fn create(_: &Context, inputs: &Inputs) -> Result<Outputs> {
        let mut file = File::open(inputs, Missing::Create).await?;
        file.begin(inputs).await?;
        // What is rolled back needs the same rights as what isn't.
        file.begin_writing().await?;
        file.insert(inputs, i64::MAX, "probe", "", &Patch(Vec::new()))
            .await?;
        file.roll_back().await?;
        Ok(Outputs {})
    }

    async fn find(_: &Context, inputs: &Inputs) -> Result<Option<Outputs>> {
        if !inputs.path.exists() {
            return Ok(None);
        }
        let mut file = File::open(inputs, Missing::Refuse).await?;
        Ok(file.has_begun(inputs).await?.then_some(Outputs {}))
    }

    async fn read(cx: &Context, inputs: &Inputs) -> Result<Value> {
        let mut file = File::open(inputs, Missing::Refuse).await?;
        let mut view = View::default();
        view.take_in(file.since(inputs, 0).await?)?;
        if view.length() == 0 {
            return Err(Error::input(
                "/deployment",
                format!(
                    "{} has no state of {:?}",
                    inputs.path.display(),
                    inputs.deployment.as_str()
                ),
            )
            .hint("apply first, or see that the name of the deployment is right"));
        }
        let document = view.document().clone();
        cx.session::<KnownStates>()
            .0
            .borrow_mut()
            .insert(inputs.clone(), Known::read(view));
        Ok(document)
    }

    async fn append(cx: &Context, inputs: &Inputs, event: &StateResourceEvent) -> Result<()> {
        let known = cx.session::<KnownStates>();
        // What fails leaves the rest as it is: who was refused is refused again,
        // until they have read what others wrote.
        let mut view = known
            .0
            .borrow_mut()
            .entry(inputs.clone())
            .or_default()
            .take_view();
        let mut file = File::open_again(cx, inputs).await?;
        file.begin_writing().await?;
        let events = file.since(inputs, view.length()).await?;
        let news = known
            .0
            .borrow_mut()
            .entry(inputs.clone())
            .or_default()
            .judge(&event.patch, &events)?;
        view.take_in(events)?;
        let index = view.length();
        view.append(&event.patch)?;
        cx.failpoint("state:checked");
        file.insert(
            inputs,
            index,
            &event.event,
            &event.nixops_version,
            &event.patch,
        )
        .await?;
        cx.failpoint("state:inserted");
        file.commit().await?;
        cx.failpoint("state:committed");
        file.keep(cx);
        known
            .0
            .borrow_mut()
            .entry(inputs.clone())
            .or_default()
            .put_back(view, news);
        Ok(())
    }
}

/// What to do where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
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
struct File {
    connection: SqliteConnection,
    path: PathBuf,
    /// Which file it is, whatever the path comes to lead to.
    number: Option<FileNumber>,
    /// Whether its tables are those of [`SCHEMA_VERSION`].
    is_set_up: bool,
}

/// Device and inode.
type FileNumber = (u64, u64);

fn number_of(path: &Path) -> Option<FileNumber> {
    path.metadata()
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}

impl File {
    /// The file as it was kept, unless another one stands in its place.
    async fn open_again(cx: &Context, inputs: &Inputs) -> Result<Self> {
        let kept = cx
            .connections::<OpenFiles>()
            .0
            .borrow_mut()
            .remove(&inputs.path);
        match kept {
            Some(file) if file.number.is_some() && file.number == number_of(&file.path) => Ok(file),
            _ => Self::open(inputs, Missing::Refuse).await,
        }
    }

    /// Keeps it for the next event; not if anything failed.
    fn keep(self, cx: &Context) {
        cx.connections::<OpenFiles>()
            .0
            .borrow_mut()
            .insert(self.path.clone(), self);
    }

    async fn open(inputs: &Inputs, missing: Missing) -> Result<Self> {
        let path = inputs.path.clone();
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
    async fn begin(&mut self, inputs: &Inputs) -> Result<()> {
        if !self.is_set_up {
            self.run(SCHEMA).await?;
        }
        self.begin_writing().await?;
        if !self.has_begun(inputs).await? {
            let first = Patch(vec![PatchOperation::Add(AddOperation {
                path: PointerBuf::root(),
                value: state::empty(),
            })]);
            self.insert(inputs, 0, "initialize", env!("CARGO_PKG_VERSION"), &first)
                .await?;
        }
        self.commit().await
    }

    /// Whether the deployment has an event, however many there are.
    async fn has_begun(&mut self, inputs: &Inputs) -> Result<bool> {
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM event WHERE deployment = ?)")
            .bind(inputs.deployment.as_str())
            .fetch_one(&mut self.connection)
            .await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| explain(&self.path, "read", &error))
    }

    async fn since(&mut self, inputs: &Inputs, index: i64) -> Result<Vec<Event>> {
        let rows = sqlx::query(
            "SELECT position, time, writer, patch FROM event
             WHERE deployment = ? AND position >= ? ORDER BY position",
        )
        .bind(inputs.deployment.as_str())
        .bind(index)
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| explain(&self.path, "read", &error))?;
        rows.iter()
            .map(|row| {
                let patch: String = row.try_get(3)?;
                Ok(Event {
                    index: row.try_get(0)?,
                    time: row.try_get(1)?,
                    writer: row.try_get(2)?,
                    patch: serde_json::from_str(&patch)
                        .map_err(|error| sqlx::Error::Decode(error.into()))?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| explain(&self.path, "read", &error))
    }

    async fn insert(
        &mut self,
        inputs: &Inputs,
        index: i64,
        event: &str,
        version: &str,
        patch: &Patch,
    ) -> Result<()> {
        let now = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        sqlx::query(
            "INSERT INTO event (deployment, position, time, writer, event, nixops_version, patch)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(inputs.deployment.as_str())
        .bind(index)
        .bind(now)
        .bind(writer())
        .bind(event)
        .bind(version)
        .bind(serde_json::to_string(patch).unwrap_or_default())
        .execute(&mut self.connection)
        .await
        .map_err(|error| explain(&self.path, "write", &error))?;
        Ok(())
    }

    /// Begins a transaction that has the right to write from its first moment.
    async fn begin_writing(&mut self) -> Result<()> {
        self.run("BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<()> {
        self.run("COMMIT").await
    }

    async fn roll_back(&mut self) -> Result<()> {
        self.run("ROLLBACK").await
    }

    async fn run(&mut self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements)
            .execute(&mut self.connection)
            .await
            .map_err(|error| explain(&self.path, "write", &error))?;
        Ok(())
    }
}

/// Who writes: for whoever finds the state changed.
fn writer() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!(
        "{}@{host}",
        user.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
    )
}
