//! Acting for the owner of a thing, as an administrator who is no superuser.
//!
//! Such an administrator makes itself a member of the owner for one transaction:
//! nobody else ever sees that, and nothing of it stays. It must not know any kind.

use std::fmt::Write as _;

use nixops4_provider_sdk::Result;
use sqlx::postgres::PgConnection;

use crate::failure;
use crate::name::Name;
use crate::server::column;
use crate::sql::Ident;

/// Which roles to act for.
pub(crate) struct For<'a> {
    /// By name; those that aren't there are passed over.
    pub(crate) roles: &'a [&'a str],
    /// The owner of the database that is connected to.
    pub(crate) database_owner: bool,
}

/// What stands before and after the statements of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Assumed {
    before: String,
    after: String,
}

/// The roles of `$1` whose privileges the current user lacks, or that it can't
/// become, and could give itself: superusers never have any.
const LACKING: &str = "
    WITH me AS (
        SELECT oid, rolname, rolcreaterole,
               current_setting('server_version_num')::int4 >= 160000 AS per_grantor
        FROM pg_roles WHERE rolname = current_user)
    SELECT r.rolname::text, me.rolname::text, me.per_grantor,
           (SELECT format('INHERIT %s, SET %s', to_jsonb(m) ->> 'inherit_option',
                          to_jsonb(m) ->> 'set_option')
            FROM pg_auth_members m
            WHERE m.roleid = r.oid AND m.member = me.oid AND m.grantor = me.oid)
    FROM pg_roles r, me
    WHERE (r.rolname = ANY ($1) OR
           $2 AND r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database()))
      -- Its only member is the owner of the database, without being told so.
      AND r.rolname <> 'pg_database_owner'
      AND NOT (pg_has_role(r.oid, 'USAGE') AND
               pg_has_role(r.oid, CASE WHEN me.per_grantor THEN 'SET' ELSE 'MEMBER' END))
      AND CASE WHEN me.per_grantor THEN pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
               ELSE me.rolcreaterole AND NOT r.rolsuper AND NOT pg_has_role(r.oid, 'MEMBER') END
    ORDER BY r.rolname";

/// Says what it takes to act for these roles. Where that can't be had, it is left
/// out, and the server's own error tells what is missing.
pub(crate) async fn assume(connection: &mut PgConnection, whom: &For<'_>) -> Result<Assumed> {
    let rows = sqlx::query(LACKING)
        .bind(whom.roles)
        .bind(whom.database_owner)
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating("unable to see which roles can be acted for", &error))?;
    let mut assumed = Assumed::default();
    for row in &rows {
        let name = |at| column::<String>(row, at).and_then(Name::of_server);
        let (role, me) = (name(0)?, name(1)?);
        let (role, me) = (Ident(&role), Ident(&me));
        let options = if column(row, 2)? {
            " WITH INHERIT TRUE, SET TRUE"
        } else {
            ""
        };
        let _ = write!(assumed.before, "GRANT {role} TO {me}{options}; ");
        let _ = match column::<Option<String>>(row, 3)? {
            Some(former) => write!(assumed.after, "; GRANT {role} TO {me} WITH {former}"),
            None => write!(assumed.after, "; REVOKE {role} FROM {me}"),
        };
    }
    Ok(assumed)
}

impl Assumed {
    /// The statements, to be run in one transaction.
    pub(crate) fn around(&self, statements: &str) -> String {
        format!("{}{statements}{}", self.before, self.after)
    }

    /// What has to stand before them, where they aren't put together at once.
    pub(crate) fn before(&self) -> &str {
        &self.before
    }

    /// What has to stand after them.
    pub(crate) fn after(&self) -> &str {
        &self.after
    }
}
