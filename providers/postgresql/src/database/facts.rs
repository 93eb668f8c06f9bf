//! A database as the server's catalog has it.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_provider_sdk::{Context, Error, Mark, Observed, Result, Retry};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::inputs::LocaleProvider;
use super::{create, remove};
use crate::connection::Connection;
use crate::name::Name;
use crate::server::{Server, column, in_database};
use crate::sql::Ident;
use crate::witness::{self, Witness};
use crate::{comment, failure, settings};

/// The connection limit of a database that is being dropped.
const HALF_DROPPED: i32 = -2;

/// A database.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) oid: i64,
    pub(crate) system_identifier: String,
    /// The name that the server has for it; not the wanted one before a rename.
    pub(crate) name: Name,
    pub(crate) owner_role: String,
    pub(super) encoding: String,
    /// Whether the wanted encoding is another name of the one it has.
    pub(super) has_wanted_encoding: bool,
    pub(super) collation: String,
    pub(super) character_type: String,
    pub(super) locale_provider: Option<LocaleProvider>,
    /// The locale of ICU or of the server itself.
    pub(super) provider_locale: Option<String>,
    pub(super) tablespace: String,
    pub(super) connection_limit: i32,
    pub(super) allow_connections: bool,
    pub(super) is_template: bool,
    /// Who has granted PUBLIC something.
    pub(super) public_grantors: Vec<String>,
    pub(super) settings: BTreeMap<String, String>,
    /// The extensions in it; only looked up where some are wanted. `None` where
    /// it takes no connections.
    pub(super) extensions: Option<BTreeSet<String>>,
    /// The whole comment.
    pub(super) comment: Option<String>,
    /// What vouches for the mark in it.
    pub(super) witness: Witness,
}

impl Facts {
    /// The text beside the mark.
    pub(super) fn text(&self) -> String {
        comment::text(&remove::without_line(
            self.comment.as_deref().unwrap_or_default(),
        ))
    }

    /// Whether it is being dropped, or was when the server crashed: there is nothing
    /// left in it, and nobody can connect to it or alter it.
    pub(super) fn is_half_dropped(&self) -> bool {
        self.connection_limit == HALF_DROPPED
    }

    pub(super) fn refuse_half_dropped(&self) -> Result<()> {
        if !self.is_half_dropped() {
            return Ok(());
        }
        let database = Ident(&self.name);
        let problem = format!(
            "database {database} is being dropped, or was when the server crashed; its data is gone"
        );
        let hint =
            format!("run DROP DATABASE {database}, which ends what a crash has left; then apply");
        Err(Error::input("/name", problem)
            .hint(hint)
            .retry(Retry::Briefly))
    }
}

/// The column of the provider's locale has another name from 17 on.
const COLUMNS: &str = "
    d.oid::int8, d.datname::text, r.rolname::text, pg_encoding_to_char(d.encoding)::text,
           coalesce(pg_char_to_encoding($3) = d.encoding, false), d.datcollate::text,
           d.datctype::text, d.datconnlimit, d.datallowconn,
           shobj_description(d.oid, 'pg_database'), d.datlocprovider::text,
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
           t.spcname::text, d.datistemplate,
           ARRAY(SELECT DISTINCT pg_get_userbyid(a.grantor)::text
                 FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                 WHERE a.grantee = 0),
           s.setconfig";

const FROM: &str = "
    FROM pg_database d
    JOIN pg_roles r ON r.oid = d.datdba
    JOIN pg_tablespace t ON t.oid = d.dattablespace
    LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = 0
    WHERE d.oid = $1::int8::oid OR d.datname = $2
    ORDER BY d.oid = $1::int8::oid DESC
    LIMIT 1";

/// Looks for a database by the object identifier that was recorded, or by its
/// name. What is in it isn't looked up: see [`extensions`]. `ours` is the mark of what
/// the record leads to.
pub(crate) async fn look_up(
    server: &mut Server,
    oid: Option<i64>,
    name: &Name,
    encoding: Option<&str>,
    ours: Option<Mark>,
) -> Result<Option<Observed<Facts>>> {
    let witnesses = witness::of_database("d.oid");
    let question = format!(
        "SELECT {COLUMNS}, {witnesses}, {} {FROM}",
        witness::HAS_PLACE
    );
    let row = sqlx::query(AssertSqlSafe(question))
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
    let facts = read(&row, server.id.clone())?;
    let recorded = ours.filter(|_| oid == Some(facts.oid));
    let ownership = facts.witness.ownership_of_database(
        facts.comment.as_deref(),
        recorded,
        facts.allow_connections,
    );
    Ok(Some(Observed { facts, ownership }))
}

fn read(row: &PgRow, system_identifier: String) -> Result<Facts> {
    let entries: Option<Vec<String>> = column(row, 15)?;
    Ok(Facts {
        oid: column(row, 0)?,
        system_identifier,
        name: Name::of_server(column(row, 1)?)?,
        owner_role: column(row, 2)?,
        encoding: column(row, 3)?,
        has_wanted_encoding: column(row, 4)?,
        collation: column(row, 5)?,
        character_type: column(row, 6)?,
        connection_limit: column(row, 7)?,
        allow_connections: column(row, 8)?,
        comment: column(row, 9)?,
        witness: Witness::of_database(&column::<Vec<String>>(row, 16)?, column(row, 17)?),
        locale_provider: LocaleProvider::of_catalog(column(row, 10)?),
        provider_locale: column(row, 11)?,
        tablespace: column(row, 12)?,
        is_template: column(row, 13)?,
        public_grantors: column(row, 14)?,
        settings: entries
            .iter()
            .flatten()
            .filter_map(|entry| settings::parse(entry))
            .collect(),
        extensions: None,
    })
}

/// The extensions in a database.
pub(crate) async fn extensions(
    cx: &Context,
    at: &Connection,
    database: &Name,
) -> Result<BTreeSet<String>> {
    in_database(cx, at, ("/extensions", database), None, async |server| {
        let rows = sqlx::query("SELECT extname::text FROM pg_extension")
            .fetch_all(&mut server.connection)
            .await
            .map_err(|error| {
                failure::stating(
                    &format!("unable to see the extensions in {}", Ident(database)),
                    &error,
                )
            })?;
        rows.iter().map(|row| column(row, 0)).collect()
    })
    .await
}

/// A database that carries a mark.
pub(super) struct Marked {
    pub(super) name: String,
    pub(super) oid: i64,
    pub(super) mark: Mark,
    /// Its size in bytes, where we may see it.
    pub(super) size: Option<i64>,
}

/// Every database that carries this owner's mark, or is called as those are that it
/// was about to mark.
pub(super) async fn marked(server: &mut Server, mark: &Mark) -> Result<Vec<Marked>> {
    let question = format!(
        "SELECT d.datname::text, d.oid::int8, d.comment,
                CASE WHEN has_database_privilege(d.oid, 'CONNECT')
                       OR pg_has_role('pg_read_all_stats', 'USAGE')
                     THEN pg_database_size(d.oid) END, d.witnesses
         FROM (SELECT oid, datname, shobj_description(oid, 'pg_database') AS comment, {} AS witnesses
               FROM pg_database o) d
         WHERE position($1 IN concat(d.comment, array_to_string(d.witnesses, ' '))) > 0
            OR starts_with(d.datname, $2) AND d.comment IS NULL
         ORDER BY d.datname",
        witness::of_database("o.oid")
    );
    let rows = sqlx::query(AssertSqlSafe(question))
        .bind(mark.trace())
        .bind(create::staging_prefix(&mark.owner))
        .fetch_all(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to list the databases", &error))?;
    let mut found = Vec::new();
    for row in &rows {
        let comment: Option<String> = column(row, 2)?;
        let witness = Witness::of_database(&column::<Vec<String>>(row, 4)?, false);
        let name: String = column(row, 0)?;
        let staged = (comment.is_none() && create::is_staged(&name)).then(|| mark.clone());
        let whose = witness.ownership(comment.as_deref(), staged);
        let own = whose.mark().filter(|own| own.is_of_same(mark)).cloned();
        if let Some(own) = own {
            found.push(Marked {
                name,
                oid: column(row, 1)?,
                mark: own,
                size: column(row, 3)?,
            });
        }
    }
    Ok(found)
}
