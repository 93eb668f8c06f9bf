//! Finding an owner's tenants.

use nixops4_provider_sdk::{Context, Found, Mark, Object, Result};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use crate::connection::Connection;
use crate::database;
use crate::failure;
use crate::server::{column, on_server};
use crate::witness::{self, Witness};

/// Marked databases with their owners, and marked roles that own none of them:
/// what is left of a tenant that was made or dropped by halves is found, too. So is a
/// database that isn't ready: it is the administrator's, who is no part of it, so that the
/// role is called as the database is, and there is none.
const MARKED: &str = "
    WITH roles AS (
        SELECT oid, rolname, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles),
    databases AS (
        SELECT d.oid, d.datname, d.datdba, o.rolname, shobj_description(d.oid, 'pg_database') AS comment,
               WITNESSES AS witnesses
        FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba)
    SELECT coalesce(r.rolname,
                    CASE WHEN starts_with(d.datname, $2) THEN d.datname ELSE d.rolname END)::text,
           d.datname::text, coalesce(d.comment, r.comment),
           r.oid::int8, d.oid::int8,
           CASE WHEN has_database_privilege(d.oid, 'CONNECT')
                  OR pg_has_role('pg_read_all_stats', 'USAGE')
                THEN pg_database_size(d.oid) END,
           coalesce(d.witnesses, '{}')
    FROM (SELECT * FROM roles WHERE position($1 IN comment) > 0) r
    FULL JOIN (SELECT * FROM databases
               WHERE position($1 IN concat(comment, array_to_string(witnesses, ' '))) > 0
                  OR comment IS NULL AND starts_with(datname, $2)) d ON d.datdba = r.oid
    ORDER BY 1, 2";

/// Every tenant that carries this owner's mark.
pub(super) async fn list(cx: &Context, at: &Connection) -> Result<Vec<Found>> {
    let ours = cx.mark();
    let rows = on_server(cx, at, None, async |server| {
        let question = MARKED.replace("WITNESSES", &witness::of_database("d.oid"));
        sqlx::query(AssertSqlSafe(question))
            .bind(ours.trace())
            .bind(database::staging_prefix(&ours.owner))
            .fetch_all(&mut server.connection)
            .await
            .map_err(|error| failure::stating("unable to list the tenants", &error))
    })
    .await?;
    let found = rows.iter().map(|row| read(row, at, &ours));
    found.filter_map(Result::transpose).collect()
}

fn read(row: &PgRow, at: &Connection, ours: &Mark) -> Result<Option<Found>> {
    let comment: Option<String> = column(row, 2)?;
    let witness = Witness::of_database(&column::<Vec<String>>(row, 6)?, false);
    let unready = comment.is_none().then(|| ours.clone());
    let whose = witness.ownership(comment.as_deref(), unready);
    let Some(mark) = whose.mark().filter(|mark| mark.is_of_same(ours)).cloned() else {
        return Ok(None);
    };
    let (role, database): (String, Option<String>) = (column(row, 0)?, column(row, 1)?);
    let mut identity = Object::new();
    identity.insert("server".to_owned(), at.to_string().into());
    identity.insert("role".to_owned(), role.into());
    identity.insert("database".to_owned(), database.into());
    let mut facts = Object::new();
    for (position, name) in [(3, "roleOid"), (4, "databaseOid"), (5, "bytes")] {
        facts.insert(
            name.to_owned(),
            column::<Option<i64>>(row, position)?.into(),
        );
    }
    Ok(Some(Found {
        identity: identity.into(),
        mark,
        facts,
    }))
}
