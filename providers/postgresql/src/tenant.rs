//! The kind `postgresql_tenant`: a role and a database of its own.
//!
//! It is made of the kinds `postgresql_role` and `postgresql_database`, through
//! what every kind offers, and must not know how those do their work.

mod ownership;
mod parts;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Prior, ResourceKind, Result, SecretRef,
    Step,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::database::{self, Database};
use crate::limit::ConnectionLimit;
use crate::name::Name;
use crate::role::{self, Role};

use ownership::Moment;
use parts::Parts;

/// What one application needs of a PostgreSQL server: a role that logs in, and a
/// database that it owns and nobody else can connect to. Retaining it locks the
/// login out and closes the database; declaring it again opens both, with
/// everything in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server, as an administrator reaches it.
    connection: Connection,
    /// Name of the tenant, and of its role and database unless they say otherwise.
    name: Name,
    /// Name of the role. Changing it renames the role. Unset: as `name`.
    #[serde(default)]
    role: Option<Name>,
    /// Name of the database. Changing it renames the database. Unset: as `name`.
    #[serde(default)]
    database: Option<Name>,
    /// The role's password, by reference. Unset: it is left alone, and the role logs
    /// in by `peer` or certificate.
    #[serde(default)]
    password: Option<SecretRef>,
    /// Whether to find out by logging in as the role whether the server has the
    /// password, as the kind `postgresql_role` does it.
    #[serde(default)]
    verify_password: bool,
    /// Extensions that have to be in the database, in their default version. Others
    /// are left alone; the kind `postgresql_extension` says more of one.
    #[serde(default)]
    extensions: BTreeSet<Name>,
    /// Whether only the tenant can connect to its database: PUBLIC loses all that it
    /// may do there, and gets nothing back if this is switched off later.
    #[serde(default = "crate::yes")]
    revoke_public: bool,
    /// How many connections the database takes at once; -1 for no limit.
    #[serde(default)]
    connection_limit: ConnectionLimit,
    /// How many connections the role may have at once; -1 for no limit.
    #[serde(default)]
    role_connection_limit: ConnectionLimit,
    /// Character encoding of the database, such as `UTF8`. It can't be changed
    /// afterwards. Unset: the template's.
    #[serde(default)]
    encoding: Option<String>,
    /// Locale of the database, such as `C.UTF-8`. It can't be changed afterwards.
    /// Unset: the template's.
    #[serde(default)]
    locale: Option<String>,
    /// The host that the outputs tell services. Unset: that of `connection`.
    #[serde(default)]
    host: Option<String>,
    /// The port that the outputs tell services. Unset: that of `connection`.
    #[serde(default)]
    port: Option<u16>,
}

/// What an expression can read of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Host for services to connect to; or the directory of the server's socket.
    host: String,
    /// Port for services to connect to.
    port: u16,
    /// Name of the database.
    database: String,
    /// Name of the role to log in as.
    user: String,
    /// The reference that was given for its password, if one was; never the value.
    password_ref: Option<PasswordRef>,
    /// `postgresql://USER@HOST:PORT/DATABASE`, without the password.
    url: String,
    /// The role's object identifier; `null` only where the role is missing.
    role_oid: Option<i64>,
    /// The database's object identifier; `null` only where the database is missing.
    database_oid: Option<i64>,
    /// The cluster's system identifier: what tells this server from another.
    system_identifier: String,
}

/// A reference to a secret, as an input takes it.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PasswordRef {
    /// Path of the file with the secret.
    file: Option<PathBuf>,
    /// Environment variable with the secret.
    env: Option<String>,
    /// Logical name of the secrets store.
    store: Option<String>,
    /// Name of the secret in its store.
    name: Option<String>,
    /// Generation of the secret.
    generation: Option<u32>,
    /// Random id of the value.
    id: Option<String>,
}

impl From<&SecretRef> for PasswordRef {
    fn from(reference: &SecretRef) -> Self {
        match reference {
            SecretRef::File(file) => Self {
                file: Some(file.clone()),
                ..Self::default()
            },
            SecretRef::Env(env) => Self {
                env: Some(env.clone()),
                ..Self::default()
            },
            SecretRef::Stored(stored) => Self {
                store: Some(stored.store.clone()),
                name: Some(stored.name.clone()),
                generation: Some(stored.generation),
                id: Some(stored.id.clone()),
                ..Self::default()
            },
        }
    }
}

/// A tenant of a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    server: String,
    role: Name,
    database: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, database) = (self.role.as_str(), self.database.as_str());
        write!(
            out,
            "tenant with role {role:?} and database {database:?} on {}",
            self.server
        )
    }
}

/// A tenant as the catalog has it; one of the two may be missing.
pub(crate) struct Facts {
    role: Option<Part<role::Facts>>,
    database: Option<Part<database::Facts>>,
}

/// A role or a database.
struct Part<F> {
    facts: F,
    is_retained: bool,
}

impl<F> From<Observed<F>> for Part<F> {
    fn from(seen: Observed<F>) -> Self {
        Self {
            is_retained: ownership::is_retained(&seen.ownership),
            facts: seen.facts,
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Role(role::Change),
    Database(database::Change),
}

/// What stands for itself in a URL.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// See [`Inputs`].
pub(crate) struct Tenant;

impl ResourceKind for Tenant {
    const TYPE: &'static str = "postgresql_tenant";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name", "role", "database"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<Object, Object>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.host.as_deref().is_some_and(str::is_empty) {
            return Err(Error::input("/host", "the host can't be empty")
                .hint("leave host out to tell services that of connection"));
        }
        let parts = Parts::wanted(inputs)?;
        Role::validate(&parts.role).map_err(|error| of_role(error, inputs))?;
        Database::validate(&parts.database).map_err(|error| of_database(error, inputs))
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            role: inputs.role_name().clone(),
            database: inputs.database_name().clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            server: parts::connection(prior)?.to_string(),
            role: parts::recorded_name(prior, "role")?,
            database: parts::recorded_name(prior, "database")?,
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        let role = facts.role.as_ref().map(|role| &role.facts);
        let database = facts.database.as_ref().map(|database| &database.facts);
        let user = role.map_or(inputs.role_name(), |role| &role.name);
        let name = database.map_or(inputs.database_name(), |database| &database.name);
        let server = role.map(|role| &role.system_identifier);
        let server = server.or(database.map(|database| &database.system_identifier));
        Outputs {
            host: inputs.service_host().to_owned(),
            port: inputs.service_port(),
            database: name.as_str().to_owned(),
            user: user.as_str().to_owned(),
            password_ref: inputs.password.as_ref().map(PasswordRef::from),
            url: url(inputs.service_host(), inputs.service_port(), user, name),
            role_oid: role.map(|role| role.oid),
            database_oid: database.map(|database| database.oid),
            system_identifier: server.cloned().unwrap_or_default(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let (host, port) = (inputs.service_host(), inputs.service_port());
        let (user, database) = (inputs.role_name(), inputs.database_name());
        let mut outputs = Object::new();
        outputs.insert("host".to_owned(), host.into());
        outputs.insert("port".to_owned(), port.into());
        outputs.insert("user".to_owned(), user.as_str().into());
        outputs.insert("database".to_owned(), database.as_str().into());
        outputs.insert("url".to_owned(), url(host, port, user, database).into());
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let parts = Parts::wanted(inputs)?;
        let role_prior = prior.map(parts::prior_of_role).transpose()?;
        let database_prior = prior.map(parts::prior_of_database).transpose()?;
        let role = Role::observe(cx, &parts.role, role_prior.as_ref()).await;
        let role = role.map_err(|error| of_role(error, inputs))?;
        let database = Database::observe(cx, &parts.database, database_prior.as_ref()).await;
        let database = database.map_err(|error| of_database(error, inputs))?;
        Ok(put_together(cx, role, database, Moment::Declared))
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        match change {
            Change::Create => {
                for step in Role::diff(&parts.role, None) {
                    apply_to_role(cx, inputs, &parts, step.change).await?;
                }
                cx.failpoint("tenant:role");
                for step in Database::diff(&parts.database, None) {
                    apply_to_database(cx, inputs, &parts, step.change).await?;
                }
                cx.failpoint("tenant:database");
                Ok(())
            }
            Change::Role(change) => apply_to_role(cx, inputs, &parts, change).await,
            Change::Database(change) => apply_to_database(cx, inputs, &parts, change).await,
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        if let Some(role) = &facts.role {
            Role::write_mark(cx, &parts.role, &role.facts, mark).await?;
        }
        cx.failpoint("tenant:role-marked");
        if let Some(database) = &facts.database {
            Database::write_mark(cx, &parts.database, &database.facts, mark).await?;
        }
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let role = Role::observe_recorded(cx, &parts::prior_of_role(prior)?).await?;
        let database = Database::observe_recorded(cx, &parts::prior_of_database(prior)?).await?;
        Ok(put_together(cx, role, database, Moment::Destroyed))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        if let Some(database) = &facts.database {
            let recorded = parts::prior_of_database(prior)?;
            Database::delete(cx, &recorded, &database.facts).await?;
            cx.failpoint("tenant:database-dropped");
        }
        // What it owns is another now.
        let recorded = parts::prior_of_role(prior)?;
        let Some(role) = Role::observe_recorded(cx, &recorded).await? else {
            return Ok(());
        };
        match Role::deletion(&role.facts, DeletionPolicy::Delete)? {
            DeletionPolicy::Delete => Role::delete(cx, &recorded, &role.facts).await,
            DeletionPolicy::Retain => {
                let name = parts::recorded_name(prior, "role")?;
                Err(Error::new(format!(
                    "the database is dropped, but role {:?} can't be, because it owns other databases \
                     that are retained",
                    name.as_str()
                ))
                .hint("give those to another role, or drop them; then destroy this again"))
            }
        }
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        // The role first: who is sent off then can't come back.
        if let Some(role) = facts.role.as_ref().filter(|role| !role.is_retained) {
            Role::retain(cx, &parts::prior_of_role(prior)?, &role.facts, mark).await?;
            cx.failpoint("tenant:role-retained");
        }
        if let Some(database) = facts
            .database
            .as_ref()
            .filter(|database| !database.is_retained)
        {
            Database::retain(cx, &parts::prior_of_database(prior)?, &database.facts, mark).await?;
        }
        Ok(())
    }
}

impl Inputs {
    fn role_name(&self) -> &Name {
        self.role.as_ref().unwrap_or(&self.name)
    }

    fn database_name(&self) -> &Name {
        self.database.as_ref().unwrap_or(&self.name)
    }

    fn service_host(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.connection.host)
    }

    fn service_port(&self) -> u16 {
        self.port.unwrap_or(self.connection.port)
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    // Validation has read the same already.
    let Ok(parts) = Parts::wanted(want) else {
        return Vec::new();
    };
    let role = have.role.as_ref();
    let mut steps: Vec<_> = Role::diff(&parts.role, role.map(|role| &role.facts))
        .into_iter()
        .map(|step| convert(step, |path| role_path(path, want), Change::Role))
        .collect();
    let database = have.database.as_ref().map(|database| &database.facts);
    // A database follows its owner through a rename.
    let follows = role
        .zip(database)
        .is_some_and(|(role, database)| database.owner_role == role.facts.name.as_str());
    steps.extend(
        Database::diff(&parts.database, database)
            .into_iter()
            .filter(|step| !(follows && step.path == "/ownerRole"))
            .map(|step| convert(step, |path| database_path(path, want), Change::Database)),
    );
    steps
}

/// The same step of a tenant.
fn convert<C>(
    step: Step<C>,
    path: impl FnOnce(&str) -> String,
    change: impl FnOnce(C) -> Change,
) -> Step<Change> {
    Step {
        path: path(&step.path),
        before: step.before,
        after: step.after,
        effect: step.effect,
        unverifiable: step.unverifiable,
        note: step.note,
        change: change(step.change),
    }
}

/// Where a tenant has what a role has at `path`.
fn role_path(path: &str, inputs: &Inputs) -> String {
    match path {
        "" | "/name" if inputs.role.is_none() => "/name".to_owned(),
        "" | "/name" => "/role".to_owned(),
        "/connectionLimit" => "/roleConnectionLimit".to_owned(),
        path => path.to_owned(),
    }
}

/// Where a tenant has what a database has at `path`.
fn database_path(path: &str, inputs: &Inputs) -> String {
    match path {
        "" | "/name" if inputs.database.is_none() => "/name".to_owned(),
        "" | "/name" => "/database".to_owned(),
        "/ownerRole" if inputs.role.is_none() => "/name".to_owned(),
        "/ownerRole" => "/role".to_owned(),
        path => path.to_owned(),
    }
}

fn of_role(error: Error, inputs: &Inputs) -> Error {
    match error.pointer().map(|pointer| role_path(pointer, inputs)) {
        Some(pointer) => error.at(pointer),
        None => error,
    }
}

fn of_database(error: Error, inputs: &Inputs) -> Error {
    match error
        .pointer()
        .map(|pointer| database_path(pointer, inputs))
    {
        Some(pointer) => error.at(pointer),
        None => error,
    }
}

/// `None` where neither is there.
fn put_together(
    cx: &Context,
    role: Option<Observed<role::Facts>>,
    database: Option<Observed<database::Facts>>,
    moment: Moment,
) -> Option<Observed<Facts>> {
    let whose = (role.as_ref(), database.as_ref());
    let ownership = match whose {
        (Some(role), Some(database)) => {
            ownership::together(&role.ownership, &database.ownership, &cx.mark(), moment).clone()
        }
        (Some(role), None) => role.ownership.clone(),
        (None, Some(database)) => database.ownership.clone(),
        (None, None) => return None,
    };
    let facts = Facts {
        role: role.map(Part::from),
        database: database.map(Part::from),
    };
    Some(Observed { facts, ownership })
}

async fn apply_to_role(
    cx: &Context,
    inputs: &Inputs,
    parts: &Parts,
    change: role::Change,
) -> Result<()> {
    Role::apply(cx, &parts.role, change)
        .await
        .map_err(|error| of_role(error, inputs))
}

async fn apply_to_database(
    cx: &Context,
    inputs: &Inputs,
    parts: &Parts,
    change: database::Change,
) -> Result<()> {
    Database::apply(cx, &parts.database, change)
        .await
        .map_err(|error| of_database(error, inputs))
}

/// The URL of a database, without a password. A socket's directory is a parameter:
/// not every client reads one in the place of the host.
fn url(host: &str, port: u16, user: &Name, database: &Name) -> String {
    let encode = |text| utf8_percent_encode(text, UNRESERVED);
    let (user, database) = (encode(user.as_str()), encode(database.as_str()));
    if host.starts_with('/') {
        format!(
            "postgresql://{user}@/{database}?host={}&port={port}",
            encode(host)
        )
    } else if host.contains(':') {
        format!("postgresql://{user}@[{host}]:{port}/{database}")
    } else {
        format!("postgresql://{user}@{host}:{port}/{database}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let name = |text: &str| Name::try_from(text.to_owned()).unwrap();
        for (host, user, database, expected) in [
            (
                "db.example",
                "app",
                "app",
                "postgresql://app@db.example:5432/app",
            ),
            ("::1", "app", "app", "postgresql://app@[::1]:5432/app"),
            (
                "/run/pg",
                "app",
                "app",
                "postgresql://app@/app?host=%2Frun%2Fpg&port=5432",
            ),
            (
                "h",
                "a@b:c/d",
                "ü?#",
                "postgresql://a%40b%3Ac%2Fd@h:5432/%C3%BC%3F%23",
            ),
        ] {
            assert_eq!(url(host, 5432, &name(user), &name(database)), expected);
        }
    }
}
