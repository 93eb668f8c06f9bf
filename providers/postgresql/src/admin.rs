//! What the connecting role may do.
//!
//! A superuser may do everything. An administrator with CREATEROLE and CREATEDB
//! may change what another role owns only as a member of that role; `assume`
//! makes it one for the length of a transaction.

use nixops4_provider_sdk::Result;

use crate::assume::{Assumed, For, assume};
use crate::failure;
use crate::name::Name;
use crate::server::{Server, column};

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
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE {condition} AND pid <> pg_backend_pid()
           AND (pg_has_role(usesysid, 'USAGE')
                OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = usesysid)
                   AND pg_has_role('pg_signal_backend', 'USAGE'))"
    )
}
