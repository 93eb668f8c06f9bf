//! Creating an extension, from what the server has the files of.

use std::fmt::Write as _;

use nixops4_provider_sdk::{Context, Error, Result};
use sqlx::postgres::{PgConnection, PgRow};

use super::comment;
use crate::assume::For;
use crate::comment::with_mark;
use crate::connection::Connection;
use crate::name::Name;
use crate::server::column;
use crate::sql::{Ident, Literal};
use crate::witness::Class;
use crate::{failure, inside};

/// What the server has of an extension that isn't there.
const AVAILABLE: &str = "
    SELECT a.comment, v.version, v.schema::text, v.version = a.default_version
    FROM pg_available_extensions a JOIN pg_available_extension_versions v USING (name)
    WHERE a.name = $1
    ORDER BY v.version";

/// An extension that is to be created.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a Name,
    pub(crate) schema: Option<&'a Name>,
    pub(crate) version: Option<&'a str>,
    pub(crate) cascade: bool,
}

/// Creates an extension with our mark in its comment.
pub(crate) async fn create(
    cx: &Context,
    at: &Connection,
    database: &Name,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let extension = Ident(wanted.name);
    let doing = format!("unable to create extension {extension}");
    let here = inside::observe(cx, at, database, None, async |server, _, _| {
        available(&mut server.connection, wanted.name, &doing)
            .await
            .map(Some)
    })
    .await?;
    let Some(available) = here else {
        return Err(Error::input(
            "/database",
            format!("there is no database {:?}", database.as_str()),
        )
        .hint("declare that database, and use its `name` output here"));
    };
    let (schema, description) = choose(wanted, &available)?;
    let mut statements = format!("CREATE EXTENSION {extension}");
    if let Some(schema) = schema {
        let _ = write!(statements, " SCHEMA {}", Ident(&schema));
    }
    if let Some(version) = wanted.version {
        let _ = write!(statements, " VERSION {}", Literal(version));
    }
    if wanted.cascade {
        statements.push_str(" CASCADE");
    }
    let mark = cx.mark();
    let text = with_mark(description.as_deref(), &mark);
    let _ = write!(statements, "; {}", comment(wanted.name, &text));
    let whom = For {
        roles: &[],
        database_owner: true,
    };
    let marked = (Class::Extension, wanted.name, &mark);
    match inside::change_marked(cx, at, database, &whom, &doing, &statements, marked).await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain(cx, at, database, wanted, error).await),
    }
}

/// A version that the server has the files of.
#[derive(Debug)]
struct Available {
    description: Option<String>,
    version: String,
    /// The schema that it insists on.
    schema: Option<String>,
    is_default: bool,
}

async fn available(
    connection: &mut PgConnection,
    name: &Name,
    doing: &str,
) -> Result<Vec<Available>> {
    let rows = sqlx::query(AVAILABLE)
        .bind(name.as_str())
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating(doing, &error))?;
    let read = |row: &PgRow| {
        Ok(Available {
            description: column(row, 0)?,
            version: column(row, 1)?,
            schema: column(row, 2)?,
            is_default: column::<Option<bool>>(row, 3)?.unwrap_or_default(),
        })
    };
    rows.iter().map(read).collect()
}

/// The schema to name, and the description, of the version that is wanted.
fn choose(wanted: &Wanted<'_>, available: &[Available]) -> Result<(Option<Name>, Option<String>)> {
    let name = wanted.name.as_str();
    if available.is_empty() {
        return Err(Error::input("/name", format!("the server has no extension {name:?}")).hint(
            "install its files on the server (on NixOS services.postgresql.extensions); SELECT name \
             FROM pg_available_extensions lists what is there",
        ));
    }
    let chosen = match wanted.version {
        Some(version) => available.iter().find(|one| one.version == version),
        None => available
            .iter()
            .find(|one| one.is_default)
            .or(available.first()),
    };
    let Some(chosen) = chosen else {
        let versions: Vec<_> = available.iter().map(|one| one.version.as_str()).collect();
        let wanted = wanted.version.unwrap_or_default();
        return Err(Error::input(
            "/version",
            format!(
                "the server has no version {wanted:?} of extension {name:?}, but {}",
                versions.join(", ")
            ),
        )
        .hint("set version to one of these, or install that version's files on the server"));
    };
    let schema = match (wanted.schema, &chosen.schema) {
        (Some(schema), Some(only)) if schema.as_str() != only => {
            return Err(Error::input(
                "/schema",
                format!("extension {name:?} can only be in schema {only:?}"),
            )
            .hint("leave schema out"));
        }
        (Some(schema), _) => Some(schema.clone()),
        // It creates the one that it insists on.
        (None, Some(_)) => None,
        (None, None) => Some(Name::of_server("public".to_owned())?),
    };
    Ok((schema, chosen.description.clone()))
}

/// What an extension lacks, as the catalog has it: the extensions that it requires and
/// that aren't there, whether its schema is, and whether anybody but a superuser may
/// create it.
const LACKING: &str = "
    SELECT ARRAY(SELECT r::text FROM unnest(v.requires) r
                 WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = r)),
           $3::text IS NULL OR EXISTS (SELECT FROM pg_namespace WHERE nspname = $3),
           v.superuser AND NOT v.trusted
    FROM pg_available_extensions a JOIN pg_available_extension_versions v USING (name)
    WHERE a.name = $1 AND v.version = coalesce($2, a.default_version)";

/// Finds the input that a refusal is about, and what to do about it.
pub(super) async fn explain(
    cx: &Context,
    at: &Connection,
    database: &Name,
    wanted: &Wanted<'_>,
    error: Error,
) -> Error {
    let lacking = inside::observe(cx, at, database, None, async |server, _, _| {
        let row = sqlx::query(LACKING)
            .bind(wanted.name.as_str())
            .bind(wanted.version)
            .bind(wanted.schema.map(Name::as_str))
            .fetch_optional(&mut server.connection)
            .await
            .map_err(|error| failure::stating("unable to see what an extension needs", &error))?;
        let read = |row: PgRow| -> Result<(Vec<String>, bool, bool)> {
            Ok((column(&row, 0)?, column(&row, 1)?, column(&row, 2)?))
        };
        row.map(read).transpose()
    });
    // Whoever can't be asked leaves it at what failed.
    let Ok(Some((required, schema_is_there, is_superusers))) = lacking.await else {
        return error;
    };
    match error.code() {
        Some(failure::UNDEFINED_OBJECT) if !required.is_empty() => error.at("/cascade").hint(format!(
            "declare what it requires ({}) and let this one depend on it, or set cascade = true",
            required.join(", ")
        )),
        Some(failure::UNDEFINED_SCHEMA) if !schema_is_there => error
            .at("/schema")
            .hint("declare that schema, and use its `name` output here"),
        Some(failure::INSUFFICIENT_PRIVILEGE) if is_superusers => error.hint(format!(
            "{:?} is no trusted extension: log in as a superuser to create it",
            wanted.name.as_str()
        )),
        _ => error,
    }
}
