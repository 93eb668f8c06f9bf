//! The table of events, the same in every database: the statements that SQLite
//! and PostgreSQL both understand.

use json_patch::Patch;
use nixops4_protocol::state;
use nixops4_provider_sdk::{Error, Result};
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::log::Event;

/// Appends: deployment, index, time, writer, operation, version, patch.
pub(crate) const INSERT: &str =
    "INSERT INTO event (deployment, position, time, writer, event, nixops_version, patch)
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Of a deployment ($1), from an index ($2) on, some ($3) at most.
pub(crate) const SINCE: &str =
    "SELECT position, time, writer, event, nixops_version, patch FROM event
     WHERE deployment = $1 AND position >= $2 ORDER BY position LIMIT $3";

/// How large the patches of the same are, in bytes.
pub(crate) const LENGTHS: &str = "SELECT CAST(octet_length(patch) AS bigint) FROM event
     WHERE deployment = $1 AND position >= $2 ORDER BY position LIMIT $3";

/// Whether a deployment ($1) has an event.
pub(crate) const HAS_BEGUN: &str = "SELECT EXISTS (SELECT 1 FROM event WHERE deployment = $1)";

/// How many events a deployment ($1) has.
pub(crate) const LENGTH: &str = "SELECT count(*) FROM event WHERE deployment = $1";

/// A patch as it is kept.
pub(crate) fn written(patch: &Patch) -> Result<String> {
    serde_json::to_string(patch)
        .map_err(|error| Error::new("unable to write the event down").because(error))
}

/// An event from a row of [`SINCE`].
pub(crate) fn event<'r, R: Row>(row: &'r R) -> sqlx::Result<Event>
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    let patch =
        state::read_patch(row.try_get(5)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Event {
        index: row.try_get(0)?,
        time: row.try_get(1)?,
        writer: Some(row.try_get(2)?),
        operation: row.try_get(3)?,
        version: Some(row.try_get(4)?),
        patch,
    })
}
