//! What a failure means to whoever runs the deployment, by SQLSTATE
//! (PostgreSQL's appendix A).

use nixops4_provider_sdk::{Error, Retry};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::connection::Connection;

/// Explains why the server could not be connected to.
pub(crate) fn connecting(at: &Connection, error: &sqlx::Error) -> Error {
    let unable = Error::new(format!(
        "unable to connect to PostgreSQL at {at} as {:?}",
        at.user.as_str()
    ));
    let Some(server) = error.as_database_error() else {
        return not_reached(at, error, unable);
    };
    let unable = unable.because(server.message());
    match code(server) {
        "28P01" => match at.password {
            Some(_) => unable.at("/connection/password").hint(
                "the server refuses this password; see that the reference leads to the right one",
            ),
            None => unable
                .at("/connection/password")
                .hint("the server asks for a password; set connection.password to a reference"),
        },
        "28000" => unable.at("/connection").hint(
            "the server's pg_hba.conf lets this role in from elsewhere, or with TLS only; see \
             connection.tls.mode, connection.user and that file",
        ),
        "3D000" => unable
            .at("/connection/database")
            .hint("set connection.database to one that is there, such as \"postgres\""),
        // It is closed, as a retained one is.
        "55000" => unable
            .at("/connection/database")
            .hint("open it again with allowConnections = true, or by declaring what was retained"),
        "53300" => unable
            .hint("the server's max_connections is used up; it was tried until the time was over")
            .retry(Retry::UntilDeadline),
        // It is there, and says that it is starting, stopping or recovering.
        "57P03" => unable
            .hint("it was tried until the time was over; see in the server's log what it waits for")
            .retry(Retry::UntilDeadline),
        code if is_going_away(code) => unable
            .hint("the server is starting or stopping; apply again when it is up")
            .retry(Retry::Briefly),
        _ => unable.at("/connection"),
    }
}

fn not_reached(at: &Connection, error: &sqlx::Error, unable: Error) -> Error {
    let unable = unable.because(root_cause(error)).at("/connection");
    match error {
        // A handshake that fails is told as data that can't be read.
        error if is_about_tls(error) => unable.at("/connection/tls").hint(
            "set connection.tls.caFile to the authority that signed the server's certificate, or \
             connection.tls.mode to what the server can do",
        ),
        sqlx::Error::Configuration(_) => unable.at("/connection/tls").hint(
            "see that connection.tls.certificateFile and connection.tls.key are a certificate and \
             its key, both in PEM and without a passphrase",
        ),
        sqlx::Error::Io(_) => unable
            .hint(format!(
                "see that the server runs and listens at {at}, and that no firewall is between"
            ))
            .retry(Retry::Briefly),
        sqlx::Error::Protocol(_) => unable
            .hint(format!(
                "see that it is PostgreSQL that listens at {at}; one that crashes may answer like \
                 this too"
            ))
            .retry(Retry::Briefly),
        _ => unable,
    }
}

fn is_about_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// The innermost error: the outer ones only say that something failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

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
        code if is_going_away(code) => unable
            .hint("the server is starting or stopping; apply again when it is up")
            .retry(Retry::Briefly),
        _ => unable,
    }
}

fn code(error: &dyn DatabaseError) -> &str {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .map(PgDatabaseError::code)
        .unwrap_or_default()
}

fn is_going_away(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03") || code.starts_with("08")
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
