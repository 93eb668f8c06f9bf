//! What the codes of PostgreSQL mean (appendix A of its manual). Its messages come
//! in many languages, and are only there to be shown.

use sqlx::postgres::PgDatabaseError;

use crate::timeouts::Timeout;

/// What a code means, as far as somebody acts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// The password is wrong, or there is no such role.
    WrongPassword,
    /// `pg_hba.conf` lets nobody in like that.
    NotAdmitted,
    /// There is no such database.
    NoDatabase,
    /// The database lets nobody in.
    Closed,
    /// `max_connections` is used up.
    Full,
    /// It is starting, stopping or recovering.
    Starting,
    /// It is ending, or the connection to it was lost.
    GoingAway,
    /// A pooler or server doesn't take how the session begins.
    BadStartup,
    /// A limit of time has struck.
    Struck(Timeout),
    /// It can only be read: a standby.
    ReadOnly,
    /// A file is not there, such as a library.
    NoFile,
    /// Who asks may not do it.
    Denied,
    /// Others work on the same things.
    Conflict,
    /// Something else.
    Other,
}

impl Meaning {
    /// What a code means.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code {
            "28P01" => Self::WrongPassword,
            "28000" => Self::NotAdmitted,
            "3D000" => Self::NoDatabase,
            "55000" => Self::Closed,
            "53300" => Self::Full,
            "57P03" => Self::Starting,
            "57P01" | "57P02" => Self::GoingAway,
            "08P01" => Self::BadStartup,
            "25006" => Self::ReadOnly,
            "58P01" => Self::NoFile,
            "42501" => Self::Denied,
            "40001" | "40P01" => Self::Conflict,
            code if code.starts_with("08") => Self::GoingAway,
            code => Timeout::of(code).map_or(Self::Other, Self::Struck),
        }
    }

    /// What an error of a statement means; `None` if no server said anything.
    #[must_use]
    pub fn of_statement(error: &sqlx::Error) -> Option<Self> {
        code(error).map(Self::of)
    }

    /// Whether the server is stopping, or the connection is lost.
    #[must_use]
    pub fn is_going_away(self) -> bool {
        matches!(self, Self::Starting | Self::GoingAway | Self::BadStartup)
    }
}

/// The SQLSTATE of a statement's error, if a server said it.
#[must_use]
pub fn code(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    error
        .try_downcast_ref::<PgDatabaseError>()
        .map(PgDatabaseError::code)
}

/// The innermost error: the outer ones only say that something failed.
#[must_use]
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
