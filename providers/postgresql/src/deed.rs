//! Grants and revokes: who has to be the grantor in which statement, and how an
//! administrator gets to act for it.
//!
//! It must not know what is wanted, only what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_provider_sdk::{Error, Result, Retry};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;

use crate::acl::{Class, Difference, Entry, Privilege};
use crate::assume::{For, assume};
use crate::failure;
use crate::granting::Work;
use crate::holding::{self, Holding};
use crate::name::Name;
use crate::place::{Grantee, Place, Verb, statement};
use crate::server::{Server, column};
use crate::sql::{Ident, Literal};

/// One statement, and who has to be the grantor in it.
struct Deed {
    grantor: Name,
    by_owner: bool,
    schemas: BTreeSet<Name>,
    sql: String,
}

/// Does the work, within a transaction.
pub(crate) async fn carry_out(
    server: &mut Server,
    version: u32,
    doing: &str,
    work: &Work,
) -> Result<()> {
    let connection = &mut server.connection;
    let mut deeds = revocations(work);
    deeds.extend(restored_columns(connection, work).await?);
    deeds.extend(grants(work));

    let (me, usages) = lending(connection, &deeds).await?;
    let (mut by_me, mut by_others) = (Vec::new(), Vec::new());
    let ability = if version < 16 { "MEMBER" } else { "SET" };
    for deed in &deeds {
        let Deed { grantor, sql, .. } = deed;
        if deed.by_owner {
            by_others.push(format!("{sql}; "));
        } else if *grantor == me {
            by_me.push(format!("{sql}; "));
        } else {
            let name = Literal(grantor.as_str());
            by_others.push(format!(
                "SELECT set_config('role', {name}, true) WHERE pg_has_role({name}, '{ability}'); \
                 {sql}; RESET ROLE; "
            ));
        }
    }
    let roles: BTreeSet<_> = deeds
        .iter()
        .map(|deed| deed.grantor.as_str())
        .filter(|name| *name != me.as_str())
        .collect();
    let roles: Vec<_> = roles.into_iter().collect();
    let whom = For {
        roles: &roles,
        database_owner: true,
    };
    let assumed = assume(connection, &whom).await?;
    let (lend, take_back): (Vec<_>, Vec<_>) = usages.into_iter().unzip();
    // What I granted comes first: as a member of the owner I would be taken for it.
    let statements = format!(
        "{}{}{}{}",
        lend.concat(),
        by_me.concat(),
        assumed.around(&format!("{}SELECT 1", by_others.concat())),
        take_back.concat()
    );
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(connection)
        .await;
    done.map(drop).map_err(|error| refused(doing, work, &error))
}

/// The places that have a difference of one sort, by what makes one statement.
type Grouped<'a> = BTreeMap<
    (
        Verb,
        &'a Name,
        bool,
        Class,
        &'a BTreeSet<Privilege>,
        Option<&'a Place>,
    ),
    Vec<&'a Place>,
>;

fn revocations(work: &Work) -> Vec<Deed> {
    let cascade = work.cascade;
    let mut grouped = Grouped::new();
    for (holding, difference) in &work.items {
        for (verb, by_grantor) in [
            (Verb::Revoke { cascade }, &difference.revoke),
            (Verb::RevokeOption { cascade }, &difference.revoke_option),
        ] {
            for (grantor, privileges) in by_grantor {
                group(&mut grouped, verb, grantor, holding, privileges);
            }
        }
    }
    deeds(grouped, &work.grantee)
}

fn grants(work: &Work) -> Vec<Deed> {
    let verb = Verb::Grant {
        grantable: work.grantable,
    };
    let mut grouped = Grouped::new();
    for (holding, difference) in &work.items {
        if !difference.grant.is_empty() {
            group(
                &mut grouped,
                verb,
                &holding.owner,
                holding,
                &difference.grant,
            );
        }
    }
    deeds(grouped, &work.grantee)
}

fn group<'a>(
    grouped: &mut Grouped<'a>,
    verb: Verb,
    grantor: &'a Name,
    holding: &'a Holding,
    privileges: &'a BTreeSet<Privilege>,
) {
    let place = &holding.place;
    let alone = (!place.shares_statements()).then_some(place);
    let key = (
        verb,
        grantor,
        *grantor == holding.owner,
        place.class(),
        privileges,
        alone,
    );
    grouped.entry(key).or_default().push(place);
}

fn deeds(grouped: Grouped<'_>, grantee: &Grantee) -> Vec<Deed> {
    grouped
        .into_iter()
        .map(
            |((verb, grantor, by_owner, _, privileges, _), places)| Deed {
                grantor: grantor.clone(),
                by_owner,
                schemas: places
                    .iter()
                    .filter_map(|place| place.schema().cloned())
                    .collect(),
                sql: statement(verb, privileges, &places, grantee),
            },
        )
        .collect()
}

/// A REVOKE on a table also revokes what the same grantor gave on its columns,
/// which are objects of their own: that is granted again.
async fn restored_columns(connection: &mut PgConnection, work: &Work) -> Result<Vec<Deed>> {
    let mut tables: BTreeMap<&Name, BTreeMap<&Name, &Difference>> = BTreeMap::new();
    for (holding, difference) in &work.items {
        if let Place::Named {
            class: Class::Table,
            schema: Some(schema),
            name,
        } = &holding.place
            && !(difference.revoke.is_empty() && difference.revoke_option.is_empty())
        {
            tables.entry(schema).or_default().insert(name, difference);
        }
    }
    let mut restored = Vec::new();
    for (schema, tables) in tables {
        let names = tables.keys().map(|name| name.as_str().to_owned()).collect();
        for holding in holding::on_columns(connection, schema, names, &work.grantee).await? {
            let Place::Column { table, .. } = &holding.place else {
                continue;
            };
            let Some(difference) = tables.get(table) else {
                continue;
            };
            let is_hit = |entry: &&Entry| {
                [&difference.revoke, &difference.revoke_option]
                    .into_iter()
                    .any(|by_grantor| {
                        by_grantor
                            .get(&entry.grantor)
                            .is_some_and(|all| all.contains(&entry.privilege))
                    })
            };
            for entry in holding.entries.iter().filter(is_hit) {
                let verb = Verb::Grant {
                    grantable: entry.grantable,
                };
                let privileges = BTreeSet::from([entry.privilege]);
                restored.push(Deed {
                    grantor: entry.grantor.clone(),
                    by_owner: entry.grantor == holding.owner,
                    schemas: BTreeSet::from([schema.clone()]),
                    sql: statement(verb, &privileges, &[&holding.place], &work.grantee),
                });
            }
        }
    }
    Ok(restored)
}

/// Who I am; and for grantors that have lost USAGE of a schema and so could not
/// even name what is in it, the statements that lend it and take it back.
async fn lending(
    connection: &mut PgConnection,
    deeds: &[Deed],
) -> Result<(Name, Vec<(String, String)>)> {
    let pairs: BTreeSet<_> = deeds
        .iter()
        .filter(|deed| !deed.by_owner)
        .flat_map(|deed| deed.schemas.iter().map(|schema| (&deed.grantor, schema)))
        .collect();
    let (grantors, schemas): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .map(|(grantor, schema)| (grantor.as_str(), schema.as_str()))
        .unzip();
    let rows = sqlx::query(
        "SELECT current_user::text, p.grantor, p.schema
         FROM (SELECT) AS me LEFT JOIN (
             SELECT * FROM unnest($1::text[], $2::text[]) AS p (grantor, schema)
             WHERE current_setting('is_superuser')::bool
               AND NOT has_schema_privilege(grantor::name, schema, 'USAGE')) AS p ON true",
    )
    .bind(grantors)
    .bind(schemas)
    .fetch_all(connection)
    .await
    .map_err(|error| failure::stating("unable to see who may use which schema", &error))?;
    let mut me = None;
    let mut lent = Vec::new();
    for row in &rows {
        me = Some(Name::of_server(column(row, 0)?)?);
        if let (Some(grantor), Some(schema)) = (
            column::<Option<String>>(row, 1)?,
            column::<Option<String>>(row, 2)?,
        ) {
            let (grantor, schema) = (Name::of_server(grantor)?, Name::of_server(schema)?);
            let (grantor, schema) = (Ident(&grantor), Ident(&schema));
            lent.push((
                format!("GRANT USAGE ON SCHEMA {schema} TO {grantor}; "),
                format!("; REVOKE USAGE ON SCHEMA {schema} FROM {grantor}"),
            ));
        }
    }
    let me = me.ok_or_else(|| Error::new("the server doesn't say who is logged in"))?;
    Ok((me, lent))
}

/// Explains why the server refused.
fn refused(doing: &str, work: &Work, error: &sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let code = code.as_deref().unwrap_or_default().to_owned();
    if code == "2BP01" {
        let others: BTreeSet<_> = work
            .items
            .iter()
            .flat_map(|(holding, _)| &holding.passed_on_to)
            .collect();
        let others: Vec<_> = others.into_iter().map(String::as_str).collect();
        let others = if others.is_empty() {
            "others".to_owned()
        } else {
            others.join(", ")
        };
        return Error::input("/cascade", doing)
            .because(format!("{} has passed it on to {others}", work.grantee))
            .hint(
                "revoke it from them first, or set `cascade = true` to take it from them as well",
            );
    }
    let stated = failure::stating(doing, error);
    match (stated.pointer(), &*code) {
        // Gone or changed since it was looked at.
        (None, "42P01" | "42883" | "3F000" | "42704") => stated.retry(Retry::Briefly),
        (None, "0LP01" | "42809") => stated.at("/privileges"),
        _ => stated,
    }
}
