//! A database with logs of events in it.
//!
//! Everything happens within transactions, and nothing is set or locked beyond
//! one: a pooler may serve each by another session. Whoever is second at an
//! index is told so by its unique key, and looks again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use nixops4_provider_sdk::postgresql::client::{Opening, Session, open};
use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::Inputs;
use super::failure::{connecting, is_lost, is_taken, stating};
use crate::log::Event;
use crate::store::{Insertion, Log, first_of};
use crate::table;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// What makes the tables from nothing, step by step; each is a version.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE event (
        deployment text NOT NULL,
        position bigint NOT NULL CHECK (position >= 0),
        time text NOT NULL,
        writer text NOT NULL,
        event text NOT NULL,
        nixops_version text NOT NULL,
        patch text NOT NULL,
        PRIMARY KEY (deployment, position)
    );
    CREATE TABLE event_format (version bigint NOT NULL);
    INSERT INTO event_format VALUES (0);
    COMMENT ON TABLE event IS
        'The states of NixOps4 deployments: events that are only ever appended to'"];

/// What to do where the tables are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Allow,
    Refuse,
}

/// The databases that this process keeps connected.
#[derive(Default)]
struct Kept(RefCell<HashMap<Inputs, Database>>);

/// A database that is connected to. Dropping it ends its transaction.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and they occur in any combination"
)]
pub(super) struct Database {
    session: Session,
    inputs: Inputs,
    /// The schema as SQL writes it.
    schema: String,
    /// Statements that lift every limit of time within a transaction.
    lifts_timeouts: String,
    /// Whether the server is a standby.
    is_standby: bool,
    /// Whether a transaction is open.
    begun: bool,
    /// Whether the tables are those of this version.
    checked: bool,
    /// Whether it was connected for an earlier request.
    was_kept: bool,
}

impl Database {
    /// Connects, unless this process still is.
    pub(super) async fn connect(cx: &Context, inputs: &Inputs) -> Result<Self> {
        let kept = cx.connections::<Kept>().0.borrow_mut().remove(inputs);
        match kept {
            Some(kept) => Ok(Self {
                was_kept: true,
                ..kept
            }),
            None => Self::connect_anew(cx, inputs).await,
        }
    }

    async fn connect_anew(cx: &Context, inputs: &Inputs) -> Result<Self> {
        if inputs.schema.is_empty() || inputs.schema.contains('\0') {
            return Err(Error::input(
                "/schema",
                "the schema can't be empty or have a NUL character in it",
            )
            .hint("leave it out for \"nixops4\""));
        }
        let at = &inputs.connection;
        let mut target = at.login().target(cx).await?;
        let limit = CONNECT_TIMEOUT.min(cx.time_left());
        let Ok(opened) = tokio::time::timeout(limit, open(&mut target)).await else {
            return Err(at
                .login()
                .no_answer(limit)
                .hint("see that the address is right, and that the server is not too busy"));
        };
        let (session, settled) = opened.map_err(|error| match error {
            Opening::Connecting(failure) => connecting(at, &failure),
            Opening::Asking(error) => stating(at, "open", &error),
        })?;
        let lift = |name: &String| format!("SET LOCAL {name} = 0; ");
        Ok(Self {
            session,
            inputs: inputs.clone(),
            schema: format!("\"{}\"", inputs.schema.replace('"', "\"\"")),
            lifts_timeouts: settled.timeouts.iter().map(lift).collect(),
            is_standby: settled.is_standby,
            begun: false,
            checked: false,
            was_kept: false,
        })
    }

    /// Keeps the connection for the next request; not if anything failed.
    pub(super) fn keep(self, cx: &Context, inputs: &Inputs) {
        let kept = cx.connections::<Kept>();
        kept.0.borrow_mut().insert(inputs.clone(), self);
    }

    /// Refuses tables of another version; says whether there are any.
    pub(super) async fn check_version(&mut self, missing: Missing) -> Result<bool> {
        if self.checked {
            return Ok(true);
        }
        self.begin_reading().await?;
        let version = self.version().await?;
        self.commit().await?;
        let current = latest();
        match version {
            Some(version) if version == current => {
                self.checked = true;
                Ok(true)
            }
            Some(version) if version > current => Err(Error::input(
                "/schema",
                format!(
                    "the schema {:?} was written by a newer version of this provider (format \
                     {version}, this one knows {current})",
                    self.inputs.schema
                ),
            )
            .hint("upgrade nixops4-resources-state")),
            Some(_) if missing == Missing::Allow => Ok(true),
            None if missing == Missing::Allow => Ok(false),
            Some(_) => Err(self
                .nothing_there("has the tables of an older version")
                .hint("apply once, which brings them up to date")),
            None => Err(self
                .nothing_there("has no state in it")
                .hint("apply first, or see that database and schema are right")),
        }
    }

    fn nothing_there(&self, what: &str) -> Error {
        let at = &self.inputs.connection;
        Error::input(
            "/schema",
            format!(
                "the schema {:?} of the database {:?} at {at} {what}",
                self.inputs.schema, at.database
            ),
        )
    }

    /// The version of the tables, if there are any. Within a transaction.
    async fn version(&mut self) -> Result<Option<i64>> {
        let there: bool = self
            .one(query("SELECT to_regclass('event_format') IS NOT NULL"))
            .await?;
        if !there {
            return Ok(None);
        }
        self.one(query("SELECT max(version) FROM event_format"))
            .await
            .map(Some)
    }

    /// Makes the tables and the deployment's first event.
    pub(super) async fn make(&mut self) -> Result<()> {
        self.check_version(Missing::Allow).await?;
        if !self.checked {
            self.migrate().await?;
        }
        if !self.has_begun().await? {
            // Somebody else may be quicker: then it is begun as well.
            self.begin_writing().await?;
            let first = Event::first();
            if self.try_insert(&first).await? == Insertion::Done {
                self.commit().await?;
            }
        }
        Ok(())
    }

    async fn migrate(&mut self) -> Result<()> {
        self.begin_writing().await?;
        // Until the end of this transaction; for who makes tables, nobody else.
        let lock = query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0)) IS NOT NULL");
        let key = format!("nixops4-resources-state {}", self.inputs.schema);
        let _: bool = self.one(lock.bind(key)).await?;
        let there: bool = self
            .one(query("SELECT to_regnamespace($1) IS NOT NULL").bind(self.schema.clone()))
            .await?;
        if !there {
            self.run("make", format!("CREATE SCHEMA {}", self.schema))
                .await?;
        }
        let version = self.version().await?.unwrap_or(0);
        for (step, statements) in (1_i64..).zip(MIGRATIONS) {
            if step > version {
                self.run("make", (*statements).to_owned()).await?;
                self.run("make", format!("UPDATE event_format SET version = {step}"))
                    .await?;
            }
        }
        self.commit().await?;
        self.checked = true;
        Ok(())
    }

    /// Fails if it can't be written to.
    pub(super) async fn prove_writable(&mut self) -> Result<()> {
        self.begin_writing().await?;
        // What is rolled back needs the same rights as what isn't.
        if self.try_insert(&Event::probe()).await? == Insertion::Done {
            self.roll_back().await?;
        }
        Ok(())
    }

    /// Whether the deployment has an event.
    pub(super) async fn has_begun(&mut self) -> Result<bool> {
        self.begin_reading().await?;
        let begun = query(table::HAS_BEGUN).bind(self.deployment());
        let begun = self.one(begun).await?;
        self.commit().await?;
        Ok(begun)
    }

    fn deployment(&self) -> String {
        self.inputs.deployment.as_str().to_owned()
    }

    /// Inserts within the transaction; ends it if the place is taken.
    async fn try_insert(&mut self, event: &Event) -> Result<Insertion> {
        let inserted = query(table::INSERT)
            .bind(self.deployment())
            .bind(event.index)
            .bind(event.time.clone())
            .bind(event.writer.clone().unwrap_or_default())
            .bind(event.operation.clone())
            .bind(event.version.clone().unwrap_or_default())
            .bind(table::written(&event.patch)?)
            .execute(&mut self.session.connection)
            .await;
        match inserted {
            Ok(_) => Ok(Insertion::Done),
            Err(error) if is_taken(&error) => {
                self.roll_back().await?;
                Ok(Insertion::Taken)
            }
            Err(error) => Err(self.explain("write", &error)),
        }
    }

    /// Looks, by a new connection, what became of an event whose commit was not
    /// answered.
    async fn look_for(&mut self, cx: &Context, event: &Event) -> Result<Insertion> {
        let inputs = self.inputs.clone();
        *self = Self::connect_anew(cx, &inputs).await?;
        let mut is_ours = false;
        let mut take = |found| {
            is_ours = found == *event;
            Ok(())
        };
        self.each(event.index, 1, &mut take).await?;
        Ok(if is_ours {
            Insertion::Done
        } else {
            Insertion::Taken
        })
    }

    async fn one<T>(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        let row: sqlx::Result<PgRow> = query.fetch_one(&mut self.session.connection).await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| self.explain("read", &error))
    }

    async fn begin_writing(&mut self) -> Result<()> {
        // It may have been promoted since.
        if self.is_standby {
            self.is_standby = self.one(query("SELECT pg_is_in_recovery()")).await?;
        }
        if self.is_standby {
            let at = &self.inputs.connection;
            return Err(Error::input(
                "/connection",
                format!("the server at {at} is a standby (in recovery), and can only be read"),
            )
            .hint("point connection at the primary, which this one follows"));
        }
        self.begin_with("ISOLATION LEVEL READ COMMITTED READ WRITE")
            .await
    }

    async fn begin_reading(&mut self) -> Result<()> {
        self.begin_with("ISOLATION LEVEL READ COMMITTED READ ONLY")
            .await
    }

    /// Whatever the role's own settings are, what is committed stays.
    async fn begin_with(&mut self, mode: &str) -> Result<()> {
        let begin = format!(
            "BEGIN {mode}; {}SET LOCAL search_path = {}, pg_temp;
             SET LOCAL client_min_messages = warning;
             SELECT set_config('synchronous_commit', 'on', true)
             WHERE current_setting('synchronous_commit') = 'off'",
            self.lifts_timeouts, self.schema
        );
        self.run("open", begin).await?;
        self.begun = true;
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.begun = false;
        self.run("write", "COMMIT".to_owned()).await
    }

    async fn roll_back(&mut self) -> Result<()> {
        self.begun = false;
        self.run("write", "ROLLBACK".to_owned()).await
    }

    async fn run(&mut self, doing: &str, statements: String) -> Result<()> {
        // Of what comes from outside only the schema is in it, quoted.
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut self.session.connection)
            .await
            .map_err(|error| self.explain(doing, &error))?;
        Ok(())
    }

    fn explain(&self, doing: &str, error: &sqlx::Error) -> Error {
        stating(&self.inputs.connection, doing, error)
    }
}

fn query(statement: &'static str) -> Query<'static, Postgres, PgArguments> {
    // A statement that is kept would be kept in a session that may be another's
    // next.
    sqlx::query(statement).persistent(false)
}

fn latest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

impl Log for Database {
    async fn each(
        &mut self,
        from: i64,
        limit: i64,
        take: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let reads_only = !self.begun;
        if reads_only {
            self.begin_reading().await?;
        }
        let unreadable = |error: sqlx::Error| stating(&self.inputs.connection, "read", &error);
        {
            let mut rows = query(table::SINCE)
                .bind(self.inputs.deployment.as_str())
                .bind(from)
                .bind(limit)
                .fetch(&mut self.session.connection);
            while let Some(row) = rows.try_next().await.map_err(unreadable)? {
                let event = table::event(&row).map_err(unreadable)?;
                drop(row);
                take(event)?;
            }
        }
        if reads_only {
            self.commit().await?;
        }
        Ok(())
    }

    async fn fitting(&mut self, from: i64, limit: i64, bytes: i64) -> Result<i64> {
        self.begin_reading().await?;
        let lengths: sqlx::Result<Vec<PgRow>> = query(table::LENGTHS)
            .bind(self.deployment())
            .bind(from)
            .bind(limit)
            .fetch_all(&mut self.session.connection)
            .await;
        let lengths = lengths.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        let lengths: Vec<i64> = lengths.map_err(|error| self.explain("read", &error))?;
        self.commit().await?;
        Ok(first_of(lengths, bytes))
    }

    async fn length(&mut self) -> Result<i64> {
        self.begin_reading().await?;
        let length = query(table::LENGTH).bind(self.deployment());
        let length = self.one(length).await?;
        self.commit().await?;
        Ok(length)
    }

    async fn begin(&mut self, cx: &Context) -> Result<()> {
        let begun = self.begin_writing().await;
        match begun {
            // A connection that was kept can be gone; nothing was asked of it yet.
            Err(error) if self.was_kept && error.may_retry() == Retry::Briefly => {
                let inputs = self.inputs.clone();
                *self = Self {
                    checked: self.checked,
                    ..Self::connect_anew(cx, &inputs).await?
                };
                self.begin_writing().await
            }
            begun => begun,
        }
    }

    async fn insert(&mut self, cx: &Context, event: &Event) -> Result<Insertion> {
        let inserted = self.try_insert(event).await?;
        if inserted == Insertion::Taken {
            return Ok(inserted);
        }
        cx.failpoint("state:inserted");
        self.begun = false;
        let committed = sqlx::raw_sql("COMMIT")
            .execute(&mut self.session.connection)
            .await;
        let found = match committed {
            Ok(_) => Insertion::Done,
            Err(error) if is_lost(&error) => {
                let unknown = self.explain("write", &error);
                self.look_for(cx, event).await.map_err(|_| {
                    unknown.retry(Retry::Never).hint(
                        "whether this event was written is not known; the next apply finds out",
                    )
                })?
            }
            Err(error) => return Err(self.explain("write", &error)),
        };
        cx.failpoint("state:committed");
        Ok(found)
    }

    fn no_state(&self) -> Error {
        let at = &self.inputs.connection;
        Error::input(
            "/deployment",
            format!(
                "the database {:?} at {at} has no state of {:?}",
                at.database,
                self.inputs.deployment.as_str()
            ),
        )
        .hint("apply first, or see that the name of the deployment is right")
    }
}
