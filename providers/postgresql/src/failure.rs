//! What a failure means to whoever runs the deployment, by SQLSTATE
//! (PostgreSQL's appendix A).

use nixops4_provider_sdk::postgresql::client::{Meaning, root_cause};
use nixops4_provider_sdk::{Error, Retry};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

// What a kind tells apart itself.

/// Something depends on what was to be dropped, or on a privilege.
pub(crate) const DEPENDENT_OBJECTS: &str = "2BP01";
/// A grant that makes a circle.
pub(crate) const INVALID_GRANT: &str = "0LP01";
pub(crate) const UNDEFINED_DATABASE: &str = "3D000";
pub(crate) const UNDEFINED_SCHEMA: &str = "3F000";
pub(crate) const NOT_SUPPORTED: &str = "0A000";
pub(crate) const INVALID_PARAMETER: &str = "22023";
pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";
pub(crate) const SYNTAX_ERROR: &str = "42601";
pub(crate) const UNDEFINED_OBJECT: &str = "42704";
pub(crate) const WRONG_OBJECT_TYPE: &str = "42809";
pub(crate) const INVALID_DEFINITION: &str = "42P17";
pub(crate) const NOT_IN_STATE: &str = "55000";
pub(crate) const OBJECT_IN_USE: &str = "55006";

/// Whether a thing of that name is there already.
fn is_duplicate(code: &str) -> bool {
    matches!(code, "42710" | "42P04" | "42P06" | "23505")
}

/// A rename that failed: that the new name is taken doesn't pass by waiting.
pub(crate) fn taken_name(error: Error) -> Error {
    match error.code() {
        Some(code) if is_duplicate(code) => error
            .hint("choose another name, or remove what has this one")
            .retry(Retry::Never),
        _ => error,
    }
}

/// Explains why a statement failed. `doing` is "unable to ACTION THING".
pub(crate) fn stating(doing: &str, error: &sqlx::Error) -> Error {
    let unable = Error::new(doing);
    let Some(server) = error.as_database_error() else {
        let lost = matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_));
        let retry = if lost { Retry::Briefly } else { Retry::Never };
        return unable
            .because(root_cause(error))
            .hint("the connection to the server was lost; apply again when it is up")
            .retry(retry);
    };
    let unable = unable.because(with_detail(server)).coded(code(server));
    match code(server) {
        // Serialization failure, deadlock, and what PostgreSQL calls an internal
        // error: "tuple concurrently updated".
        "40001" | "40P01" | "XX000" => unable
            .hint("the server is busy with the same objects; apply again")
            .retry(Retry::UntilDeadline),
        // Somebody was quicker; looking again tells whose it is.
        code if is_duplicate(code) => unable
            .at("/name")
            .hint("somebody else makes things of this name at the same time")
            .retry(Retry::UntilDeadline),
        "55006" => unable
            .hint("see in pg_stat_activity who is connected to it, and let them go")
            .retry(Retry::Briefly),
        "42501" => unable
            .at("/connection/user")
            .hint("log in as a superuser, or as a role that has been granted what this needs"),
        "42704" => unable.hint("declare what is missing, and use its `name` output here"),
        "0LP01" => unable.hint(
            "roles can't be members of each other, not through others either, nor grant back what \
             they were granted; take one of these memberships out",
        ),
        "3D000" => {
            unable.hint("declare the database that is missing, and use its `name` output here")
        }
        "55P03" => unable
            .hint("somebody holds a lock on the same thing; see pg_locks for who it is")
            .retry(Retry::UntilDeadline),
        "2BP01" => unable.hint(
            "something still belongs to it or is granted to it: in each database named above run \
             REASSIGN OWNED and DROP OWNED for it, or set deletionPolicy = \"retain\"",
        ),
        // Our sessions lift what keeps them from writing, but for this.
        "25006" => unable.at("/connection").hint(
            "this server is a standby (in recovery), which follows another one and can't be changed; \
             point connection at the primary",
        ),
        code => match Meaning::of(code) {
            Meaning::Struck(timeout) => unable.hint(timeout.hint()),
            meaning if meaning.is_going_away() => unable
                .hint("the server is starting or stopping; apply again when it is up")
                .retry(Retry::Briefly),
            _ => unable,
        },
    }
}

fn code(error: &dyn DatabaseError) -> &str {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .map(PgDatabaseError::code)
        .unwrap_or_default()
}

fn with_detail(error: &dyn DatabaseError) -> String {
    let detail = error
        .try_downcast_ref::<PgDatabaseError>()
        .and_then(PgDatabaseError::detail);
    match detail {
        Some(detail) => format!("{} ({detail})", error.message()),
        None => error.message().to_owned(),
    }
}
