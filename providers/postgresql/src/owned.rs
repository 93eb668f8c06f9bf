//! What a role owns, in every database, and how it lets go of it.
//!
//! REASSIGN OWNED and DROP OWNED work in one database at a time, and leave what a
//! third role has granted; so every database is visited, and every such grantor
//! takes back what it has granted. It must not know what a resource is.

use std::fmt::Write as _;

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sqlx::postgres::PgConnection;

use crate::admin;
use crate::connection::Connection;
use crate::name::Name;
use crate::server::{Server, column, in_database, run};
use crate::sql::Ident;
use crate::witness::{self, Witness};
use crate::{failure, lock};

/// How many things are named of those that a role owns in one database.
const EXAMPLES: i64 = 5;

/// What a role owns, and where it is spoken of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings {
    /// Who gets what it owns.
    pub(crate) heir: Option<Name>,
    /// The databases that it owns, and which of them are retained.
    databases: Vec<(String, bool)>,
    tablespaces: Vec<String>,
    /// Privileges on what all databases share.
    shared: bool,
    places: Vec<Place>,
}

/// A database in which a role owns things, or has privileges.
#[derive(Debug, Clone)]
struct Place {
    database: Name,
    takes_connections: bool,
    retained: bool,
    owned: i64,
    examples: Vec<String>,
}

/// What happens to a role that is to be dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Drop,
    /// It owns what is retained.
    Keep,
    Refuse(String),
}

/// What REASSIGN OWNED gives to somebody else; the other things that depend on
/// their owner mean nothing without it.
const IS_OWNED: &str = "d.deptype = 'o' AND d.dbid <> 0
    AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)";

const OF_ROLE: &str = "d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::int8::oid";

/// Whether a database is retained, by the comment on it and what vouches for that.
fn is_retained(comment: Option<&str>, witnesses: &[String]) -> bool {
    let witness = Witness::of_database(witnesses, false);
    witness.ownership(comment, None).is_retained()
}

/// Looks up what a role owns and where it is spoken of, from any database.
pub(crate) async fn survey(server: &mut Server, oid: i64) -> Result<Holdings> {
    let sql = format!(
        "SELECT 'database', datname::text, shobj_description(o.oid, 'pg_database'), datallowconn, 0::int8,
                {}
         FROM pg_database o WHERE datdba = $1::int8::oid
         UNION ALL
         SELECT 'tablespace', spcname::text, NULL, true, 0, '{{}}' FROM pg_tablespace
         WHERE spcowner = $1::int8::oid
         UNION ALL
         SELECT CASE WHEN b.oid IS NULL THEN 'shared' ELSE 'place' END, coalesce(b.datname::text, ''),
                shobj_description(b.oid, 'pg_database'), coalesce(b.datallowconn, true),
                count(*) FILTER (WHERE {IS_OWNED}), {}
         FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = d.dbid
         WHERE {OF_ROLE} AND NOT (d.dbid = 0 AND d.deptype = 'o')
         GROUP BY b.oid, b.datname, b.datallowconn
         ORDER BY 1, 2",
        witness::of_database("o.oid"),
        witness::of_database("b.oid")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(oid)
        .fetch_all(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to see what the role owns", &error))?;
    let mut holdings = Holdings::default();
    for row in &rows {
        let (kind, name): (String, String) = (column(row, 0)?, column(row, 1)?);
        let retained = is_retained(column(row, 2)?, &column::<Vec<String>>(row, 5)?);
        match kind.as_str() {
            "database" => holdings.databases.push((name, retained)),
            "tablespace" => holdings.tablespaces.push(name),
            "shared" => holdings.shared = true,
            _ => holdings.places.push(Place {
                database: Name::of_server(name)?,
                takes_connections: column(row, 3)?,
                retained,
                owned: column(row, 4)?,
                examples: Vec::new(),
            }),
        }
    }
    Ok(holdings)
}

impl Holdings {
    fn owns_nothing(&self) -> bool {
        self.databases.is_empty()
            && self.tablespaces.is_empty()
            && self.places.iter().all(|place| place.owned == 0)
    }

    fn owns_only_retained(&self) -> bool {
        self.tablespaces.is_empty()
            && self.databases.iter().all(|(_, retained)| *retained)
            && self
                .places
                .iter()
                .all(|place| place.retained || place.owned == 0)
    }

    /// What happens to the role if it is to be dropped.
    pub(crate) fn fate(&self) -> Fate {
        if self.heir.is_none() && !self.owns_nothing() {
            return if self.owns_only_retained() {
                Fate::Keep
            } else {
                Fate::Refuse(self.to_string())
            };
        }
        match self.places.iter().find(|place| !place.takes_connections) {
            Some(place) if place.retained => Fate::Keep,
            Some(place) => Fate::Refuse(format!(
                "it owns things or has privileges in database {}, which takes no connections",
                Ident(&place.database)
            )),
            None => Fate::Drop,
        }
    }

    /// Looks up some of what it owns, if that is a reason to refuse.
    pub(crate) async fn give_examples(
        &mut self,
        cx: &Context,
        at: &Connection,
        oid: i64,
    ) -> Result<()> {
        if !matches!(self.fate(), Fate::Refuse(_)) {
            return Ok(());
        }
        for place in &mut self.places {
            if place.owned == 0 || !place.takes_connections {
                continue;
            }
            let database = ("/connection/database", &place.database);
            let found = in_database(cx, at, database, None, async |server| {
                examples(server, oid).await
            });
            // Whoever may not look into it still knows how many there are.
            if let Ok(found) = found.await {
                place.examples = found;
            }
        }
        Ok(())
    }
}

async fn examples(server: &mut Server, oid: i64) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
         FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid AND b.datname = current_database()
         WHERE {OF_ROLE} AND {IS_OWNED} ORDER BY 1 LIMIT {EXAMPLES}"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(oid)
        .fetch_all(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to see what the role owns", &error))?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// What it owns, such as `it owns database "a"; and in database "b": table x`.
impl std::fmt::Display for Holdings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all: Vec<String> = self
            .databases
            .iter()
            .map(|(name, _)| format!("database {name:?}"))
            .collect();
        all.extend(
            self.tablespaces
                .iter()
                .map(|name| format!("tablespace {name:?}")),
        );
        for place in self.places.iter().filter(|place| place.owned > 0) {
            let mut text = format!("in database {}: ", Ident(&place.database));
            text.push_str(&place.examples.join(", "));
            let named = i64::try_from(place.examples.len()).unwrap_or(i64::MAX);
            let more = place.owned.saturating_sub(named);
            let _ = match (place.examples.is_empty(), more) {
                (true, more) => write!(text, "{more} objects"),
                (false, 0) => Ok(()),
                (false, more) => write!(text, " and {more} more"),
            };
            all.push(text);
        }
        write!(out, "it owns {}", all.join("; "))
    }
}

/// Gives what a role owns to its heir, and takes away every privilege that it
/// has, in every database; DROP ROLE can follow.
pub(crate) async fn let_go(
    cx: &Context,
    at: &Connection,
    role: &Name,
    oid: i64,
    holdings: &Holdings,
) -> Result<()> {
    if holdings.owns_nothing() && holdings.places.is_empty() && !holdings.shared {
        return Ok(());
    }
    // What all databases share is let go of from any of them.
    let mut databases: Vec<_> = holdings
        .places
        .iter()
        .map(|place| &place.database)
        .collect();
    if databases.is_empty() {
        databases.push(&at.database);
    }
    for database in databases {
        cx.checkpoint()?;
        in_database(
            cx,
            at,
            ("/connection/database", database),
            None,
            async |server| {
                // An administrator that is no superuser couldn't revoke these by DROP
                // OWNED; a superuser's would leave them without a word.
                revoke_of_others(cx, server, role, oid).await?;
                let_go_here(cx, server, role, oid, holdings.heir.as_ref()).await
            },
        )
        .await?;
        cx.failpoint("owned:let-go-in-database");
    }
    Ok(())
}

async fn let_go_here(
    cx: &Context,
    server: &mut Server,
    role: &Name,
    oid: i64,
    heir: Option<&Name>,
) -> Result<()> {
    let mut roles = vec![role.as_str()];
    roles.extend(heir.map(Name::as_str));
    // To give a schema away takes CREATE on the database.
    let acting = admin::acting_here(server, &roles).await?;
    let role = Ident(role);
    let doing = format!("unable to take away what role {role} has");
    let connection = &mut server.connection;
    lock::begin(cx, connection, &doing).await?;
    let reassign = match heir {
        Some(heir) => {
            let mut statements = schemas(connection, oid, heir, &doing).await?;
            statements.push(format!("REASSIGN OWNED BY {role} TO {}", Ident(heir)));
            statements.join("; ")
        }
        None => String::new(),
    };
    run(connection, &doing, format!("{}{reassign}", acting.before()))
        .await
        .map_err(|error| lock::blame(error, heir.map(|_| "/reassignOwnedTo")))?;
    // DROP OWNED would drop what it has made since it was looked at.
    let sql = format!(
        "SELECT count(*) FROM pg_shdepend d
         JOIN pg_database b ON b.oid = d.dbid AND b.datname = current_database()
         WHERE {OF_ROLE} AND {IS_OWNED}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(oid)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failure::stating(&doing, &error))?;
    let left: i64 = column(&row, 0)?;
    if left > 0 {
        return Err(Error::new(doing)
            .because(format!(
                "it owns {left} more objects than when it was looked at"
            ))
            .retry(Retry::UntilDeadline));
    }
    run(
        connection,
        &doing,
        format!("DROP OWNED BY {role}{}; COMMIT", acting.after()),
    )
    .await
}

/// Schemas go first: who is no superuser can give something only to a role that
/// may create it in its schema.
async fn schemas(
    connection: &mut PgConnection,
    oid: i64,
    heir: &Name,
    doing: &str,
) -> Result<Vec<String>> {
    let rows = sqlx::query("SELECT nspname::text FROM pg_namespace WHERE nspowner = $1::int8::oid")
        .bind(oid)
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating(doing, &error))?;
    rows.iter()
        .map(|row| {
            let schema = Name::of_server(column(row, 0)?)?;
            Ok(format!(
                "ALTER SCHEMA {} OWNER TO {}",
                Ident(&schema),
                Ident(heir)
            ))
        })
        .collect()
}

/// What others have granted to a role here. The privileges
/// are named: all of them would be refused to who has granted but some.
const GRANTED: &str = "
    WITH granted AS (
        SELECT 'pg_class'::regclass AS class, oid AS object, relacl AS acl, NULL::name AS field
        FROM pg_class
        UNION ALL SELECT 'pg_class'::regclass, attrelid, attacl, attname FROM pg_attribute
        UNION ALL SELECT 'pg_namespace'::regclass, oid, nspacl, NULL FROM pg_namespace
        UNION ALL SELECT 'pg_proc'::regclass, oid, proacl, NULL FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, typacl, NULL FROM pg_type
        UNION ALL SELECT 'pg_language'::regclass, oid, lanacl, NULL FROM pg_language
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwacl, NULL
        FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvacl, NULL FROM pg_foreign_server
        UNION ALL SELECT 'pg_largeobject'::regclass, oid, lomacl, NULL FROM pg_largeobject_metadata
        UNION ALL SELECT 'pg_database'::regclass, oid, datacl, NULL FROM pg_database
        UNION ALL SELECT 'pg_tablespace'::regclass, oid, spcacl, NULL FROM pg_tablespace)
    SELECT i.type::text, i.identity, g.rolname::text,
           string_agg(DISTINCT a.privilege_type || coalesce(' (' || quote_ident(field) || ')', ''), ', ')
    FROM granted, aclexplode(granted.acl) AS a, pg_identify_object(granted.class, granted.object, 0) AS i,
         pg_roles g
    WHERE granted.acl IS NOT NULL AND a.grantee = $1::int8::oid AND g.oid = a.grantor
      AND a.grantor <> a.grantee
    GROUP BY 1, 2, 3
    ORDER BY 3, 1, 2";

/// Only who has granted a privilege can take it back.
async fn revoke_of_others(cx: &Context, server: &mut Server, role: &Name, oid: i64) -> Result<()> {
    let doing = format!(
        "unable to take back what others have granted to role {}",
        Ident(role)
    );
    let rows = sqlx::query(GRANTED)
        .bind(oid)
        .fetch_all(&mut server.connection)
        .await
        .map_err(|error| failure::stating(&doing, &error))?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut grantors = Vec::new();
    let mut statements = Vec::new();
    for row in &rows {
        let (kind, identity): (String, String) = (column(row, 0)?, column(row, 1)?);
        let grantor = Name::of_server(column(row, 2)?)?;
        let privileges: String = column(row, 3)?;
        // The server has quoted the identity and the columns.
        statements.push(format!(
            "SET LOCAL ROLE {}; REVOKE {privileges} ON {} {identity} FROM {} CASCADE; RESET ROLE",
            Ident(&grantor),
            keyword(&kind),
            Ident(role)
        ));
        grantors.push(grantor);
    }
    grantors.dedup();
    let names: Vec<_> = grantors.iter().map(Name::as_str).collect();
    let acting = admin::acting_for(server, &names).await?;
    let statements = acting.around(&statements.join("; "));
    lock::transact_on(cx, &mut server.connection, &doing, &statements).await
}

/// What REVOKE calls an object of a type of `pg_identify_object`.
fn keyword(kind: &str) -> &'static str {
    match kind {
        "sequence" => "SEQUENCE",
        "schema" => "SCHEMA",
        "function" | "procedure" | "aggregate" => "ROUTINE",
        "type" | "domain" | "composite type" => "TYPE",
        "language" => "LANGUAGE",
        "foreign-data wrapper" => "FOREIGN DATA WRAPPER",
        "server" => "FOREIGN SERVER",
        "large object" => "LARGE OBJECT",
        "database" => "DATABASE",
        "tablespace" => "TABLESPACE",
        _ => "TABLE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    fn place(database: &str, takes_connections: bool, retained: bool, owned: i64) -> Place {
        Place {
            database: name(database),
            takes_connections,
            retained,
            owned,
            examples: Vec::new(),
        }
    }

    #[test]
    fn fates() {
        let holdings = |heir: bool, databases: &[(&str, bool)], places: &[Place]| Holdings {
            heir: heir.then(|| name("heir")),
            databases: databases
                .iter()
                .map(|(name, kept)| ((*name).to_owned(), *kept))
                .collect(),
            places: places.to_vec(),
            ..Holdings::default()
        };
        let refusal = |holdings: &Holdings| match holdings.fate() {
            Fate::Refuse(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(holdings(false, &[], &[]).fate(), Fate::Drop);
        assert_eq!(
            holdings(false, &[], &[place("a", true, false, 0)]).fate(),
            Fate::Drop
        );
        assert_eq!(
            holdings(false, &[("a", true)], &[place("a", false, true, 2)]).fate(),
            Fate::Keep
        );
        assert_eq!(
            holdings(true, &[("a", true)], &[place("a", false, true, 2)]).fate(),
            Fate::Keep
        );
        assert_eq!(holdings(true, &[("a", true)], &[]).fate(), Fate::Drop);
        assert_eq!(
            holdings(true, &[], &[place("a", true, false, 2)]).fate(),
            Fate::Drop
        );
        assert!(
            refusal(&holdings(true, &[], &[place("a", false, false, 0)]))
                .contains("no connections")
        );

        let mut shown = place("b", true, false, 3);
        shown.examples = vec!["table x".to_owned(), "schema y".to_owned()];
        let mixed = holdings(
            false,
            &[("a", true), ("c", false)],
            &[shown, place("d", true, false, 4)],
        );
        assert_eq!(
            refusal(&mixed),
            "it owns database \"a\"; database \"c\"; in database \"b\": table x, schema y and 1 \
             more; in database \"d\": 4 objects"
        );
    }
}
