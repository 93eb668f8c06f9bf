//! A database as the server has it.

use nixops4_provider_sdk::{Observed, Ownership, Result};

use crate::failure;
use crate::name::Name;
use crate::server::{Server, column};
use crate::sql::Ident;

/// A database as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(super) oid: i64,
    pub(super) system_identifier: String,
    pub(super) name: String,
    pub(super) owner_role: String,
    pub(super) encoding: String,
    /// Whether the wanted encoding is another name of the one it has.
    pub(super) has_wanted_encoding: bool,
    pub(super) collate: String,
    pub(super) ctype: String,
    pub(super) connection_limit: i32,
    pub(super) allow_connections: bool,
}

const OBSERVE: &str = "
    SELECT d.oid::int8, d.datname::text, r.rolname::text, pg_encoding_to_char(d.encoding)::text,
           coalesce(pg_char_to_encoding($3) = d.encoding, false), d.datcollate::text,
           d.datctype::text, d.datconnlimit, d.datallowconn,
           shobj_description(d.oid, 'pg_database')
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
    WHERE d.oid = $1::int8::oid OR d.datname = $2
    ORDER BY d.oid = $1::int8::oid DESC
    LIMIT 1";

/// Looks for a database by the id that it was recorded with, then by its name.
pub(super) async fn look_up(
    server: &mut Server,
    oid: Option<i64>,
    name: &Name,
    encoding: Option<&str>,
) -> Result<Option<Observed<Facts>>> {
    let row = sqlx::query(OBSERVE)
        .bind(oid)
        .bind(name.as_str())
        .bind(encoding)
        .fetch_optional(&mut server.connection)
        .await
        .map_err(|error| {
            failure::stating(
                &format!("unable to look up database {}", Ident(name)),
                &error,
            )
        })?;
    let Some(row) = row else { return Ok(None) };
    let facts = Facts {
        oid: column(&row, 0)?,
        system_identifier: server.id.clone(),
        name: column(&row, 1)?,
        owner_role: column(&row, 2)?,
        encoding: column(&row, 3)?,
        has_wanted_encoding: column(&row, 4)?,
        collate: column(&row, 5)?,
        ctype: column(&row, 6)?,
        connection_limit: column(&row, 7)?,
        allow_connections: column(&row, 8)?,
    };
    let comment: Option<String> = column(&row, 9)?;
    Ok(Some(Observed {
        facts,
        ownership: Ownership::from_comment(comment.as_deref()),
    }))
}
