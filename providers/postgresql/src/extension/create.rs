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
    inside::change_marked(cx, at, database, &whom, &doing, &statements, marked)
        .await
        .map_err(|error| explain(error, wanted.name))
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
        (Some(schema), _) => Some(schema.clone()),
        // It creates the one that it insists on.
        (None, Some(_)) => None,
        (None, None) => Some(Name::of_server("public".to_owned())?),
    };
    Ok((schema, chosen.description.clone()))
}

/// Finds the input that the server's complaint is about, and what to do about it.
pub(super) fn explain(error: Error, name: &Name) -> Error {
    let text = error.to_string();
    let about = |words: &str| text.contains(words);
    if about("required extension") {
        error.at("/cascade").hint(
            "declare the extension that it requires and let this one depend on it, or set cascade = true",
        )
    } else if about("schema \"") && about("does not exist") {
        error
            .at("/schema")
            .hint("declare that schema, and use its `name` output here")
    } else if about("must be installed in schema") {
        error.at("/schema").hint("leave schema out")
    } else if about("permission denied to create extension") {
        error.hint(format!(
            "{:?} is no trusted extension: log in as a superuser to create it",
            name.as_str()
        ))
    } else {
        error
    }
}
