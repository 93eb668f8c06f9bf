//! Roles and their memberships, as the catalog has them.

use nixops4_provider_sdk::Result;
use sqlx::postgres::PgRow;

use crate::failure;
use crate::name::Name;
use crate::server::{Server, column};

/// The two roles, as the catalog has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(super) role: Name,
    pub(super) role_oid: i64,
    pub(super) group: Name,
    pub(super) group_oid: i64,
}

/// What one grantor has granted.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    /// `None` before version 16, where it is only for information.
    pub(super) grantor: Option<Name>,
    pub(super) admin: bool,
    /// `None` before version 16.
    pub(super) inherit: Option<bool>,
    /// `None` before version 16.
    pub(super) set: Option<bool>,
}

const PAIR: &str = "
    SELECT m.rolname::text, m.oid::int8, g.rolname::text, g.oid::int8
    FROM pg_roles m, pg_roles g
    WHERE CASE WHEN $1::int8 IS NULL THEN m.rolname = $2 ELSE m.oid = $1::int8::oid END
      AND CASE WHEN $3::int8 IS NULL THEN g.rolname = $4 ELSE g.oid = $3::int8::oid END";

/// Through JSON, because PostgreSQL 15 has no such columns.
const GRANTS: &str = "
    SELECT CASE WHEN to_jsonb(a) ? 'set_option' THEN r.rolname::text END, a.admin_option,
           (to_jsonb(a) ->> 'inherit_option')::bool, (to_jsonb(a) ->> 'set_option')::bool
    FROM pg_auth_members a LEFT JOIN pg_roles r ON r.oid = a.grantor
    WHERE a.member = $1::int8::oid AND a.roleid = $2::int8::oid
    ORDER BY r.rolname";

/// Both roles, by the object identifier where one is given; `None` where one is missing.
pub(super) async fn pair(
    server: &mut Server,
    (role_oid, role): (Option<i64>, &Name),
    (group_oid, group): (Option<i64>, &Name),
) -> Result<Option<Pair>> {
    let row = sqlx::query(PAIR)
        .bind(role_oid)
        .bind(role.as_str())
        .bind(group_oid)
        .bind(group.as_str())
        .fetch_optional(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to look up the roles of a membership", &error))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Pair {
        role: Name::of_server(column(&row, 0)?)?,
        role_oid: column(&row, 1)?,
        group: Name::of_server(column(&row, 2)?)?,
        group_oid: column(&row, 3)?,
    }))
}

/// What each grantor has granted.
pub(super) async fn grants(server: &mut Server, pair: &Pair) -> Result<Vec<Granted>> {
    let rows = sqlx::query(GRANTS)
        .bind(pair.role_oid)
        .bind(pair.group_oid)
        .fetch_all(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to look up a membership", &error))?;
    let read = |row: &PgRow| {
        let grantor = column::<Option<String>>(row, 0)?
            .map(Name::of_server)
            .transpose()?;
        Ok(Granted {
            grantor,
            admin: column(row, 1)?,
            inherit: column(row, 2)?,
            set: column(row, 3)?,
        })
    };
    rows.iter().map(read).collect()
}
