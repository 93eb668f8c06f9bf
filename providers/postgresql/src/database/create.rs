//! Making a database, so that it is never there without its mark.
//!
//! CREATE DATABASE refuses a transaction: the database is made under a staging
//! name, marked, and gets its own name in one transaction with all the rest that
//! is wanted of it. Until then it is the administrator's own.

use std::fmt::Write as _;

use nixops4_provider_sdk::{Context, Error, Owner, Result, Retry};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;

use super::change::{comment_on, extend, owner_change};
use super::creatable;
use super::inputs::Inputs;
use crate::lock::{self, blame};
use crate::name::Name;
use crate::server::{Server, leave_database, on_server, run};
use crate::settings;
use crate::sql::{Ident, Literal};
use crate::{admin, failure, sessions, witness};

/// What the name of a database begins with that isn't ready yet.
const STAGING: &str = "nixops4-staging-";

/// Makes a database, with all that is wanted of it.
pub(crate) async fn create(cx: &Context, inputs: &Inputs) -> Result<()> {
    let database = Ident(&inputs.name);
    let doing = format!("unable to create database {database}");
    let staging = staging_name(cx, inputs)?;
    let staged = Ident(&staging);
    if let Some(template) = &inputs.template {
        leave_database(cx, &inputs.connection, template).await?;
        on_server(cx, &inputs.connection, None, async |server| {
            sessions::clear_template(server, template).await
        })
        .await?;
    }
    on_server(cx, &inputs.connection, None, async |server| {
        let connection = &mut server.connection;
        lock::hold(cx, connection, &doing).await?;
        refuse_taken_name(connection, inputs, &doing).await?;
        creatable::refuse_faults(server, inputs).await?;
        let connection = &mut server.connection;
        // Left by somebody who was killed; the lock says that nobody makes it now.
        run(
            connection,
            &doing,
            format!("DROP DATABASE IF EXISTS {staged}"),
        )
        .await?;
        cx.failpoint("database:cleared");
        if let Err(error) = run(connection, &doing, creation(inputs, &staging)).await {
            return Err(creatable::blame(server, inputs, error, &doing).await);
        }
        cx.failpoint("database:created");
        if let Err(error) = finish(cx, server, inputs, &staging, &doing).await {
            clear_away(&mut server.connection, &staging).await;
            return Err(error);
        }
        cx.failpoint("database:renamed");
        lock::release(&mut server.connection).await
    })
    .await?;
    for extension in &inputs.extensions {
        extend(cx, inputs, extension).await?;
    }
    Ok(())
}

/// Marks it, sets what CREATE DATABASE doesn't, gives it its name and then its
/// owner.
async fn finish(
    cx: &Context,
    server: &mut Server,
    inputs: &Inputs,
    staging: &Name,
    doing: &str,
) -> Result<()> {
    let mark = cx.mark();
    let witness = witness::of_new_database(server).await?;
    let vouching = witness.vouching(&server.admin, staging, &mark);
    let comment = comment_on(staging, inputs.comment.as_deref(), &mark);
    run(
        &mut server.connection,
        doing,
        format!("{comment}{vouching}"),
    )
    .await?;
    cx.failpoint("database:marked");
    let (staged, database) = (Ident(staging), Ident(&inputs.name));
    let owner: Vec<_> = inputs.owner_role.iter().collect();
    let roles: Vec<_> = owner.iter().map(|role| role.as_str()).collect();
    let acting = admin::acting_for(server, &roles).await?;
    let (connection, admin) = (&mut server.connection, &server.admin);
    run(connection, doing, "BEGIN").await?;
    if let Some(settings) = inputs
        .settings
        .as_ref()
        .filter(|settings| !settings.is_empty())
    {
        run(
            connection,
            doing,
            settings::all(&format!("ALTER DATABASE {staged}"), settings),
        )
        .await
        .map_err(|error| blame(error, Some("/settings")))?;
    }
    let mut statements = String::new();
    if inputs.revoke_public {
        let _ = write!(statements, "REVOKE ALL ON DATABASE {staged} FROM PUBLIC; ");
    }
    if inputs.is_template {
        let _ = write!(statements, "ALTER DATABASE {staged} IS_TEMPLATE true; ");
    }
    let _ = write!(statements, "ALTER DATABASE {staged} RENAME TO {database}");
    run(connection, doing, statements).await?;
    if let Some(role) = &inputs.owner_role {
        run(
            connection,
            doing,
            acting.around(&owner_change(inputs, role, admin)),
        )
        .await
        .map_err(|error| blame(error, Some("/ownerRole")))?;
    }
    run(connection, doing, "COMMIT").await
}

/// Drops what can't be finished. Where that fails, the next try does it.
async fn clear_away(connection: &mut PgConnection, staging: &Name) {
    let doing = "unable to clear an unfinished database away";
    for statement in [
        "ROLLBACK".to_owned(),
        format!("DROP DATABASE IF EXISTS {}", Ident(staging)),
    ] {
        if let Err(error) = run(connection, doing, statement).await {
            tracing::warn!("{error}");
            return;
        }
    }
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
    let mut statement = format!("CREATE DATABASE {}", Ident(staging));
    let mut options = String::new();
    if let Some(encoding) = &inputs.encoding {
        let _ = write!(options, " ENCODING {}", Literal(encoding));
    }
    if let Some(provider) = inputs.locale_provider {
        let _ = write!(options, " LOCALE_PROVIDER {}", provider.keyword());
    }
    for (keyword, value) in [
        ("LC_COLLATE", inputs.collation().map(|(_, locale)| locale)),
        (
            "LC_CTYPE",
            inputs.character_type().map(|(_, locale)| locale),
        ),
        ("ICU_LOCALE", inputs.icu_locale.as_deref()),
        ("BUILTIN_LOCALE", inputs.builtin_locale.as_deref()),
    ] {
        if let Some(locale) = value {
            let _ = write!(options, " {keyword} {}", Literal(locale));
        }
    }
    // Nobody can connect to template0, so that nobody can hold this up; and another
    // locale than that of what is copied needs one that holds nothing.
    let template = inputs.template.as_ref();
    let template = template.map_or_else(|| "template0".to_owned(), |name| Ident(name).to_string());
    let _ = write!(statement, " TEMPLATE {template}");
    statement.push_str(&options);
    if let Some(tablespace) = &inputs.tablespace {
        let _ = write!(statement, " TABLESPACE {}", Ident(tablespace));
    }
    let _ = write!(
        statement,
        " CONNECTION LIMIT {} ALLOW_CONNECTIONS {}",
        inputs.connection_limit, inputs.allow_connections
    );
    statement
}

/// The same for each try of the same thing, and for nothing else.
fn staging_name(cx: &Context, inputs: &Inputs) -> Result<Name> {
    let prefix = staging_prefix(cx.owner());
    Name::of_server(format!("{prefix}{}", short_hash(inputs.name.as_str())))
}

/// What the names of an owner's databases begin with that aren't ready yet. Until
/// one is marked, that alone says whose it is.
pub(crate) fn staging_prefix(owner: &Owner) -> String {
    format!("{STAGING}{}-", short_hash(owner.as_str()))
}

/// Whether a database isn't ready: nobody has been given it.
pub(super) fn is_staged(name: &str) -> bool {
    name.starts_with(STAGING)
}

fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}
