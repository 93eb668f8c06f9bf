//! Reads from the catalog what a role holds on which objects. Changes nothing.

mod source;

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Error, Result};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};

use crate::acl::{Class, Entry, Privilege};
use crate::failure;
use crate::name::Name;
use crate::place::{Grantee, Place, keyword, split_signature};
use crate::server::{Server, column, run};
use crate::sql::Ident;

use source::{future_source, source};

/// Which objects are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Of the objects themselves; of tables also where columns are meant.
    pub(crate) class: Class,
    pub(crate) schema: Option<Name>,
    /// Names, or signatures of functions.
    pub(crate) objects: Vec<String>,
    /// Every object of the class in the schema.
    pub(crate) all: bool,
    /// Not the tables, but these columns of each.
    pub(crate) columns: Vec<Name>,
    /// Roles whose future objects are meant.
    pub(crate) creators: Vec<Name>,
    /// Pointer to the input that names the creators; `*` is a position.
    pub(crate) creators_at: &'static str,
}

impl Selection {
    /// Which privileges can be held there.
    pub(crate) fn privileged_class(&self) -> Class {
        if self.columns.is_empty() {
            self.class
        } else {
            Class::Column
        }
    }
}

/// An object, and what the role has there.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    pub(crate) place: Place,
    pub(crate) owner: Name,
    /// What the role has.
    pub(crate) entries: Vec<Entry>,
    /// Who has got something there from the role.
    pub(crate) passed_on_to: BTreeSet<String>,
}

/// What looking for the objects came to.
pub(crate) enum Reading {
    Found(Vec<Holding>),
    /// Something that an input names isn't there.
    Missing(Error),
}

/// The role: by its object identifier if that is known, else by its name.
pub(crate) async fn grantee(
    connection: &mut PgConnection,
    name: &Name,
    oid: Option<i64>,
) -> Result<Option<Grantee>> {
    if name.as_str() == "public" {
        return Ok(Some(Grantee { oid: 0, name: None }));
    }
    let row = sqlx::query(
        "SELECT oid::int8, rolname::text FROM pg_roles
         WHERE CASE WHEN $1::int8 IS NULL THEN rolname = $2 ELSE oid = $1::int8::oid END",
    )
    .bind(oid)
    .bind(name.as_str())
    .fetch_optional(connection)
    .await
    .map_err(|error| failure::stating("unable to look up the role", &error))?;
    row.map(|row| {
        Ok(Grantee {
            oid: column(&row, 0)?,
            name: Some(name_at(&row, 1)?),
        })
    })
    .transpose()
}

/// Reads the objects of a selection, within a transaction. What is missing is
/// passed over if `lenient`.
pub(crate) async fn read(
    server: &mut Server,
    selection: &Selection,
    grantee: &Grantee,
    lenient: bool,
) -> Result<Reading> {
    let connection = &mut server.connection;
    if let Some(schema) = &selection.schema
        && !has_schema(connection, schema).await?
    {
        if lenient {
            return Ok(Reading::Found(Vec::new()));
        }
        return Ok(Reading::Missing(missing(
            "/schema",
            "schema",
            schema,
            "there is no",
        )));
    }
    let mut found = Vec::new();
    if selection.all || !selection.objects.is_empty() {
        let (objects, lacking) = objects(connection, selection, grantee).await?;
        if let (Some(lacking), false) = (lacking, lenient) {
            return Ok(Reading::Missing(lacking));
        }
        found = objects;
    }
    for (position, creator) in selection.creators.iter().enumerate() {
        let filter = Filter {
            names: Some(vec![creator.as_str().to_owned()]),
            ..Filter::default()
        };
        let source = future_source(selection.class);
        let place = |row: &PgRow| {
            Ok(Place::Future {
                class: selection.class,
                creator: name_at(row, 1)?,
                schema: selection.schema.clone(),
            })
        };
        let future = holdings(connection, &source, selection, grantee, &filter, &place).await?;
        if future.is_empty() && !lenient {
            let pointer = selection.creators_at.replace('*', &position.to_string());
            return Ok(Reading::Missing(missing(
                &pointer,
                "role",
                creator,
                "there is no",
            )));
        }
        found.extend(future);
    }
    Ok(Reading::Found(found))
}

/// The objects that are there already, and what is said of the first that isn't.
async fn objects(
    connection: &mut PgConnection,
    selection: &Selection,
    grantee: &Grantee,
) -> Result<(Vec<Holding>, Option<Error>)> {
    let class = selection.privileged_class();
    let mut lacking = None;
    let mut filter = Filter::default();
    let mut oids = Vec::new();
    match (&selection.schema, class) {
        _ if selection.all => {}
        (Some(schema), Class::Function) => {
            for (position, text) in selection.objects.iter().enumerate() {
                match routine(connection, schema, text).await? {
                    Ok(oid) => oids.push(oid),
                    Err(why) => {
                        lacking.get_or_insert(why.at(format!("/objects/{position}")));
                    }
                }
            }
            filter.oids = Some(oids);
        }
        _ => filter.names = Some(selection.objects.clone()),
    }
    if class == Class::Column {
        filter.parts = Some(
            selection
                .columns
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
        );
    }
    let place = |row: &PgRow| place(class, selection, row);
    let found = holdings(
        connection,
        source(class),
        selection,
        grantee,
        &filter,
        &place,
    )
    .await?;
    if class != Class::Function && !selection.all && lacking.is_none() {
        lacking = first_lacking(selection, &found);
    }
    Ok((found, lacking))
}

fn place(class: Class, selection: &Selection, row: &PgRow) -> Result<Place> {
    Ok(match (class, selection.schema.clone()) {
        (Class::Function, Some(schema)) => Place::Routine {
            schema,
            signature: column(row, 2)?,
        },
        (Class::Column, Some(schema)) => Place::Column {
            schema,
            table: name_at(row, 1)?,
            column: name_at(row, 2)?,
        },
        (class, schema) => Place::Named {
            class,
            schema,
            name: name_at(row, 1)?,
        },
    })
}

/// The first object or column that was not found.
fn first_lacking(selection: &Selection, found: &[Holding]) -> Option<Error> {
    let there: BTreeSet<_> = found
        .iter()
        .map(|holding| match &holding.place {
            Place::Named { name, .. } => (name.as_str(), None),
            Place::Column { table, column, .. } => (table.as_str(), Some(column.as_str())),
            Place::Routine { signature, .. } => (signature.as_str(), None),
            Place::Future { creator, .. } => (creator.as_str(), None),
        })
        .collect();
    for (position, object) in selection.objects.iter().enumerate() {
        let pointer = format!("/objects/{position}");
        let Ok(name) = Name::try_from(object.clone()) else {
            continue;
        };
        if selection.columns.is_empty() {
            if !there.contains(&(object.as_str(), None)) {
                let kind = keyword(selection.class).to_lowercase();
                return Some(missing(&pointer, &kind, &name, &in_schema(selection)));
            }
            continue;
        }
        for (column_position, column) in selection.columns.iter().enumerate() {
            if !there.contains(&(object.as_str(), Some(column.as_str()))) {
                let here = format!("table {} is not there, or has no", Ident(&name));
                return Some(missing(
                    &format!("/columns/{column_position}"),
                    "column",
                    column,
                    &here,
                ));
            }
        }
    }
    None
}

fn in_schema(selection: &Selection) -> String {
    match &selection.schema {
        Some(schema) => format!("schema {} has no", Ident(schema)),
        None => "there is no".to_owned(),
    }
}

fn missing(pointer: &str, kind: &str, name: &Name, there_is_no: &str) -> Error {
    Error::input(pointer, format!("{there_is_no} {kind} {}", Ident(name))).hint(match kind {
        "role" | "schema" | "database" => {
            format!("declare the {kind} and use its `name` output here, so that it is made first")
        }
        _ => format!(
            "names are taken as they stand, upper and lower case included; make the {kind} first"
        ),
    })
}

/// What is said where there is no such role to grant to.
pub(crate) fn missing_role(name: &Name) -> Error {
    if name.as_str().eq_ignore_ascii_case("public") {
        return Error::input("/role", format!("there is no role {}", Ident(name)))
            .hint("write \"public\", in lower case, for everybody");
    }
    missing("/role", "role", name, "there is no")
}

async fn has_schema(connection: &mut PgConnection, schema: &Name) -> Result<bool> {
    let row = sqlx::query("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(schema.as_str())
        .fetch_one(connection)
        .await
        .map_err(|error| failure::stating("unable to look up the schema", &error))?;
    column(&row, 0)
}

/// The object identifier of a function, or why there is none. Only within a
/// transaction.
async fn routine(
    connection: &mut PgConnection,
    schema: &Name,
    signature: &str,
) -> Result<Result<i64, Error>> {
    let (name, arguments) = match split_signature(signature) {
        Ok(split) => split,
        Err(problem) => return Ok(Err(Error::new(problem))),
    };
    let none = || {
        Error::new(format!(
            "schema {} has no function {signature:?}",
            Ident(schema)
        ))
        .hint(
            "make the function first; the types of its arguments have to match, those of other \
             schemas with the schema's name before them",
        )
    };
    let doing = "unable to look up a function";
    // An unknown type or schema is an error, not a null, up to version 15.
    run(connection, doing, "SAVEPOINT routine").await?;
    let found = sqlx::query("SELECT to_regprocedure($1)::oid::int8")
        .bind(format!("{}.{}{arguments}", Ident(schema), Ident(&name)))
        .fetch_one(&mut *connection)
        .await;
    match found {
        Ok(row) => {
            run(connection, doing, "RELEASE SAVEPOINT routine").await?;
            Ok(column::<Option<i64>>(&row, 0)?.ok_or_else(none))
        }
        Err(error) if is_about_a_name(&error) => {
            run(connection, doing, "ROLLBACK TO SAVEPOINT routine").await?;
            let why = error
                .as_database_error()
                .map(|error| error.message().to_owned());
            Ok(Err(none().because(why.unwrap_or_default())))
        }
        Err(error) => Err(failure::stating(doing, &error)),
    }
}

/// Improper type name, syntax error, invalid name, undefined object or schema, or
/// too many arguments.
fn is_about_a_name(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| {
        matches!(
            &*code,
            "22P02" | "42601" | "42602" | "42704" | "3F000" | "54023"
        )
    })
}

#[derive(Default)]
struct Filter {
    names: Option<Vec<String>>,
    parts: Option<Vec<String>>,
    oids: Option<Vec<i64>>,
}

/// Reads the objects of a source that pass the filter.
async fn holdings(
    connection: &mut PgConnection,
    source: &str,
    selection: &Selection,
    grantee: &Grantee,
    filter: &Filter,
    place: &dyn Fn(&PgRow) -> Result<Place>,
) -> Result<Vec<Holding>> {
    let query = format!(
        "WITH object (oid, schema, name, part, owner, acl) AS ({source})
         SELECT o.oid::int8, o.name, o.part, w.rolname::text, g.rolname::text,
                a.privilege_type, a.is_grantable, a.grantee::int8, coalesce(e.rolname::text, 'PUBLIC')
         FROM object o JOIN pg_roles w ON w.oid = o.owner
         LEFT JOIN LATERAL aclexplode(o.acl) a
             ON a.grantee = $1::int8::oid OR a.grantor = $1::int8::oid
         LEFT JOIN pg_roles g ON g.oid = a.grantor
         LEFT JOIN pg_roles e ON e.oid = a.grantee
         WHERE ($2::text IS NULL OR o.schema = $2::text)
           AND ($3::text[] IS NULL OR o.name = ANY ($3::text[]))
           AND ($4::text[] IS NULL OR o.part = ANY ($4::text[]))
           AND ($5::int8[] IS NULL OR o.oid::int8 = ANY ($5::int8[]))
         ORDER BY o.name, o.part, o.oid"
    );
    // The source is one of the constants below.
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(grantee.oid)
        .bind(selection.schema.as_ref().map(Name::as_str))
        .bind(filter.names.as_deref())
        .bind(filter.parts.as_deref())
        .bind(filter.oids.as_deref())
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating("unable to read the privileges", &error))?;
    let mut found: Vec<Holding> = Vec::new();
    for row in &rows {
        let place = place(row)?;
        if found.last().is_none_or(|last| last.place != place) {
            let owner = name_at(row, 3)?;
            let (entries, passed_on_to) = (Vec::new(), BTreeSet::new());
            found.push(Holding {
                place,
                owner,
                entries,
                passed_on_to,
            });
        }
        let (Some(holding), Some(word)) = (found.last_mut(), column::<Option<String>>(row, 5)?)
        else {
            continue;
        };
        if column::<i64>(row, 7)? == grantee.oid {
            let (grantor, grantable) = (name_at(row, 4)?, column(row, 6)?);
            holding.entries.push(Entry {
                grantor,
                privilege: privilege(&word)?,
                grantable,
            });
        } else {
            holding.passed_on_to.insert(column(row, 8)?);
        }
    }
    Ok(found)
}

fn privilege(word: &str) -> Result<Privilege> {
    Privilege::from_catalog(word).ok_or_else(|| {
        Error::new(format!(
            "the server knows a privilege {word}, which this provider doesn't"
        ))
        .hint("use a provider that is made for this version of PostgreSQL")
    })
}

fn name_at(row: &PgRow, at: usize) -> Result<Name> {
    Name::of_server(column(row, at)?)
}

/// What the role has on columns of these tables.
pub(crate) async fn on_columns(
    connection: &mut PgConnection,
    schema: &Name,
    tables: Vec<String>,
    grantee: &Grantee,
) -> Result<Vec<Holding>> {
    let selection = Selection {
        class: Class::Table,
        schema: Some(schema.clone()),
        objects: tables.clone(),
        all: false,
        columns: Vec::new(),
        creators: Vec::new(),
        creators_at: "",
    };
    let filter = Filter {
        names: Some(tables),
        ..Filter::default()
    };
    let place = |row: &PgRow| place(Class::Column, &selection, row);
    let mut found = holdings(
        connection,
        source(Class::Column),
        &selection,
        grantee,
        &filter,
        &place,
    )
    .await?;
    found.retain(|holding| !holding.entries.is_empty());
    Ok(found)
}
