//! A role as the server's catalog has it.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_provider_sdk::{Mark, Observed, Ownership, Result, SecretString};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::attribute::Attribute;
use super::expiry::Expiry;
use super::password::Password;
use crate::name::Name;
use crate::owned::Holdings;
use crate::server::{Server, column};
use crate::sql::Ident;
use crate::{comment, failure, settings, witness};

/// A role.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) oid: i64,
    pub(crate) system_identifier: String,
    /// The name that the server has for it; not the wanted one before a rename.
    pub(crate) name: Name,
    pub(super) attributes: Vec<(Attribute, bool)>,
    pub(super) connection_limit: i32,
    /// `None` for ever.
    pub(super) valid_until: Option<Expiry>,
    pub(super) password: Password,
    /// Of its password, where verifiers can be read.
    pub(super) verifier: Option<SecretString>,
    /// By the roles that it is a member of: who has granted that.
    pub(super) member_of: BTreeMap<String, BTreeSet<String>>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) settings_in_database: BTreeMap<String, BTreeMap<String, String>>,
    /// The whole comment.
    pub(super) comment: Option<String>,
    /// What it owns; only looked up to remove the role.
    pub(super) holdings: Holdings,
}

impl Facts {
    /// The text beside the mark.
    pub(super) fn text(&self) -> String {
        comment::text(self.comment.as_deref().unwrap_or_default())
    }

    /// Whether one can log in as it.
    pub(super) fn logs_in(&self) -> bool {
        self.attributes.contains(&(Attribute::Login, true))
    }
}

/// From PostgreSQL 16 on, whoever makes a role becomes a member of it who may
/// only administer it: that is no membership that anybody declares.
const OBSERVE: &str = "
    r.oid::int8, r.rolname::text, r.rolconnlimit, shobj_description(r.oid, 'pg_authid'),
           r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolinherit,
           r.rolreplication, r.rolbypassrls,
           m.groups, m.grantors, s.databases, s.entries,
           CASE WHEN isfinite(r.rolvaliduntil) THEN floor(extract(epoch FROM r.rolvaliduntil))::int8
                WHEN r.rolvaliduntil = '-infinity' THEN 0 END
    FROM pg_roles r
    LEFT JOIN LATERAL (
        SELECT array_agg(g.rolname::text) AS groups,
               array_agg(coalesce(o.rolname::text, '')) AS grantors
        FROM pg_auth_members m
        JOIN pg_roles g ON g.oid = m.roleid
        LEFT JOIN pg_roles o ON o.oid = m.grantor
        WHERE m.member = r.oid
          AND NOT (m.admin_option
                   AND NOT coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true)
                   AND NOT coalesce((to_jsonb(m) ->> 'set_option')::bool, true))) m ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(coalesce(b.datname::text, '')) AS databases, array_agg(entry) AS entries
        FROM pg_db_role_setting c
        LEFT JOIN pg_database b ON b.oid = c.setdatabase,
        unnest(c.setconfig) AS entry
        WHERE c.setrole = r.oid) s ON true
    WHERE r.oid = $1::int8::oid OR r.rolname = $2
    ORDER BY r.oid = $1::int8::oid DESC
    LIMIT 1";

/// Looks for a role by the object identifier that was recorded, or by its name.
/// What it owns isn't looked up, nor whether its password is the wanted one.
pub(crate) async fn look_up(
    server: &mut Server,
    oid: Option<i64>,
    name: &Name,
) -> Result<Option<Observed<Facts>>> {
    let verifier = if server.reads_verifiers {
        "(SELECT rolpassword FROM pg_authid a WHERE a.oid = r.oid)"
    } else {
        "NULL"
    };
    let question = format!("SELECT {verifier}::text, {OBSERVE}");
    let row = sqlx::query(AssertSqlSafe(question))
        .bind(oid)
        .bind(name.as_str())
        .fetch_optional(&mut server.connection)
        .await
        .map_err(|error| {
            failure::stating(&format!("unable to look up role {}", Ident(name)), &error)
        })?;
    let Some(row) = row else { return Ok(None) };
    let facts = read(&row, server.id.clone())?;
    let ownership = Ownership::from_comment(facts.comment.as_deref());
    Ok(Some(Observed { facts, ownership }))
}

fn read(row: &PgRow, system_identifier: String) -> Result<Facts> {
    let attributes = Attribute::ALL
        .into_iter()
        .enumerate()
        .map(|(position, attribute)| Ok((attribute, column(row, 5 + position)?)))
        .collect::<Result<_>>()?;
    let mut member_of = BTreeMap::<_, BTreeSet<_>>::new();
    for (group, grantor) in pairs(row, 12)? {
        member_of.entry(group).or_default().insert(grantor);
    }
    let mut settings_in_database = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (database, entry) in pairs(row, 14)? {
        if witness::is_witness(&entry) {
            continue;
        }
        settings_in_database
            .entry(database)
            .or_default()
            .extend(settings::parse(&entry));
    }
    Ok(Facts {
        verifier: column::<Option<String>>(row, 0)?.map(Into::into),
        oid: column(row, 1)?,
        system_identifier,
        name: Name::of_server(column(row, 2)?)?,
        connection_limit: column(row, 3)?,
        comment: column(row, 4)?,
        attributes,
        // No database has an empty name: these are for all of them.
        settings: settings_in_database.remove("").unwrap_or_default(),
        settings_in_database,
        member_of,
        valid_until: column::<Option<i64>>(row, 16)?.and_then(Expiry::of_seconds),
        password: Password::Unmanaged,
        holdings: Holdings::default(),
    })
}

/// Two arrays that belong together.
fn pairs(row: &PgRow, at: usize) -> Result<Vec<(String, String)>> {
    let first: Option<Vec<String>> = column(row, at)?;
    let second: Option<Vec<String>> = column(row, at + 1)?;
    Ok(first
        .unwrap_or_default()
        .into_iter()
        .zip(second.unwrap_or_default())
        .collect())
}

/// Every role that carries this owner's mark: its name, identifier and mark.
pub(super) async fn marked(server: &mut Server, mark: &Mark) -> Result<Vec<(String, i64, Mark)>> {
    let rows = sqlx::query(
        "SELECT r.rolname::text, r.oid::int8, shobj_description(r.oid, 'pg_authid')
         FROM pg_roles r
         WHERE position($1 IN shobj_description(r.oid, 'pg_authid')) > 0
         ORDER BY r.rolname",
    )
    .bind(mark.trace())
    .fetch_all(&mut server.connection)
    .await
    .map_err(|error| failure::stating("unable to list the roles", &error))?;
    let mut found = Vec::new();
    for row in &rows {
        let comment: String = column(row, 2)?;
        if let Some(own) = Mark::find_in(&comment).filter(|own| own.is_of_same(mark)) {
            found.push((column(row, 0)?, column(row, 1)?, own));
        }
    }
    Ok(found)
}
