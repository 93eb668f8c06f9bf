//! A role as the server has it.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Context, Mark, Observed, Ownership, Result, SecretRef};
use sqlx::postgres::PgConnection;

use super::Inputs;
use super::attribute::Attribute;
use crate::name::Name;
use crate::server::{Server, column};
use crate::sql::Ident;
use crate::{failure, scram};

/// A role as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(super) oid: i64,
    pub(super) system_identifier: String,
    pub(super) name: String,
    pub(super) attributes: Vec<(Attribute, bool)>,
    pub(super) connection_limit: i32,
    pub(super) password: Password,
    pub(super) member_of: BTreeSet<String>,
    /// What it owns, in words; only looked up to remove the role.
    pub(super) owns: Vec<String>,
    /// Everything that it owns is a database that is retained.
    pub(super) owns_only_retained: bool,
}

/// Whether the server has the password that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Password {
    /// None is wanted.
    Unmanaged,
    /// It has.
    Same,
    /// It has another one, or none.
    Other,
    /// Verifiers can't be read here, and the reference is the recorded one.
    UnknownUnchanged,
    /// Verifiers can't be read here, and the reference isn't recorded.
    UnknownChanged,
}

const OBSERVE: &str = "
    SELECT r.oid::int8, r.rolname::text, r.rolconnlimit, shobj_description(r.oid, 'pg_authid'),
           r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolinherit,
           r.rolreplication, r.rolbypassrls,
           ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                 WHERE m.member = r.oid)
    FROM pg_roles r
    WHERE r.oid = $1::int8::oid OR r.rolname = $2
    ORDER BY r.oid = $1::int8::oid DESC
    LIMIT 1";

/// What a role owns, and whether that is a retained database.
const OWNED: &str = "
    SELECT format('database %I', datname), coalesce(shobj_description(oid, 'pg_database'), '')
    FROM pg_database WHERE datdba = $1::int8::oid
    UNION ALL
    SELECT format('tablespace %I', spcname), '' FROM pg_tablespace WHERE spcowner = $1::int8::oid
    UNION ALL
    SELECT format('%s objects in database %I', count(*), datname), ''
    FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::int8::oid AND d.deptype = 'o'
    GROUP BY datname";

/// Looks for a role by the id that it was recorded with, then by its name.
pub(super) async fn look_up(
    server: &mut Server,
    oid: Option<i64>,
    name: &Name,
) -> Result<Option<Observed<Facts>>> {
    let row = sqlx::query(OBSERVE)
        .bind(oid)
        .bind(name.as_str())
        .fetch_optional(&mut server.connection)
        .await
        .map_err(|error| {
            failure::stating(&format!("unable to look up role {}", Ident(name)), &error)
        })?;
    let Some(row) = row else { return Ok(None) };
    let attributes = Attribute::ALL
        .into_iter()
        .enumerate()
        .map(|(position, attribute)| Ok((attribute, column(&row, 4 + position)?)))
        .collect::<Result<_>>()?;
    let facts = Facts {
        oid: column(&row, 0)?,
        system_identifier: server.id.clone(),
        name: column(&row, 1)?,
        connection_limit: column(&row, 2)?,
        attributes,
        password: Password::Unmanaged,
        member_of: column::<Vec<String>>(&row, 11)?.into_iter().collect(),
        owns: Vec::new(),
        owns_only_retained: false,
    };
    let comment: Option<String> = column(&row, 3)?;
    Ok(Some(Observed {
        facts,
        ownership: Ownership::from_comment(comment.as_deref()),
    }))
}

/// Compares the password that is wanted with the verifier that the server has.
pub(super) async fn password_state(
    cx: &Context,
    server: &mut Server,
    inputs: &Inputs,
    recorded: Option<&SecretRef>,
    oid: i64,
) -> Result<Password> {
    let Some(reference) = &inputs.password else {
        return Ok(Password::Unmanaged);
    };
    if !server.reads_verifiers {
        return Ok(if recorded == Some(reference) {
            Password::UnknownUnchanged
        } else {
            Password::UnknownChanged
        });
    }
    let password = cx.secret(reference, "/password").await?;
    let row = sqlx::query("SELECT rolpassword FROM pg_authid WHERE oid = $1::int8::oid")
        .bind(oid)
        .fetch_one(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to read the verifier of a password", &error))?;
    let verifier: Option<String> = column(&row, 0)?;
    let same = verifier.is_some_and(|verifier| scram::matches(&password, &verifier));
    Ok(if same {
        Password::Same
    } else {
        Password::Other
    })
}

/// What a role owns, in words, and whether that is nothing but retained databases.
pub(super) async fn owned(connection: &mut PgConnection, oid: i64) -> Result<(Vec<String>, bool)> {
    let rows = sqlx::query(OWNED)
        .bind(oid)
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating("unable to see what the role owns", &error))?;
    let mut owns = Vec::new();
    let mut only_retained = true;
    for row in &rows {
        owns.push(column(row, 0)?);
        let mark = Mark::find_in(column(row, 1)?);
        only_retained &= mark.is_some_and(|mark| mark.retained_since.is_some());
    }
    Ok((owns, only_retained))
}
