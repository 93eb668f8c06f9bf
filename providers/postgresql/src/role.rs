//! The kind `postgresql_role`.

mod attribute;
mod facts;

use std::collections::BTreeSet;
use std::fmt;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, ExposeSecret as _, Mark, Object, Observed, Prior, ResourceKind,
    Result, SecretRef, Step, Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use attribute::Attribute;
use facts::{Facts, Password, look_up, owned, password_state};

use crate::connection::Connection;
use crate::limit::ConnectionLimit;
use crate::lock;
use crate::name::Name;
use crate::scram;
use crate::server::{RecordedOutputs, on_server, predicted_outputs};
use crate::sql::{Ident, Literal};

/// A role on a PostgreSQL server: a user that logs in, or a group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a role has that many attributes"
)]
pub(crate) struct Inputs {
    /// The server.
    pub(crate) connection: Connection,
    /// Name of the role. Changing it renames the role.
    pub(crate) name: Name,
    /// Whether one can log in as this role.
    #[serde(default = "crate::defaults::yes")]
    pub(crate) login: bool,
    /// Whether no permission is ever checked for it.
    #[serde(default)]
    pub(crate) superuser: bool,
    /// Whether it may create databases.
    #[serde(default)]
    pub(crate) create_database: bool,
    /// Whether it may create, change and drop roles.
    #[serde(default)]
    pub(crate) create_role: bool,
    /// Whether it has the privileges of the roles that it is a member of without
    /// SET ROLE.
    #[serde(default = "crate::defaults::yes")]
    pub(crate) inherit_privileges: bool,
    /// Whether it may start streaming replication.
    #[serde(default)]
    pub(crate) replication: bool,
    /// Whether row level security doesn't apply to it.
    #[serde(default)]
    pub(crate) bypass_rls: bool,
    /// How many connections it may have at once; -1 for no limit.
    #[serde(default)]
    pub(crate) connection_limit: ConnectionLimit,
    /// Its password, by reference. The server is sent a SCRAM-SHA-256 verifier of
    /// it. Unset: the password is left alone.
    #[serde(default)]
    pub(crate) password: Option<SecretRef>,
    /// The roles that it is a member of, all of them. Unset: its memberships are
    /// left alone.
    #[serde(default)]
    pub(crate) member_of: Option<BTreeSet<Name>>,
}

/// What an expression can read of a role.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the role.
    name: String,
    /// Host of the server, as the input `connection` has it.
    host: String,
    /// Port of the server.
    port: u16,
    /// The role's object identifier: what it is found by after a rename.
    oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    system_identifier: String,
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    connection: Connection,
    name: Name,
    #[serde(default)]
    password: Option<SecretRef>,
}

/// A role on a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    server: String,
    role: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "role {:?} on {}", self.role.as_str(), self.server)
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Rename { from: Name },
    Set(Attribute),
    ConnectionLimit,
    Password,
    Join(Name),
    Leave(Name),
}

/// See [`Inputs`].
pub(crate) struct Role;

impl ResourceKind for Role {
    const TYPE: &'static str = "postgresql_role";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name"];
    const LASTING: &'static [&'static str] = &["oid", "systemIdentifier"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, RecordedOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        let name = inputs.name.as_str();
        if name.starts_with("pg_") || matches!(name, "public" | "none") {
            return Err(Error::input(
                "/name",
                format!("PostgreSQL keeps the name {name:?} for itself"),
            )
            .hint("choose a name that doesn't begin with pg_ and isn't public or none"));
        }
        if inputs
            .member_of
            .as_ref()
            .is_some_and(|roles| roles.contains(&inputs.name))
        {
            return Err(Error::input(
                "/memberOf",
                format!("the role {name:?} can't be a member of itself"),
            ));
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            role: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            role: inputs.name.clone(),
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
            oid: facts.oid,
            system_identifier: facts.system_identifier.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        predicted_outputs(inputs.name.as_str(), &inputs.connection)
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        let oid = prior.and_then(|prior| prior.outputs.oid);
        let recorded = prior.and_then(|prior| prior.inputs.password.as_ref());
        on_server(cx, &inputs.connection, known_server, async |server| {
            let Some(mut seen) = look_up(server, oid, &inputs.name).await? else {
                // A plan tells of a reference that leads nowhere, too.
                if let Some(reference) = &inputs.password {
                    cx.secret(reference, "/password").await?;
                }
                return Ok(None);
            };
            seen.facts.password =
                password_state(cx, server, inputs, recorded, seen.facts.oid).await?;
            Ok(Some(seen))
        })
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let name = &inputs.name;
        let role = Ident(name);
        let (doing, statements) = match change {
            Change::Create => (
                format!("unable to create role {role}"),
                create(cx, inputs).await?,
            ),
            Change::Rename { from } => {
                return rename(cx, inputs, &from).await;
            }
            Change::Set(attribute) => {
                let keyword = attribute.keyword(attribute.wanted(inputs));
                (
                    format!("unable to set {keyword} on role {role}"),
                    format!("ALTER ROLE {role} {keyword}"),
                )
            }
            Change::ConnectionLimit => (
                format!("unable to limit the connections of role {role}"),
                format!(
                    "ALTER ROLE {role} CONNECTION LIMIT {}",
                    inputs.connection_limit
                ),
            ),
            Change::Password => {
                let clause = password_clause(cx, inputs).await?;
                (
                    format!("unable to set the password of role {role}"),
                    format!("ALTER ROLE {role}{clause}"),
                )
            }
            Change::Join(group) => (
                format!("unable to make role {role} a member of {}", Ident(&group)),
                format!("GRANT {} TO {role}", Ident(&group)),
            ),
            Change::Leave(group) => (
                format!(
                    "unable to end the membership of role {role} in {}",
                    Ident(&group)
                ),
                format!("REVOKE {} FROM {role}", Ident(&group)),
            ),
        };
        lock::transact(cx, &inputs.connection, &doing, &statements)
            .await
            .map_err(|error| name_input(error, inputs))
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let name = current_name(facts)?;
        lock::transact(
            cx,
            &inputs.connection,
            &format!("unable to mark role {}", Ident(&name)),
            &comment(&name, mark),
        )
        .await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.outputs.system_identifier.as_deref();
        on_server(cx, &prior.inputs.connection, known_server, async |server| {
            let found = look_up(server, prior.outputs.oid, &prior.inputs.name).await?;
            let Some(mut seen) = found else {
                return Ok(None);
            };
            (seen.facts.owns, seen.facts.owns_only_retained) =
                owned(&mut server.connection, seen.facts.oid).await?;
            Ok(Some(seen))
        })
        .await
    }

    fn deletion(facts: &Facts, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        if policy == DeletionPolicy::Retain || facts.owns.is_empty() {
            return Ok(policy);
        }
        if facts.owns_only_retained {
            // Its databases keep their data, so somebody has to own them.
            return Ok(DeletionPolicy::Retain);
        }
        Err(Error::new(format!(
            "role {:?} can't be dropped, because it owns {}",
            facts.name,
            facts.owns.join(", ")
        ))
        .hint(
            "destroy what it owns first, or give that to another role with REASSIGN OWNED in \
                 each of these databases; or set deletionPolicy = \"retain\"",
        ))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let name = current_name(facts)?;
        let role = Ident(&name);
        lock::transact(
            cx,
            &prior.inputs.connection,
            &format!("unable to drop role {role}"),
            &format!("DROP ROLE IF EXISTS {role}"),
        )
        .await
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let name = current_name(facts)?;
        let role = Ident(&name);
        let statements = format!("ALTER ROLE {role} NOLOGIN; {}", comment(&name, mark));
        lock::transact(
            cx,
            &prior.inputs.connection,
            &format!("unable to retire role {role}"),
            &statements,
        )
        .await
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let mut steps = Vec::new();
    if let Ok(from) = current_name(have)
        && from != want.name
    {
        let change = Change::Rename { from: from.clone() };
        steps.push(Step::set(
            "/name",
            Value::known(&from),
            Value::known(&want.name),
            change,
        ));
    }
    for (attribute, is) in &have.attributes {
        let wanted = attribute.wanted(want);
        if wanted != *is {
            let change = Change::Set(*attribute);
            steps.push(Step::set(
                attribute.pointer(),
                Value::known(is),
                Value::known(wanted),
                change,
            ));
        }
    }
    if want.connection_limit != have.connection_limit {
        steps.push(Step::set(
            "/connectionLimit",
            Value::known(have.connection_limit),
            Value::known(want.connection_limit),
            Change::ConnectionLimit,
        ));
    }
    let password = Step::set(
        "/password",
        Value::sensitive(),
        Value::sensitive(),
        Change::Password,
    );
    match have.password {
        Password::Other => steps.push(password),
        Password::UnknownChanged => steps.push(password.unverifiable(
            "whether the server has this password can't be seen without reading pg_authid",
        )),
        Password::Unmanaged | Password::Same | Password::UnknownUnchanged => {}
    }
    if let Some(wanted) = &want.member_of {
        steps.extend(membership_steps(wanted, &have.member_of));
    }
    steps
}

fn membership_steps(wanted: &BTreeSet<Name>, have: &BTreeSet<String>) -> Vec<Step<Change>> {
    let step = |change| {
        Step::set(
            "/memberOf",
            Value::known(have),
            Value::known(wanted),
            change,
        )
    };
    let joined = wanted.iter().filter(|group| !have.contains(group.as_str()));
    let left = have
        .iter()
        .filter_map(|group| Name::try_from(group.clone()).ok());
    joined
        .map(|group| step(Change::Join(group.clone())))
        .chain(
            left.filter(|group| !wanted.contains(group))
                .map(|group| step(Change::Leave(group))),
        )
        .collect()
}

/// Finds the input that the server's complaint is about.
fn name_input(error: Error, inputs: &Inputs) -> Error {
    let text = error.to_string();
    let is_missing = |group: &Name| text.contains(&format!("role \"{group}\" does not exist"));
    if inputs.member_of.iter().flatten().any(is_missing) {
        error.at("/memberOf")
    } else {
        error
    }
}

/// The name that the server has for it; not the wanted one before a rename.
fn current_name(facts: &Facts) -> Result<Name> {
    Name::try_from(facts.name.clone()).map_err(Error::new)
}

/// Creating and marking are one transaction.
async fn create(cx: &Context, inputs: &Inputs) -> Result<String> {
    let role = Ident(&inputs.name);
    let attributes: Vec<_> = Attribute::ALL
        .into_iter()
        .map(|attribute| attribute.keyword(attribute.wanted(inputs)))
        .collect();
    let groups = inputs.member_of.iter().flatten();
    let grants: Vec<_> = groups
        .map(|group| format!("; GRANT {} TO {role}", Ident(group)))
        .collect();
    Ok(format!(
        "CREATE ROLE {role} {} CONNECTION LIMIT {}{}; {}{}",
        attributes.join(" "),
        inputs.connection_limit,
        password_clause(cx, inputs).await?,
        comment(&inputs.name, &cx.mark()),
        grants.concat()
    ))
}

async fn password_clause(cx: &Context, inputs: &Inputs) -> Result<String> {
    let Some(reference) = &inputs.password else {
        return Ok(String::new());
    };
    let password = cx.secret(reference, "/password").await?;
    if password.expose_secret().is_empty() {
        return Err(Error::input(
            "/password",
            "the password is empty, and the server would refuse it at each login",
        ));
    }
    let verifier = scram::verifier(&password);
    Ok(format!(" PASSWORD {}", Literal(verifier.expose_secret())))
}

async fn rename(cx: &Context, inputs: &Inputs, from: &Name) -> Result<()> {
    let (old, new) = (Ident(from), Ident(&inputs.name));
    let doing = format!("unable to rename role {old} to {new}");
    lock::transact(
        cx,
        &inputs.connection,
        &doing,
        &format!("ALTER ROLE {old} RENAME TO {new}"),
    )
    .await
    // The new name being taken doesn't pass by waiting.
    .map_err(|error| error.at("/name").retry(nixops4_provider_sdk::Retry::Never))
}

fn comment(name: &Name, mark: &Mark) -> String {
    format!(
        "COMMENT ON ROLE {} IS {}",
        Ident(name),
        Literal(&mark.to_string())
    )
}
