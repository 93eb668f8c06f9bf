//! What a failure of the server means to whoever runs the deployment, by
//! SQLSTATE (PostgreSQL's appendix A).

use nixops4_provider_sdk::postgresql::client::{Failure, Meaning, code, root_cause};
use nixops4_provider_sdk::{Error, Retry};

use super::connection::Connection;

/// Explains why the server could not be connected to.
pub(super) fn connecting(at: &Connection, failure: &Failure) -> Error {
    let unable = at.login().unable(failure);
    match failure.meaning() {
        Some(Meaning::NoDatabase) => {
            unable.hint("make the database first; only what is in it is made here")
        }
        _ => unable,
    }
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
    let (Some(code), Some(server)) = (code(error), error.as_database_error()) else {
        return unable
            .because(root_cause(error))
            .hint("the connection to the server was lost; apply again when it is up")
            .retry(Retry::Briefly);
    };
    let unable = unable.because(server.message());
    match code {
        "42501" => unable.at("/connection/user").hint(
            "let this role own the schema with its tables, or grant it CREATE on the database for \
             the first time and SELECT and INSERT on them from then on",
        ),
        // Each transaction says what it does: so it is no setting that forbids it.
        "25006" => unable.at("/connection").hint(
            "this server has become a standby (in recovery); point connection at the primary",
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
        code => match Meaning::of(code) {
            Meaning::Struck(timeout) => unable.at("/connection").hint(timeout.hint()),
            meaning if meaning.is_going_away() => unable
                .hint("the server is starting or stopping; apply again when it is up")
                .retry(Retry::Briefly),
            _ => unable.at("/connection"),
        },
    }
}

/// Whether a row with that key is there already.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    code(error) == Some("23505")
}

/// Whether it is unknown what became of the statement.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match Meaning::of_statement(error) {
        Some(meaning) => meaning.is_going_away(),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)),
    }
}
