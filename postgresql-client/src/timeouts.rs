//! Limits of time that a role or a database sets, and that strike who works in it.

use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::sqlstate::Meaning;
use crate::target::Target;

/// A limit that has struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// `statement_timeout`; the same code says that somebody has cancelled it.
    Statement,
    /// `lock_timeout`.
    Lock,
    /// `idle_in_transaction_session_timeout`.
    IdleInTransaction,
    /// `transaction_timeout`, from PostgreSQL 17 on.
    Transaction,
    /// `idle_session_timeout`.
    IdleSession,
}

impl Timeout {
    pub(crate) fn of(code: &str) -> Option<Self> {
        Some(match code {
            "57014" => Self::Statement,
            "55P03" => Self::Lock,
            "25P03" => Self::IdleInTransaction,
            "25P04" => Self::Transaction,
            "57P05" => Self::IdleSession,
            _ => return None,
        })
    }

    /// What the setting is called.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Statement => "statement_timeout",
            Self::Lock => "lock_timeout",
            Self::IdleInTransaction => "idle_in_transaction_session_timeout",
            Self::Transaction => "transaction_timeout",
            Self::IdleSession => "idle_session_timeout",
        }
    }

    /// What to do about it, and how to see who sets it.
    #[must_use]
    pub fn hint(self) -> String {
        let setting = self.setting();
        // The code is the same.
        let cancelled = match self {
            Self::Statement => "somebody has cancelled it (pg_cancel_backend), or ",
            _ => "",
        };
        format!(
            "{cancelled}{setting} has struck, which is lifted where that is possible: see in \
             pg_db_role_setting whether the database or the role sets it, and take it back with \
             ALTER DATABASE ... RESET {setting} or ALTER ROLE ... RESET {setting}; a pooler in \
             between keeps it from being lifted unless its ignore_startup_parameters say otherwise"
        )
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.setting())
    }
}

/// The libraries that whoever connects has to load. A database's owner can name one
/// that is not there, or may not be loaded, and nobody gets in.
const LIBRARIES: &str = "local_preload_libraries";

/// What is lifted of what a role or a database sets, since it ends sessions before
/// they can lift it themselves: the next one begins without.
#[derive(Debug)]
pub struct Lifted<E> {
    settings: Vec<&'static str>,
    ended_by: Option<E>,
}

impl<E> Default for Lifted<E> {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            ended_by: None,
        }
    }
}

impl<E> Lifted<E> {
    /// Has the next session begin without what has ended this one: `meaning` is what
    /// the server said. Fails with the error to tell if nothing more can be done.
    pub fn lift(
        &mut self,
        target: &mut Target,
        error: E,
        meaning: Option<Meaning>,
    ) -> Result<(), E> {
        let (setting, value) = match meaning {
            Some(Meaning::Struck(timeout)) => (timeout.setting(), "0"),
            // The second is said of a library that may not be loaded, too.
            Some(Meaning::NoFile | Meaning::Denied) => (LIBRARIES, ""),
            // A pooler that doesn't take the setting: what came before says more.
            Some(Meaning::BadStartup) => return Err(self.ended_by.take().unwrap_or(error)),
            _ => return Err(error),
        };
        if self.settings.contains(&setting) {
            return Err(error);
        }
        target.set(setting, value);
        self.settings.push(setting);
        self.ended_by = Some(error);
        Ok(())
    }
}

/// What is known of a session, once it holds.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Whether something between us and the server keeps sessions for us.
    pub is_pooled: bool,
    /// Whether the server is a standby, which can only be read.
    pub is_standby: bool,
    /// The names of all limits of time that the server has.
    pub timeouts: Vec<String>,
}

/// The rows of `pg_settings` that are limits of time which may be lifted, whatever
/// the server's version calls them. What somebody has asked for when the session
/// began is theirs. A name with a dot is an extension's, and may mean anything.
macro_rules! limits {
    () => {
        "pg_catalog.pg_settings WHERE name LIKE '%timeout' AND name NOT LIKE '%.%' \
         AND min_val = '0' AND source <> 'client' AND (context = 'user' \
         OR context = 'superuser' AND pg_catalog.has_parameter_privilege(name, 'SET'))"
    };
}

/// A statement that lifts all limits of time, for a session that is ours alone.
pub const LIFT_TIMEOUTS: &str = concat!(
    "SELECT pg_catalog.set_config(name, '0', false) FROM ",
    limits!()
);

/// Lifts all limits of time, for the session if it is ours alone. A session that a
/// pooler keeps may be another's next: there only whoever is in a transaction lifts
/// them for it. `application` is what the session began with.
pub async fn settle(connection: &mut PgConnection, application: &str) -> sqlx::Result<Settled> {
    let application = application.replace('\\', r"\\").replace('\'', "''");
    // Who is connected directly has sent the name of the application when the session
    // began, so that is its default; a pooler says it by SET, later.
    let question = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL search_path = pg_catalog;
         SET LOCAL application_name TO DEFAULT;
         SELECT name, is_pooled, pg_is_in_recovery(), set_config(name, '0', is_pooled)
         FROM (SELECT name, current_setting('application_name') <> E'{application}' AS is_pooled
               FROM {}) AS limits;
         COMMIT",
        limits!()
    );
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(question))
        .fetch_all(connection)
        .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let timeouts = rows.iter().map(name).collect::<sqlx::Result<_>>()?;
    Ok(Settled {
        is_pooled: first.try_get(1)?,
        is_standby: first.try_get(2)?,
        timeouts,
    })
}

fn name(row: &PgRow) -> sqlx::Result<String> {
    row.try_get(0)
}
