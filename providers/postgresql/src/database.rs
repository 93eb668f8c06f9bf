//! The kind `postgresql_database`.

use std::fmt;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Effect, Error, Mark, Object, Observed, Ownership, Prior, ResourceKind,
    Result, Retry, Step, Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;

use crate::connection::Connection;
use crate::limit::ConnectionLimit;
use crate::name::Name;
use crate::server::{RecordedOutputs, Server, column, on_server, predicted_outputs, run};
use crate::sql::{Ident, Literal};
use crate::{failure, lock};

/// A database on a PostgreSQL server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(crate) connection: Connection,
    /// Name of the database. Changing it renames the database.
    pub(crate) name: Name,
    /// The role that owns it. Unset: the role that creates it, and it is left
    /// alone afterwards.
    #[serde(default)]
    pub(crate) owner_role: Option<Name>,
    /// Character encoding, such as `UTF8`. It can't be changed afterwards. Unset:
    /// the template's.
    #[serde(default)]
    pub(crate) encoding: Option<String>,
    /// Locale (`LC_COLLATE` and `LC_CTYPE`) of the operating system, such as
    /// `C.UTF-8`. It can't be changed afterwards. Unset: the template's.
    #[serde(default)]
    pub(crate) locale: Option<String>,
    /// The database to copy when this one is created; of no meaning afterwards.
    /// Unset: `template0` where `encoding` or `locale` is set, else `template1`.
    #[serde(default)]
    pub(crate) template: Option<Name>,
    /// How many connections it takes at once; -1 for no limit.
    #[serde(default)]
    pub(crate) connection_limit: ConnectionLimit,
    /// Whether it takes connections at all.
    #[serde(default = "crate::yes")]
    pub(crate) allow_connections: bool,
}

/// What an expression can read of a database.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the database.
    name: String,
    /// Host of the server, as the input `connection` has it.
    host: String,
    /// Port of the server.
    port: u16,
    /// The role that owns it.
    owner_role: String,
    /// The database's object identifier: what it is found by after a rename.
    oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    system_identifier: String,
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    connection: Connection,
    name: Name,
}

/// A database on a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    server: String,
    database: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "database {:?} on {}",
            self.database.as_str(),
            self.server
        )
    }
}

/// A database as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    oid: i64,
    system_identifier: String,
    name: String,
    owner_role: String,
    encoding: String,
    /// Whether the wanted encoding is another name of the one it has.
    has_wanted_encoding: bool,
    collate: String,
    ctype: String,
    connection_limit: i32,
    allow_connections: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Rename {
        from: Name,
    },
    OwnerRole(Name),
    ConnectionLimit,
    AllowConnections,
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

const OBSERVE: &str = "
    SELECT d.oid::int8, d.datname::text, r.rolname::text, pg_encoding_to_char(d.encoding)::text,
           coalesce(pg_char_to_encoding($3) = d.encoding, false), d.datcollate::text,
           d.datctype::text, d.datconnlimit, d.datallowconn,
           shobj_description(d.oid, 'pg_database')
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
    WHERE d.oid = $1::int8::oid OR d.datname = $2
    ORDER BY d.oid = $1::int8::oid DESC
    LIMIT 1";

/// See [`Inputs`].
pub(crate) struct Database;

impl ResourceKind for Database {
    const TYPE: &'static str = "postgresql_database";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name"];
    const LASTING: &'static [&'static str] = &["oid", "systemIdentifier"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, RecordedOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        for (pointer, text) in [("/encoding", &inputs.encoding), ("/locale", &inputs.locale)] {
            if text
                .as_ref()
                .is_some_and(|text| text.is_empty() || text.contains('\0'))
            {
                return Err(Error::input(
                    pointer,
                    "this can't be empty or have a NUL character in it",
                ));
            }
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            database: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            database: inputs.name.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            name: facts.name.clone(),
            host: inputs.connection.host.clone(),
            port: inputs.connection.port,
            owner_role: facts.owner_role.clone(),
            oid: facts.oid,
            system_identifier: facts.system_identifier.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = predicted_outputs(inputs.name.as_str(), &inputs.connection);
        if let Some(role) = &inputs.owner_role {
            outputs.insert("ownerRole".to_owned(), role.as_str().into());
        }
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        let oid = prior.and_then(|prior| prior.outputs.oid);
        on_server(cx, &inputs.connection, known_server, async |server| {
            look_up(server, oid, &inputs.name, inputs.encoding.as_deref()).await
        })
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let name = &inputs.name;
        let database = Ident(name);
        let (doing, statement) = match change {
            Change::Create => return create(cx, inputs).await,
            Change::Rename { from } => return rename(cx, inputs, &from).await,
            Change::OwnerRole(role) => (
                format!(
                    "unable to make {} the owner of database {database}",
                    Ident(&role)
                ),
                format!("ALTER DATABASE {database} OWNER TO {}", Ident(&role)),
            ),
            Change::ConnectionLimit => (
                format!("unable to limit the connections of database {database}"),
                format!(
                    "ALTER DATABASE {database} CONNECTION LIMIT {}",
                    inputs.connection_limit
                ),
            ),
            Change::AllowConnections => (
                format!("unable to open or close database {database}"),
                format!(
                    "ALTER DATABASE {database} ALLOW_CONNECTIONS {}",
                    inputs.allow_connections
                ),
            ),
            Change::Refused => {
                return Err(Error::new(format!(
                    "database {database} can't be changed in place"
                )));
            }
        };
        lock::transact(cx, &inputs.connection, &doing, &statement).await
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let name = current_name(facts)?;
        let doing = format!("unable to mark database {}", Ident(&name));
        lock::transact(cx, &inputs.connection, &doing, &comment(&name, mark)).await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.outputs.system_identifier.as_deref();
        on_server(cx, &prior.inputs.connection, known_server, async |server| {
            look_up(server, prior.outputs.oid, &prior.inputs.name, None).await
        })
        .await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let name = current_name(facts)?;
        let database = Ident(&name);
        let doing = format!("unable to drop database {database}");
        on_server(cx, &prior.inputs.connection, None, async |server| {
            let connection = &mut server.connection;
            lock::hold(cx, connection, &doing).await?;
            // DELETE is what the author asked for: whoever is connected is sent off.
            // Another process may have been quicker.
            run(
                connection,
                &doing,
                format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            )
            .await?;
            lock::release(connection).await
        })
        .await
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let name = current_name(facts)?;
        let database = Ident(&name);
        let statements = format!(
            "ALTER DATABASE {database} ALLOW_CONNECTIONS false; {}; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}",
            comment(&name, mark),
            Literal(name.as_str())
        );
        let doing = format!("unable to retire database {database}");
        lock::transact(cx, &prior.inputs.connection, &doing, &statements).await
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let mut steps = Vec::new();
    if let Ok(from) = current_name(have)
        && from != want.name
    {
        let change = Change::Rename { from: from.clone() };
        steps.push(
            Step::set(
                "/name",
                Value::known(&from),
                Value::known(&want.name),
                change,
            )
            .effect(Effect::Disruptive)
            .note("renaming fails while anybody is connected to it"),
        );
    }
    if let Some(encoding) = &want.encoding
        && !have.has_wanted_encoding
    {
        steps.push(refused("/encoding", &have.encoding, encoding));
    }
    if let Some(locale) = &want.locale {
        let other = [&have.collate, &have.ctype]
            .into_iter()
            .find(|have| !same_locale(have, locale));
        steps.extend(other.map(|other| refused("/locale", other, locale)));
    }
    if let Some(role) = &want.owner_role
        && role.as_str() != have.owner_role
    {
        let change = Change::OwnerRole(role.clone());
        steps.push(Step::set(
            "/ownerRole",
            Value::known(&have.owner_role),
            Value::known(role),
            change,
        ));
    }
    if want.connection_limit != have.connection_limit {
        steps.push(Step::set(
            "/connectionLimit",
            Value::known(have.connection_limit),
            Value::known(want.connection_limit),
            Change::ConnectionLimit,
        ));
    }
    if want.allow_connections != have.allow_connections {
        steps.push(Step::set(
            "/allowConnections",
            Value::known(have.allow_connections),
            Value::known(want.allow_connections),
            Change::AllowConnections,
        ));
    }
    steps
}

fn refused(path: &str, have: &str, want: &str) -> Step<Change> {
    Step::set(
        path,
        Value::known(have),
        Value::known(want),
        Change::Refused,
    )
    .effect(Effect::Replace)
    .note(
        "a database keeps the encoding and locale that it was created with; declare a new one, \
             copy the data with pg_dump and pg_restore, and remove this one; or set the input back",
    )
}

/// The C library takes several spellings of a locale's codeset.
fn same_locale(one: &str, other: &str) -> bool {
    let normal = |locale: &str| match locale.split_once('.') {
        Some((language, codeset)) => {
            format!(
                "{language}.{}",
                codeset.replace(['-', '_'], "").to_lowercase()
            )
        }
        None => locale.to_owned(),
    };
    normal(one) == normal(other)
}

/// The name that the server has for it; not the wanted one before a rename.
fn current_name(facts: &Facts) -> Result<Name> {
    Name::try_from(facts.name.clone()).map_err(Error::new)
}

async fn look_up(
    server: &mut Server,
    oid: Option<i64>,
    name: &Name,
    encoding: Option<&str>,
) -> Result<Option<Observed<Facts>>> {
    let row = sqlx::query(OBSERVE)
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
    let facts = Facts {
        oid: column(&row, 0)?,
        system_identifier: server.id.clone(),
        name: column(&row, 1)?,
        owner_role: column(&row, 2)?,
        encoding: column(&row, 3)?,
        has_wanted_encoding: column(&row, 4)?,
        collate: column(&row, 5)?,
        ctype: column(&row, 6)?,
        connection_limit: column(&row, 7)?,
        allow_connections: column(&row, 8)?,
    };
    let comment: Option<String> = column(&row, 9)?;
    Ok(Some(Observed {
        facts,
        ownership: Ownership::from_comment(comment.as_deref()),
    }))
}

/// CREATE DATABASE and COMMENT can't be one transaction: it is made under a
/// staging name, marked, and renamed, so that its own name is never unmarked.
async fn create(cx: &Context, inputs: &Inputs) -> Result<()> {
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

async fn rename(cx: &Context, inputs: &Inputs, from: &Name) -> Result<()> {
    let (old, new) = (Ident(from), Ident(&inputs.name));
    let doing = format!("unable to rename database {old} to {new}");
    lock::transact(
        cx,
        &inputs.connection,
        &doing,
        &format!("ALTER DATABASE {old} RENAME TO {new}"),
    )
    .await
    // The new name being taken doesn't pass by waiting.
    .map_err(|error| error.at("/name").retry(Retry::Never))
}

fn comment(name: &Name, mark: &Mark) -> String {
    format!(
        "COMMENT ON DATABASE {} IS {}",
        Ident(name),
        Literal(&mark.to_string())
    )
}
