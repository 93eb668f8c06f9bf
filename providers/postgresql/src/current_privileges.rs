//! Reads from the catalog which privileges a role has on which objects. Changes nothing.

mod source;

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Error, Result};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};

use crate::acl::{Class, Entry, Privilege};
use crate::failure;
use crate::name::Name;
use crate::object::{Grantee, Place, keyword, split_signature};
use crate::server::{Server, ask, column, run};
use crate::sql::{Ident, Literal, Literals};

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

/// Which role is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whom<'a> {
    Everybody,
    Named(&'a Name),
    /// By its object identifier, whatever its name is by now.
    Known(i64),
}

impl<'a> Whom<'a> {
    /// The role of an input, or of a record: by its object identifier if that is known.
    pub(crate) fn of(name: &'a Name, oid: Option<i64>) -> Self {
        match oid {
            _ if name.as_str() == "public" => Self::Everybody,
            Some(oid) => Self::Known(oid),
            None => Self::Named(name),
        }
    }

    /// Where the query finds it, and the argument for that.
    fn source(self) -> (&'static str, String) {
        match self {
            Self::Everybody => (
                "(SELECT 0::oid AS oid, NULL::name AS rolname)",
                "NULL".to_owned(),
            ),
            Self::Named(name) => (
                "(SELECT oid, rolname FROM pg_roles WHERE rolname = $1)",
                Literal(name.as_str()).to_string(),
            ),
            Self::Known(oid) => (
                "(SELECT oid, rolname FROM pg_roles WHERE oid = $1::oid)",
                Literal(&oid.to_string()).to_string(),
            ),
        }
    }
}

/// What the catalog says.
pub(crate) struct Reading {
    /// The database that is connected to.
    pub(crate) database: (Name, i64),
    /// The role, if there is one.
    pub(crate) grantee: Option<Grantee>,
    pub(crate) holdings: Vec<Holding>,
    /// What is said of the first thing of the selection that isn't there.
    pub(crate) lacking: Option<Error>,
}

/// What a role has on the objects of a selection, to be asked in one statement.
pub(crate) struct Question<'a> {
    selection: &'a Selection,
    class: Class,
    statement: String,
    /// What is known to be lacking before it is asked.
    lacking: Option<Error>,
}

/// The types of the arguments of [`Question::query`].
const TYPES: &str = "text, text, text[], text[], oid[], text[]";

impl<'a> Question<'a> {
    /// Looks up functions, which may fail: not within a transaction.
    pub(crate) async fn new(
        server: &mut Server,
        selection: &'a Selection,
        whom: Whom<'_>,
    ) -> Result<Self> {
        Self::about(server, selection, selection.privileged_class(), whom).await
    }

    async fn about(
        server: &mut Server,
        selection: &'a Selection,
        class: Class,
        whom: Whom<'_>,
    ) -> Result<Self> {
        let (mut oids, mut lacking) = (Vec::new(), None);
        if let (Class::Function, Some(schema)) = (class, &selection.schema) {
            for (position, text) in selection.objects.iter().enumerate() {
                match routine(&mut server.connection, schema, text).await? {
                    Ok(oid) => oids.push(oid.to_string()),
                    Err(why) => {
                        lacking.get_or_insert(why.at(format!("/objects/{position}")));
                    }
                }
            }
        }
        let schema = selection.schema.as_ref();
        let (role, is_role) = whom.source();
        let arguments = format!(
            "{is_role}, {}, {}, {}, {}::oid[], {}",
            schema.map_or_else(|| "NULL".to_owned(), |it| Literal(it.as_str()).to_string()),
            Literals(Some(&selection.objects)),
            Literals(Some(&selection.columns)),
            Literals(Some(&oids)),
            Literals(Some(&selection.creators)),
        );
        let query = Self::query(selection, class, role);
        let statement = server.planned(query, TYPES, &arguments).await?;
        Ok(Self {
            selection,
            class,
            statement,
            lacking,
        })
    }

    /// It has a row for each privilege, and at least one. What it doesn't filter by isn't in
    /// it, so that one plan is good for all arguments.
    fn query(selection: &Selection, class: Class, role: &str) -> String {
        let mut conditions = Vec::new();
        if !selection.all {
            conditions.push(match class {
                Class::Function => "o.oid = ANY ($5)",
                // An index is only worth it to the server where it knows that it is one.
                _ if selection.objects.len() == 1 => "o.name = ($3)[1]",
                _ => "o.name = ANY ($3)",
            });
        }
        if !selection.columns.is_empty() {
            conditions.push("o.part = ANY ($4)");
        }
        let parts = |is_future: bool, source: &str, conditions: &[&str]| {
            let filter = match conditions {
                [] => String::new(),
                conditions => format!("WHERE {}", conditions.join(" AND ")),
            };
            format!(
                "SELECT {is_future} AS is_future, o.*
                 FROM ({source}) AS o (oid, name, part, owner, acl) {filter}"
            )
        };
        let mut sources = Vec::new();
        if selection.all || !selection.objects.is_empty() {
            sources.push(parts(false, source(class), &conditions));
        }
        if !selection.creators.is_empty() {
            let source = future_source(selection.class);
            sources.push(parts(true, &source, &["o.name = ANY ($6)"]));
        }
        format!(
            "SELECT d.datname::text, d.oid::int8, r.oid::int8, r.rolname::text, s.oid IS NOT NULL,
                    o.is_future, o.name::text, o.part, pg_get_userbyid(o.owner)::text,
                    a.privilege_type, a.is_grantable, pg_get_userbyid(a.grantor)::text,
                    a.grantee = r.oid,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END
             FROM pg_database d
             LEFT JOIN {role} r ON true
             LEFT JOIN pg_namespace s ON s.nspname = $2
             LEFT JOIN LATERAL ({}) o ON true
             LEFT JOIN LATERAL aclexplode(o.acl) a ON a.grantee = r.oid OR a.grantor = r.oid
             WHERE d.datname = current_database()
             ORDER BY o.is_future, o.name, o.part, o.oid",
            sources.join(" UNION ALL ")
        )
    }

    /// The statement that asks it.
    pub(crate) fn statement(&self) -> &str {
        &self.statement
    }

    /// What its answer says.
    pub(crate) fn read(&self, rows: &[PgRow]) -> Result<Reading> {
        let first = rows
            .first()
            .ok_or_else(|| Error::new("the server doesn't say which database this is"))?;
        let name = column::<Option<String>>(first, 3)?;
        let name = name.map(Name::of_server).transpose()?;
        let grantee = column::<Option<i64>>(first, 2)?.map(|oid| Grantee { oid, name });
        let schema = self.selection.schema.as_ref();
        let has_schema: bool = column(first, 4)?;
        let missing_schema = schema
            .filter(|_| !has_schema)
            .map(|schema| missing("/schema", "schema", schema, "there is no"));
        let holdings = match &missing_schema {
            Some(_) => Vec::new(),
            None => self.holdings(rows)?,
        };
        let lacking = missing_schema
            .or_else(|| self.lacking.clone())
            .or_else(|| first_lacking(self.selection, &holdings));
        Ok(Reading {
            database: (name_at(first, 0)?, column(first, 1)?),
            grantee,
            holdings,
            lacking,
        })
    }

    fn holdings(&self, rows: &[PgRow]) -> Result<Vec<Holding>> {
        let mut found: Vec<Holding> = Vec::new();
        for row in rows {
            let Some(is_future) = column(row, 5)? else {
                continue;
            };
            let place = self.place(is_future, row)?;
            if found.last().is_none_or(|last| last.place != place) {
                found.push(Holding {
                    place,
                    owner: name_at(row, 8)?,
                    entries: Vec::new(),
                    passed_on_to: BTreeSet::new(),
                });
            }
            let (Some(holding), Some(word)) = (found.last_mut(), column::<Option<String>>(row, 9)?)
            else {
                continue;
            };
            if column(row, 12)? {
                holding.entries.push(Entry {
                    grantor: name_at(row, 11)?,
                    privilege: privilege(&word)?,
                    grantable: column(row, 10)?,
                });
            } else {
                holding.passed_on_to.insert(column(row, 13)?);
            }
        }
        Ok(found)
    }

    fn place(&self, is_future: bool, row: &PgRow) -> Result<Place> {
        let schema = self.selection.schema.clone();
        Ok(match (self.class, schema) {
            (_, schema) if is_future => Place::Future {
                class: self.selection.class,
                creator: name_at(row, 6)?,
                schema,
            },
            (Class::Function, Some(schema)) => Place::Routine {
                schema,
                signature: column(row, 7)?,
            },
            (Class::Column, Some(schema)) => Place::Column {
                schema,
                table: name_at(row, 6)?,
                column: name_at(row, 7)?,
            },
            (class, schema) => Place::Named {
                class,
                schema,
                name: name_at(row, 6)?,
            },
        })
    }
}

/// Asks, all of it as it is at one moment.
pub(crate) async fn read(server: &mut Server, questions: &[Question<'_>]) -> Result<Vec<Reading>> {
    let doing = "unable to read the privileges";
    // A statement by itself sees one moment.
    let at_one_moment = questions.len() > 1;
    let statements = if at_one_moment {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        format!("{begin}; {}", statements(questions))
    } else {
        statements(questions)
    };
    let answers = ask(&mut server.connection, statements)
        .await
        .map_err(|halted| halted.stating(doing))?;
    if at_one_moment {
        run(&mut server.connection, doing, "COMMIT").await?;
    }
    readings(questions, &answers)
}

/// The statements that ask these questions.
pub(crate) fn statements(questions: &[Question<'_>]) -> String {
    let statements: Vec<_> = questions.iter().map(Question::statement).collect();
    statements.join("; ")
}

/// What the answers say, the last of which are to these questions.
pub(crate) fn readings(questions: &[Question<'_>], answers: &[Vec<PgRow>]) -> Result<Vec<Reading>> {
    let others = answers.len().saturating_sub(questions.len());
    let pairs = questions.iter().zip(&answers[others..]);
    pairs.map(|(question, rows)| question.read(rows)).collect()
}

/// What is said of the first object, column or role that was not found.
fn first_lacking(selection: &Selection, found: &[Holding]) -> Option<Error> {
    let first = if selection.class == Class::Function {
        None
    } else {
        first_lacking_object(selection, found)
    };
    first.or_else(|| first_lacking_creator(selection, found))
}

fn first_lacking_creator(selection: &Selection, found: &[Holding]) -> Option<Error> {
    let is_there = |creator: &Name| {
        found.iter().any(
            |holding| matches!(&holding.place, Place::Future { creator: it, .. } if it == creator),
        )
    };
    let creators = selection.creators.iter().enumerate();
    let (position, creator) = creators
        .into_iter()
        .find(|(_, creator)| !is_there(creator))?;
    let pointer = selection.creators_at.replace('*', &position.to_string());
    Some(missing(&pointer, "role", creator, "there is no"))
}

fn first_lacking_object(selection: &Selection, found: &[Holding]) -> Option<Error> {
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

/// The object identifier of a function, or why there is none. Not within a
/// transaction, which a failure would end.
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
    // An unknown type or schema is an error, not a null, up to version 15.
    let found = sqlx::query("SELECT to_regprocedure($1)::oid::int8")
        .bind(format!("{}.{}{arguments}", Ident(schema), Ident(&name)))
        .fetch_one(&mut *connection)
        .await;
    match found {
        Ok(row) => Ok(column::<Option<i64>>(&row, 0)?.ok_or_else(none)),
        Err(error) if is_about_a_name(&error) => {
            let why = error
                .as_database_error()
                .map(|error| error.message().to_owned());
            Ok(Err(none().because(why.unwrap_or_default())))
        }
        Err(error) => Err(failure::stating("unable to look up a function", &error)),
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
    server: &mut Server,
    schema: &Name,
    tables: Vec<String>,
    grantee: &Grantee,
) -> Result<Vec<Holding>> {
    let selection = Selection {
        class: Class::Table,
        schema: Some(schema.clone()),
        objects: tables,
        all: false,
        columns: Vec::new(),
        creators: Vec::new(),
        creators_at: "",
    };
    let whom = match grantee.name {
        Some(_) => Whom::Known(grantee.oid),
        None => Whom::Everybody,
    };
    let question = Question::about(server, &selection, Class::Column, whom).await?;
    let readings = read(server, &[question]).await?;
    let mut found: Vec<_> = readings.into_iter().flat_map(|it| it.holdings).collect();
    found.retain(|holding| !holding.entries.is_empty());
    Ok(found)
}
