//! What a failure of the server means to whoever runs the deployment, by
//! SQLSTATE (PostgreSQL's appendix A).

use nixops4_provider_sdk::{Error, Retry};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::connection::Connection;

/// Explains why the server could not be connected to.
pub(super) fn connecting(at: &Connection, error: &sqlx::Error) -> Error {
    let unable = Error::input(
        "/connection",
        format!("unable to connect to PostgreSQL at {at} as {:?}", at.user),
    );
    let Some(server) = error.as_database_error() else {
        return not_reached(at, error, unable);
    };
    let unable = unable.because(server.message());
    match code(server) {
        "28P01" if at.password.is_some() => unable.at("/connection/password").hint(
            "the server refuses this password; see that the reference leads to the right one",
        ),
        "28P01" => unable
            .at("/connection/password")
            .hint("the server asks for a password; set connection.password to a reference"),
        "28000" => unable.hint(
            "the server's pg_hba.conf lets this role in from elsewhere, or with TLS only; see \
             connection.tls.mode, connection.user and that file",
        ),
        "3D000" => unable
            .at("/connection/database")
            .hint("make the database first; only what is in it is made here"),
        "53300" => unable
            .hint("the server's max_connections is used up; it was tried until the time was over")
            .retry(Retry::UntilDeadline),
        "57P03" => unable
            .hint("it was tried until the time was over; see in the server's log what it waits for")
            .retry(Retry::UntilDeadline),
        code if is_going_away(code) => unable
            .hint("the server is starting or stopping; apply again when it is up")
            .retry(Retry::Briefly),
        _ => unable,
    }
}

fn not_reached(at: &Connection, error: &sqlx::Error, unable: Error) -> Error {
    let unable = unable.because(root_cause(error));
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

/// Explains why a statement failed. `doing` is the verb: read, write, make.
pub(super) fn stating(at: &Connection, doing: &str, error: &sqlx::Error) -> Error {
    let unable = Error::new(format!(
        "unable to {doing} the state in the database {:?} at {at}",
        at.database
    ));
    if let sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } = error {
        return unable
            .at("/connection/database")
            .because(error)
            .hint("restore the table of events from a backup");
    }
    let Some(server) = error.as_database_error() else {
        return unable
            .because(root_cause(error))
            .hint("the connection to the server was lost; apply again when it is up")
            .retry(Retry::Briefly);
    };
    let unable = unable.because(server.message());
    match code(server) {
        "42501" => unable.at("/connection/user").hint(
            "let this role own the schema with its tables, or grant it CREATE on the database for \
             the first time and SELECT and INSERT on them from then on",
        ),
        // Read-only: a standby, or the role's own setting.
        "25006" => unable.at("/connection").hint(
            "this server or role can only read; connect to the primary, as one that may write",
        ),
        "42939" => unable
            .at("/schema")
            .hint("names that begin with pg_ are the server's own; give another one"),
        "53100" => unable.hint("make room on the server's disk; nothing of this event was written"),
        "40001" | "40P01" => unable
            .hint("the server is busy with the same rows; apply again")
            .retry(Retry::UntilDeadline),
        // Which a pooler that has no transactions says, too.
        "25P01" | "25001" => unable.hint(
            "a pooler with pool_mode = statement can't be used; set it to transaction or session",
        ),
        code if is_going_away(code) => unable
            .hint("the server is starting or stopping; apply again when it is up")
            .retry(Retry::Briefly),
        _ => unable.at("/connection"),
    }
}

/// Whether a row with that key is there already.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| code(error) == "23505")
}

/// Whether it is unknown what became of the statement.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        Some(error) => is_going_away(code(error)),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)),
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
