//! What the connecting role may do.
//!
//! A superuser may do everything. An administrator with CREATEROLE and CREATEDB
//! may change what another role owns only as a member of that role; `assume`
//! makes it one for the length of a transaction.

use nixops4_provider_sdk::{Context, Error, Result};

use crate::assume::{Assumed, For, assume};
use crate::connection::Connection;
use crate::failure;
use crate::name::Name;
use crate::server::{Server, column, on_server};

/// The role that is connected.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) name: Name,
    pub(crate) superuser: bool,
    /// The server's major version.
    pub(crate) version: i32,
}

impl Admin {
    /// Whether a membership has a grantor that counts, and INHERIT and SET
    /// options: from PostgreSQL 16 on.
    pub(crate) fn has_membership_options(&self) -> bool {
        self.version >= 16
    }
}

/// What it takes to act for the owner of a database, and for these roles.
pub(crate) async fn as_owner(
    server: &mut Server,
    database: &Name,
    others: &[&Name],
) -> Result<Assumed> {
    let mut roles: Vec<_> = others.iter().map(|role| role.as_str().to_owned()).collect();
    if !server.admin.superuser {
        roles.extend(owner(server, database).await?);
    }
    let roles: Vec<_> = roles.iter().map(String::as_str).collect();
    acting_for(server, &roles).await
}

/// What it takes to act for these roles.
pub(crate) async fn acting_for(server: &mut Server, roles: &[&str]) -> Result<Assumed> {
    // A superuser acts for everybody: nothing has to be looked up.
    let roles = if server.admin.superuser { &[] } else { roles };
    if roles.is_empty() {
        return Ok(Assumed::default());
    }
    assume(
        &mut server.connection,
        &For {
            roles,
            database_owner: false,
        },
    )
    .await
}

/// As [`acting_for`], and for the owner of the database that is connected to.
pub(crate) async fn acting_here(server: &mut Server, roles: &[&str]) -> Result<Assumed> {
    if server.admin.superuser {
        return Ok(Assumed::default());
    }
    assume(
        &mut server.connection,
        &For {
            roles,
            database_owner: true,
        },
    )
    .await
}

/// Which of these roles aren't there.
pub(crate) async fn absent_roles(server: &mut Server, roles: &[&Name]) -> Result<Vec<String>> {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    sqlx::query_scalar(
        "SELECT name FROM unnest($1::text[]) AS name
         WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)",
    )
    .bind(names)
    .fetch_all(&mut server.connection)
    .await
    .map_err(|error| failure::stating("unable to see which roles there are", &error))
}

/// Points a failure at the input that names a role that isn't there, if that is it. It
/// is asked of the catalog: the server's words are in any language.
pub(crate) async fn blame_absent_role(
    cx: &Context,
    at: &Connection,
    error: Error,
    named: &[(&str, &Name)],
) -> Error {
    if error.code() != Some(failure::UNDEFINED_OBJECT) {
        return error;
    }
    let roles: Vec<_> = named.iter().map(|(_, role)| *role).collect();
    let absent = on_server(cx, at, None, async |server| {
        absent_roles(server, &roles).await
    });
    // Whoever can't be asked leaves it at what failed.
    let absent = absent.await.unwrap_or_default();
    let is_absent = |(_, role): &&(&str, &Name)| absent.iter().any(|name| name == role.as_str());
    match named.iter().find(is_absent) {
        Some((pointer, _)) => error.at(*pointer),
        None => error,
    }
}

async fn owner(server: &mut Server, database: &Name) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT r.rolname::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
         WHERE d.datname = $1",
    )
    .bind(database.as_str())
    .fetch_optional(&mut server.connection)
    .await
    .map_err(|error| failure::stating("unable to see who owns the database", &error))?;
    row.map(|row| column(&row, 0)).transpose()
}

/// A statement that ends the sessions of `pg_stat_activity` for which a condition
/// holds, as far as this role may end them.
pub(crate) fn send_off(condition: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity a
         WHERE {condition} AND pid <> pg_backend_pid() AND {}",
        may_end("a.usesysid")
    )
}

/// A condition of SQL: whether we may end the sessions of the role of this identifier.
pub(crate) fn may_end(role: &str) -> String {
    format!(
        "(pg_has_role({role}, 'USAGE')
          OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = {role})
             AND pg_has_role('pg_signal_backend', 'USAGE'))"
    )
}
