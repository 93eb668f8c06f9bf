//! The kind `postgresql_database`.

mod create;
mod facts;

use std::fmt;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Effect, Error, Mark, Object, Observed, Prior, ResourceKind, Result,
    Retry, Step, Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use create::create;
use facts::{Facts, look_up};

use crate::connection::Connection;
use crate::limit::ConnectionLimit;
use crate::lock;
use crate::name::Name;
use crate::server::{RecordedOutputs, on_server, predicted_outputs, run};
use crate::sql::{Ident, Literal};

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
    #[serde(default = "crate::defaults::yes")]
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
