//! Creating a database.

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;

use super::{Inputs, comment};
use crate::name::Name;
use crate::server::{on_server, run};
use crate::sql::{Ident, Literal};
use crate::{failure, lock};

/// CREATE DATABASE and COMMENT can't be one transaction: it is made under a
/// staging name, marked, and renamed, so that its own name is never unmarked.
pub(super) async fn create(cx: &Context, inputs: &Inputs) -> Result<()> {
    let database = Ident(&inputs.name);
    let doing = format!("unable to create database {database}");
    let staging = staging_name(cx, inputs)?;
    let staged = Ident(&staging);
    on_server(cx, &inputs.connection, None, async |server| {
        let connection = &mut server.connection;
        lock::hold(cx, connection, &doing).await?;
        refuse_taken_name(connection, inputs, &doing).await?;
        // Left by somebody who was killed; the lock says that nobody makes it now.
        run(
            connection,
            &doing,
            format!("DROP DATABASE IF EXISTS {staged}"),
        )
        .await?;
        cx.failpoint("database:cleared");
        run(connection, &doing, creation(inputs, &staging))
            .await
            .map_err(|error| name_input(error, inputs, &doing))?;
        cx.failpoint("database:created");
        run(connection, &doing, comment(&staging, &cx.mark())).await?;
        cx.failpoint("database:marked");
        run(
            connection,
            &doing,
            format!("ALTER DATABASE {staged} RENAME TO {database}"),
        )
        .await?;
        cx.failpoint("database:renamed");
        lock::release(connection).await
    })
    .await
}

async fn refuse_taken_name(
    connection: &mut PgConnection,
    inputs: &Inputs,
    doing: &str,
) -> Result<()> {
    let taken = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(inputs.name.as_str())
        .fetch_optional(connection)
        .await
        .map_err(|error| failure::stating(doing, &error))?;
    if taken.is_none() {
        return Ok(());
    }
    // Whose it is shows when it is looked at again.
    Err(Error::new(doing)
        .because("somebody else has just made it")
        .retry(Retry::UntilDeadline))
}

fn creation(inputs: &Inputs, staging: &Name) -> String {
    let needs_pristine = inputs.encoding.is_some() || inputs.locale.is_some();
    let template = match &inputs.template {
        Some(template) => format!(" TEMPLATE {}", Ident(template)),
        None if needs_pristine => " TEMPLATE template0".to_owned(),
        None => String::new(),
    };
    let option = |keyword: &str, value: Option<String>| {
        value.map_or_else(String::new, |value| format!(" {keyword} {value}"))
    };
    let literal = |text: &Option<String>| text.as_ref().map(|text| Literal(text).to_string());
    let owner = inputs
        .owner_role
        .as_ref()
        .map(|role| Ident(role).to_string());
    [
        format!("CREATE DATABASE {}", Ident(staging)),
        option("OWNER", owner),
        template,
        option("ENCODING", literal(&inputs.encoding)),
        option("LC_COLLATE", literal(&inputs.locale)),
        option("LC_CTYPE", literal(&inputs.locale)),
        format!(
            " CONNECTION LIMIT {} ALLOW_CONNECTIONS {}",
            inputs.connection_limit, inputs.allow_connections
        ),
    ]
    .concat()
}

/// Finds the input that the server's complaint is about. `doing` is what the
/// error begins with.
fn name_input(error: Error, inputs: &Inputs, doing: &str) -> Error {
    let text = error.to_string();
    let complaint = text
        .trim_start_matches(doing)
        .split("\nhint: ")
        .next()
        .unwrap_or_default();
    let about = |word: &str| complaint.contains(word);
    let names = |name: &Option<Name>| {
        name.as_ref()
            .is_some_and(|name| about(&format!("\"{name}\"")))
    };
    if about("encoding") {
        error.at("/encoding").hint(
            "set an encoding that the server knows and that goes with the template and the locale; \
             template0 goes with each",
        )
    } else if about("locale") || about("collation") || about("LC_C") {
        error.at("/locale").hint(
            "set a locale that `locale -a` lists on the server's machine; with another one than the \
             template's, leave template unset",
        )
    } else if about("template database") {
        error
            .at("/template")
            .hint("set template to a database that is there, or leave it unset")
    } else if about("role") && names(&inputs.owner_role) {
        error.at("/ownerRole")
    } else if names(&inputs.template) {
        error.at("/template")
    } else {
        error
    }
}

/// The same for each try of the same thing, and for nothing else.
fn staging_name(cx: &Context, inputs: &Inputs) -> Result<Name> {
    let digest = Sha256::new()
        .chain_update(cx.owner().as_str())
        .chain_update([0])
        .chain_update(inputs.name.as_str())
        .finalize();
    Name::try_from(format!("nixops4-staging-{}", hex::encode(&digest[..8]))).map_err(Error::new)
}
